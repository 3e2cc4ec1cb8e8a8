// Every launch twice: in the emulation, and as nvcc made it. The results are compared; the latter's stay.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/kernel_runner.h"
#include "tests/ptx/interpreter.h"
#include "tests/ptx/module.h"
#include "tests/ptx/symbols.h"

namespace evenflow::ptx {

/// How far two results are apart: their largest difference over the largest number that the launch wrote to the same
/// memory, in units of the type's rounding (2^-24, 2^-53). 0: bit for bit, NaN as any NaN.
struct Distance {
  double f32 = 0, f64 = 0;
};

class Runner final : public emulation::KernelRunner {
 public:
  /// All *.ptx of the folder. What was run is written to `report`, unless it is empty, when the runner ends: a line for
  /// each kernel and shape, with the kernel's largest distances, and one with its instructions' number and the lines of
  /// those that no thread came to.
  Runner(const std::filesystem::path& folder, std::filesystem::path report);
  ~Runner() override;
  void run(const emulation::KernelLaunch& launch, const std::function<void()>& emulate) override;

 private:
  struct Record {
    long launches = 0;
    std::set<std::string> shapes;
    Distance farthest;
  };
  struct Entry {
    Module* module = nullptr;
    std::string name;  // as the PTX has it
  };
  const Entry& entry_of(const emulation::KernelLaunch& launch);

  std::filesystem::path report_;
  Symbols symbols_;
  std::vector<std::unique_ptr<Module>> modules_;
  std::map<std::string, Entry> entries_;  // by common name
  std::map<const void*, Entry> known_;
  std::map<std::string, Record> records_;  // by common name
};

/// If the environment names a folder of PTX (EVENFLOW_PTX), the process's runner, which then runs every launch of the
/// emulated device and writes its report to EVENFLOW_PTX_REPORT at the end. Null otherwise.
Runner* runner_of_environment();

}  // namespace evenflow::ptx
