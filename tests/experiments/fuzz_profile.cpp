// Any bytes as the profile.json to compare with are a profile, or a DataError.
#include <nlohmann/json.hpp>

#include "experiments/profile/report.h"
#include "io/error.h"
#include "tests/support/fuzzer.h"

bool evenflow::fuzz::reads(std::string_view input) {
  try {
    const auto file = as_file(input, "profile.json");
    const nlohmann::json old = experiments::read_profile(file);
    experiments::ProfileSettings settings;
    settings.config.train.device = "cpu";
    try {
      experiments::require_comparable(old, file, settings);
    } catch (const io::UsageError&) {
      // Measured elsewhere: what is compared below would be refused.
    }
    (void)experiments::compare(old, old);
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}
