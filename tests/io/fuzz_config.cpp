// Any bytes as TOML are a configuration that reads back as it was written, or a UsageError.
#include <cstdlib>

#include "io/config.h"
#include "io/error.h"
#include "tests/support/fuzzer.h"

bool evenflow::fuzz::reads(std::string_view input) {
  try {
    const io::Config config = io::parse_config(input, "fuzz.toml");
    if (!(io::parse_config(io::to_toml(config), "again.toml") == config)) {
      std::abort();
    }
    io::validate(config);
  } catch (const io::UsageError&) {
    return false;
  }
  return true;
}
