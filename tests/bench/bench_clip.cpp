// How long a loaded model takes from a clip's samples in memory to its score: 10 s of sound, milliseconds.
//
//   bench_clip THREADS
//
// The model is the golden case's. Its likelihoods must come out first, and the clip's score be the mean of its
// windows'.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "frontend/features.h"
#include "tests/bench/measure.h"
#include "tests/bench/paper_model.h"
#include "train/detect/score.h"
#include "train/statistics/random.h"

namespace evenflow::bench {
namespace {

std::vector<float> clip_samples(int64_t rate, int64_t seconds) {
  std::vector<float> samples(static_cast<size_t>(rate * seconds));
  for (size_t i = 0; i < samples.size(); ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(rate);
    samples[i] = static_cast<float>(0.1 * train::random_normal(1, 0, i) +
                                    0.3 * std::sin(2 * std::numbers::pi * (200 + 300 * t) * t));
  }
  return samples;
}

io::ModelData golden_model(const tests::GoldenFile& golden, const io::Config& config) {
  const flow::GlowShape shape = flow::glow_shape(config);
  flow::Glow glow(shape, 1);
  load_golden(golden, glow);
  io::ModelData model;
  model.config = config;
  model.parameters = glow.tensors();
  const auto bands = static_cast<size_t>(shape.height);
  model.normaliser = {std::vector<float>(bands, -40.0F), std::vector<float>(bands, 10.0F)};
  model.condition = golden_condition(golden);
  model.threshold = {"nll", "gamma", 0.9, 0.0, {}};
  return model;
}

// Each window alone through a second detector.
void verify(const io::ModelData& model, const io::Clip& clip, const std::vector<float>& frames, double expected) {
  train::Detector detector(model, "cpu", 1);
  const auto bands = static_cast<size_t>(model.config.frontend.mel_bands);
  const auto size = static_cast<size_t>(model.config.window.window_frames) * bands;
  const size_t hop = static_cast<size_t>(model.config.window.window_hop_frames) * bands;
  double sum = 0;
  int windows = 0;
  for (size_t at = 0; at + size <= frames.size(); at += hop, ++windows) {
    sum += detector.score(clip, std::span(frames).subspan(at, size)).score;
  }
  if (!(std::abs(sum / windows - expected) <= 1e-9 * std::abs(expected))) {
    throw std::runtime_error("the clip's score is not the mean of its windows': not timed");
  }
}

int run(int argc, char** argv) {
  const int threads = argc > 1 ? std::stoi(argv[1]) : 0;
  if (threads < 1) {
    throw std::runtime_error("usage: bench_clip THREADS");
  }
  constexpr int64_t clip_s = 10;
  const tests::GoldenFile golden(EVENFLOW_GOLDEN_DIR "/conformance/paper.h5");
  const io::Config config;
  const nlohmann::json verified = bench::verify(golden, flow::glow_shape(config), false, threads);
  const io::ModelData model = golden_model(golden, config);
  train::Detector detector(model, "cpu", threads);
  frontend::LogMel transform(config.frontend);
  io::Clip clip;
  clip.path = "clip.wav";
  clip.parameter = {400};
  const std::vector<float> samples = clip_samples(config.frontend.sample_rate_hz, clip_s);
  train::ClipScore score;
  const auto whole = [&] { score = detector.score(clip, transform(samples)); };
  whole();
  verify(model, clip, transform(samples), score.score);
  const Timing timing = best_of(0.5, 30, whole);
  print_result({{"name", "evenflow_clip"},
                {"what", "clip"},
                {"threads", threads},
                {"clip_s", clip_s},
                {"windows", score.windows},
                {"verified", verified},
                {"value", timing.best * 1e3},
                {"unit", "ms"},
                {"median", timing.median * 1e3},
                {"repeat", timing.repetitions},
                {"peak_mib", peak_mib()}});
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_clip", evenflow::bench::run, argc, argv);
}
