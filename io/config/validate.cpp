#include <limits>
#include <set>
#include <string>

#include "io/categories.h"
#include "io/config.h"
#include "io/config/rows.h"
#include "io/error.h"
#include "io/parameter_value.h"

namespace evenflow::io {
namespace {

/// Through the table once more: a configuration filled in by code has met no range check yet.
void check_ranges(const Config& config) {
  Config checked = config;
  if (config.train.seed > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    config_rows::refuse("train.seed", std::to_string(config.train.seed), "at most 9223372036854775807");
  }
  for (const ConfigKey& key : config_keys()) {
    key.set(checked, key.get(config));
  }
}

void check_side(const char* key, int value, const ModelSettings& model) {
  const int side = 1 << model.blocks;
  if (value % side != 0) {
    throw UsageError(std::string(key) + " = " + std::to_string(value) +
                     " does not fit model.blocks = " + std::to_string(model.blocks) +
                     ": every block halves it, so it must be a multiple of " + std::to_string(side));
  }
}

void check_condition(const ConditionSettings& condition) {
  std::set<std::string> seen;
  for (const std::string& name : declared_names(condition.parameters)) {
    if (!seen.insert(name).second) {
      throw UsageError("condition.parameters names '" + name + "' twice; name it once");
    }
  }
  const auto check_size = [&](const char* key, size_t size) {
    if (size != 0 && !condition.parameters.empty() && size != condition.parameters.size()) {
      throw UsageError(std::string(key) + " has " + std::to_string(size) + " values but condition.parameters names " +
                       std::to_string(condition.parameters.size()) + ": give one each, or leave it empty");
    }
  };
  check_size("condition.k", condition.k.size());
  check_size("condition.v0", condition.v0.size());
  if (!condition.k.empty() && !condition.v0.empty() && condition.k.size() != condition.v0.size()) {
    throw UsageError("condition.k has " + std::to_string(condition.k.size()) + " values but condition.v0 has " +
                     std::to_string(condition.v0.size()) + ": give one each per parameter");
  }
  for (const double k : condition.k) {
    if (k == 0.0) {
      throw UsageError("condition.k = 0 carries no parameter: give a slope other than 0, or leave k empty");
    }
  }
}

void check_threshold(const ScoreSettings& score) {
  if (score.threshold == ThresholdMethod::value && score.score == "auto") {
    throw UsageError(
        "score.threshold = \"value\" takes a score that the value is of: name it in score.score, or set "
        "score.threshold to "
        "\"gamma\"");
  }
}

void check_calibration(const Config& config) {
  const std::vector<double>& bandwidth = config.calibration.bandwidth;
  const std::vector<std::string>& parameters = config.condition.parameters;
  if (!bandwidth.empty() && !parameters.empty() && bandwidth.size() != parameters.size()) {
    throw UsageError("calibration.bandwidth has " + std::to_string(bandwidth.size()) +
                     " values but condition.parameters names " + std::to_string(parameters.size()) +
                     ": give one each, or leave it empty");
  }
  for (const double width : bandwidth) {
    if (!(width > 0.0)) {
      throw UsageError("calibration.bandwidth has a value that is not above 0: give widths, or leave it empty");
    }
  }
}

/// A mask may not cover all there is.
void check_mask(const char* key, int widest, const char* length_key, int length) {
  if (widest >= length) {
    throw UsageError(std::string(key) + " = " + std::to_string(widest) + " can mask a whole window: give less than " +
                     length_key + " = " + std::to_string(length));
  }
}

void check_automatic(const char* key, double value) {
  if (value < 0 && value != AugmentSettings::automatic) {
    config_rows::refuse(key, config_rows::float_text(value), "-1, which leaves it to the program, or 0 or more");
  }
}

}  // namespace

void validate(const Config& config) {
  check_ranges(config);
  if (config.model.kind == ModelKind::glow) {
    check_side("frontend.mel_bands", config.frontend.mel_bands, config.model);
    check_side("window.window_frames", config.window.window_frames, config.model);
  }
  check_condition(config.condition);
  for (const std::string& point : config.train.leave_out) {
    if (!split_parameter_value(point)) {
      throw UsageError("train.leave_out has '" + point +
                       "', which is not a parameter and its value: write velocity_mm_s=300, or tool=B");
    }
  }
  check_threshold(config.score);
  check_calibration(config);
  check_automatic("augment.speed", config.augment.speed);
  check_automatic("augment.speed_probability", config.augment.speed_probability);
  check_automatic("augment.noise", config.augment.noise);
  check_mask("augment.mask_bands", config.augment.mask_bands, "frontend.mel_bands", config.frontend.mel_bands);
  check_mask("augment.mask_frames", config.augment.mask_frames, "window.window_frames", config.window.window_frames);
}

}  // namespace evenflow::io
