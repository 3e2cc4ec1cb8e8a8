// A PTX text: its kernels, functions and variables, found by name and decoded when they are asked for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/kernel.h"

namespace evenflow::ptx {

class Module {
 public:
  /// DecodeError if the text has a directive that is not known here.
  Module(std::string file, std::string text);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  std::vector<std::string> kernel_names() const;
  bool has(const std::string& kernel) const { return entries_.count(kernel) > 0; }
  /// Decoded once. DecodeError names the line.
  const Kernel& kernel(const std::string& name);

  /// What stands between the parentheses and the braces.
  struct Function {
    std::string_view parameters, results, directives, body;
    int body_line = 0;
  };
  const Function* function(std::string_view name) const;
  /// A variable's address: the host's, or shared_base for dynamic shared memory. Null: there is none.
  const uint64_t* variable(std::string_view name) const;
  /// Variables that are in device memory.
  struct Variable {
    unsigned char* data = nullptr;
    size_t bytes = 0;
  };
  const std::vector<Variable>& variables() const { return device_variables_; }
  const std::string& file() const { return file_; }
  /// 90 of sm_90.
  int target() const { return target_; }

 private:
  void scan();
  size_t take_function(size_t at, bool entry);
  size_t take_variable(size_t at);
  [[noreturn]] void fail(size_t at, const std::string& what) const;
  int line_of(size_t at) const;

  std::string file_, text_;
  int target_ = 0;
  std::map<std::string, Function, std::less<>> entries_, functions_;
  std::map<std::string, uint64_t, std::less<>> variables_;
  std::vector<Variable> device_variables_;
  std::vector<std::vector<double>> data_;  // of variables, as aligned as any
  std::map<std::string, std::unique_ptr<Kernel>> decoded_;
};

/// DecodeError as Module::kernel.
Kernel decode(const Module& module, const std::string& name, const Module::Function& entry);

}  // namespace evenflow::ptx
