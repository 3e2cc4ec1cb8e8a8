// Any bytes as a file of machines are machines that can be told apart, or a UsageError.
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "io/error.h"
#include "io/sources_file.h"
#include "tests/support/fuzzer.h"

bool evenflow::fuzz::reads(std::string_view input) {
  try {
    const std::vector<io::MonitorSource> machines = io::read_sources_file(as_file(input, "machines.toml"));
    std::set<std::string> names;
    int of_standard_input = 0;
    for (const io::MonitorSource& machine : machines) {
      const bool whole = !machine.model.empty() && !machine.source.empty() && names.insert(machine.name).second;
      const bool in_range = (machine.rate_hz == 0 || (machine.rate_hz >= 1000 && machine.rate_hz <= 1'000'000)) &&
                            machine.channels >= 0 && machine.channels <= 1024 && machine.clip_s >= 0.0 &&
                            machine.clip_s <= 3600.0;
      of_standard_input += machine.source == "-" ? 1 : 0;
      if (!whole || !in_range || of_standard_input > 1) {
        std::abort();
      }
    }
    if (machines.empty()) {
      std::abort();
    }
  } catch (const io::UsageError&) {
    return false;
  }
  return true;
}
