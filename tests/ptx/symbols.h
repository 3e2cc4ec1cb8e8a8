// The program's own functions, by address: which kernel a launch is of.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace evenflow::ptx {

/// Mangled names of the running program's functions, those in anonymous namespaces too. Linux alone, and not of a
/// program without symbols.
class Symbols {
 public:
  Symbols();
  /// Empty: no function begins there.
  std::string name_of(const void* function) const;

 private:
  std::map<uint64_t, std::string> names_;
};

/// The name with every anonymous namespace called alike: nvcc gives each file's a name of its own.
std::string common_name(const std::string& mangled);

/// For people: without the arguments and the namespaces that are everywhere.
std::string readable_name(const std::string& mangled);

}  // namespace evenflow::ptx
