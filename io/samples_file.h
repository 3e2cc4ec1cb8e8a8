// Files of windows drawn from a model, or of a recording moved to other parameter values (layout: docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace evenflow::io {

struct Samples {
  int64_t windows = 0, bands = 0, frames = 0;  ///< frames of a window
  std::vector<float> logmel_db;                ///< [windows, bands, frames]
  std::vector<float> original;                 ///< of a moved recording, the same shape; otherwise empty
  std::vector<std::string> names;              ///< of the conditioned parameters
  std::vector<double> values;                  ///< asked for; NaN: drawn from the training's spread, or left as it was
  std::string model;                           ///< the model's path
  std::optional<std::string> from;             ///< the recording that was moved, or else
  double temperature = 1.0;
  uint64_t seed = 0;
};

/// Writes to a temporary name, fsyncs, renames. DataError on a full disk or a folder that cannot be written.
void write_samples(const std::filesystem::path& file, const Samples& samples);

/// DataError names the file and what is wrong with it.
Samples read_samples(const std::filesystem::path& file);

}  // namespace evenflow::io
