// libFuzzer entry: any bytes as TOML are a configuration that round-trips, or a UsageError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "io/config.h"
#include "io/error.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer\'s
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace evenflow::io;
  try {
    const Config config = parse_config(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.toml");
    if (!(parse_config(to_toml(config), "again.toml") == config)) std::abort();
  } catch (const UsageError&) {
  }
  return 0;
}
