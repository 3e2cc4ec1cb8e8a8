// Recordings to a feature shard, on several cores, in manifest order.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/manifest.h"
#include "kernels/device.h"

namespace evenflow::frontend {

struct PrepareOptions {
  io::FrontendSettings frontend = {};
  int min_frames = 64;                       ///< a shorter clip is an error naming the file (one window must fit)
  int threads = 0;                           ///< 0: one per core
  bool skip_bad = false;                     ///< list bad files and go on
  kernels::Device device = {};               ///< of the log-mel; decoding and resampling stay on the CPU
  int64_t batch_samples = int64_t{8} << 20;  ///< a GPU gets clips once they come to this: 32 MiB, 52 clips of 10 s
  const std::atomic<bool>* stop = nullptr;   ///< set: give up, leave nothing behind
  std::function<void(size_t done, size_t total)> progress = {};
};

struct PrepareResult {
  size_t clips = 0;
  int64_t frames = 0;
  double seconds_of_sound = 0;
  std::vector<std::string> skipped;  ///< one sentence per bad file
  std::vector<std::string> notes;    ///< lines of SoundNotes on the recordings that were used
  bool stopped = false;
};

/// Writes the shard atomically. Every bad file is reported in one go (io::DataError lists the first three) unless
/// skip_bad.
PrepareResult prepare(const io::Manifest& manifest, const std::filesystem::path& shard, const PrepareOptions& options);

}  // namespace evenflow::frontend
