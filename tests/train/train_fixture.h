// Small synthetic shards, tiny models and throw-away folders for the tests of training and scoring.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "train/loop/trainer.h"

namespace evenflow::train::testing {

/// A folder that goes away with the test.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

struct ClipSpec {
  io::Clip clip;
  int64_t frames = 24;
};

struct ShardSpec {
  int train_clips = 10, test_clips = 4;
  bool parameter = true;                          ///< velocity_mm_s; the bump in the spectrum moves with it
  std::vector<std::string> more_parameters = {};  ///< after velocity_mm_s; 1 or 2 in turns
  io::Categories categories = {};                 ///< of parameters that are names, whose values are codes
  uint64_t seed = 7;
  /// Last word on each clip's frames [frames, bands].
  std::function<void(size_t clip, std::vector<float>& frames)> change = {};
  std::function<void(size_t clip, io::Clip&)> change_clip = {};
};

inline constexpr int bands = 16;

/// Log-mel-like frames: noise of 4 dB about -40 dB with a bump of 20 dB whose band follows v in [100, 500]; an anomaly
/// has a second, narrow bump.
std::vector<float> synthetic_frames(int64_t frames, double v, bool anomaly, uint64_t seed);

/// Train clips are normal, every other test clip is an anomaly; clips have 20 to 29 frames.
void write_shard(const std::filesystem::path& file, const ShardSpec& spec = {});

/// 16 bands × 8 frames, 2 blocks of 2 steps, hidden width 8, batch 8, 2 epochs, one thread.
io::Config tiny_config();

/// The configuration's run over one shard.
TrainOptions tiny_options(const std::filesystem::path& shard, const std::filesystem::path& run,
                          const io::Config& config = tiny_config());

/// Fails unless both files hold the same bits: parameters, normaliser, condition, threshold, what is known of normal
/// clips, optimiser, progress.
void expect_same_model(const std::filesystem::path& a, const std::filesystem::path& b);
/// metrics.csv without its columns of time.
std::string timeless_metrics(const std::filesystem::path& run);
/// model.h5, last.h5, checkpoint.h5 and metrics.csv of two runs are the same bits, but for time and provenance.
void expect_same_run(const std::filesystem::path& a, const std::filesystem::path& b);

/// Runs `call` and returns the text of the exception E it must throw.
template <class E>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace evenflow::train::testing
