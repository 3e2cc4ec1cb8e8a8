// Files of latents, one row per window (layout: docs/formats.md), written atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/manifest.h"

namespace evenflow::io {

/// What is one number, or one per parameter, a window, and the clips that the windows were cut from.
struct LatentsTable {
  std::vector<int32_t> clip;                                         ///< of each window: its place in `clips`
  std::vector<int64_t> frame;                                        ///< of each window: its first frame in the clip
  std::vector<std::pair<std::string, std::vector<double>>> columns;  ///< "nll" and its value per window, and so on
  std::vector<std::string> estimated;                                ///< the conditioned parameters
  std::vector<double> estimates;                                     ///< [windows, estimated]
  std::vector<Clip> clips;
  std::vector<std::string> parameter_names;
  Categories categories = {};  ///< as of a shard
};

/// Writes to a temporary name beside `file`; finish() fsyncs and renames. Without finish() nothing remains.
class LatentsWriter {
 public:
  /// The sizes are floats of a window.
  LatentsWriter(const std::filesystem::path& file, int64_t windows, int64_t zc_size, int64_t zd_size);
  ~LatentsWriter();
  LatentsWriter(const LatentsWriter&) = delete;
  LatentsWriter& operator=(const LatentsWriter&) = delete;
  /// Appends whole rows. DataError on a full disk.
  void append(std::span<const float> zc, std::span<const float> zd);
  void finish(const LatentsTable& table);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct LatentsSummary {
  int64_t windows = 0, zc_size = 0, zd_size = 0, clips = 0;
  std::vector<std::string> estimated;
};

/// Verifies all that the file holds. DataError names the file and what is wrong with it.
LatentsSummary read_latents_summary(const std::filesystem::path& file);

}  // namespace evenflow::io
