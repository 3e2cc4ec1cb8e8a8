#include "tests/bench/noise_shard.h"

#include <string>
#include <vector>

#include "frontend/features.h"
#include "io/shard.h"
#include "train/statistics/random.h"

namespace evenflow::bench {

void write_noise_shard(const std::filesystem::path& file, const io::Config& config, int64_t windows) {
  constexpr int64_t clip_frames = 313;  // 10 s at 16 kHz
  const int64_t per_clip = frontend::windows_in(clip_frames, config.window);
  const auto size = static_cast<size_t>(clip_frames * config.frontend.mel_bands);
  std::vector<std::vector<float>> noise(32);
  for (size_t n = 0; n < noise.size(); ++n) {
    for (size_t i = 0; i < size; ++i) {
      noise[n].push_back(static_cast<float>(-40.0 + 10.0 * train::random_normal(1, n, i)));
    }
  }
  io::ShardWriter writer(file, config.frontend, {"velocity_mm_s"});
  for (int64_t i = 0; i * per_clip < windows; ++i) {
    io::Clip clip;
    clip.path = "clip_" + std::to_string(i) + ".wav";
    clip.machine = "rail";
    clip.split = io::Split::train;
    clip.label = 0;
    clip.parameter = {100.0 + 100.0 * static_cast<double>(i % 7)};
    writer.append(clip, noise[static_cast<size_t>(i) % noise.size()]);
  }
  writer.finish();
}

io::Config noise_configuration() {
  io::Config config;
  config.train.epochs = 1000;
  config.train.checkpoint_epochs = 1000;
  config.train.validation_fraction = 0.01;
  config.score.threshold = io::ThresholdMethod::quantile;
  return config;
}

}  // namespace evenflow::bench
