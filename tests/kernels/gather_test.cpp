#include "kernels/gather.h"

#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

#include "kernels/mel_scale.h"
#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

struct WindowShape {
  int64_t n = 1, bands = 1, width = 1;
  std::string name() const { return text_of("n", n, "_bands", bands, "_width", width); }
};

using Gather = OpTest<WindowShape>;

TEST_P(Gather, TakesOverlappingWindowsAndNormalises) {
  Rng rng(41);
  const WindowShape& s = shape();
  const int64_t total = s.width + 2 * s.n + 3;
  const Vector frames = random_vector(rng, total * s.bands, 80.0);
  const Vector mean = random_vector(rng, s.bands, 60.0);
  const Vector inverse_std = random_vector(rng, s.bands, 0.2);
  std::vector<int64_t> start;
  for (int64_t i = 0; i < s.n; ++i) {
    start.push_back(i % 2 == 0 ? total - s.width - i : i);  // both ends included
  }
  const GuardedBuffer<float> frames32(narrow(frames), device());
  const GuardedBuffer<float> mean32(narrow(mean), device());
  const GuardedBuffer<float> inverse32(narrow(inverse_std), device());
  const GuardedBuffer<int64_t> starts(start, device());
  for (const Surroundings& around : {Surroundings{}, Surroundings{.channels_before = 1, .gap = 7}}) {
    const GuardedMap out(s.n, 1, s.bands, s.width, around, device());
    kernels::gather_windows(stream_, {.frames = frames32.view(),
                                      .start = starts.view(),
                                      .mean = mean32.view(),
                                      .inverse_std = inverse32.view(),
                                      .x = out.view()});
    stream_.synchronise();
    const Maps expected = reference::gather_windows(frames, start, mean, inverse_std, s.width);
    Vector minus_mean = reference::absolute(mean);
    for (double& value : minus_mean) {
      value = -value;
    }
    Maps bound = reference::gather_windows(reference::absolute(frames), start, minus_mean,
                                           reference::absolute(inverse_std), s.width);
    for (double& value : bound.values) {
      value *= 2 * eps32;
    }
    expect_close(out.values().values, expected.values, bound.values, "window");
  }
}

/// Slaney's scale as published, on its own.
double mel_of(double hz) {
  return hz < 1000 ? hz * 3 / 200 : 15 + 27 * std::log(hz / 1000) / std::log(6.4);
}
double hz_of(double mel) {
  return mel < 15 ? mel * 200 / 3 : 1000 * std::exp((mel - 15) * std::log(6.4) / 27);
}

/// N(0, 1) of a cell as normal_pair says, in float64.
double noise_of(uint64_t key, int64_t cell) {
  const uint64_t bits = kernels::mix_bits(key ^ static_cast<uint64_t>(cell / 2));
  const double u = static_cast<double>((bits >> 40U) + 1) * 0x1.0p-24;
  const double part = (static_cast<double>((bits >> 8U) & 0xffffffU) + 0.5) * 0x1.0p-24 - 0.5;
  const double angle = std::numbers::pi / 2 * (part + static_cast<double>(bits & 3U));
  return std::sqrt(-2 * std::log(u)) * (cell % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

constexpr double top_hz = 8000;

class ChangedGather : public OpTest<WindowShape> {
 protected:
  ChangedGather() {
    const WindowShape& s = shape();
    for (int64_t i = 0; i < s.n; ++i) {
      starts_.push_back(i);
    }
  }
  std::vector<float> gathered(const std::vector<kernels::WindowChange>& changes) {
    const WindowShape& s = shape();
    const GuardedBuffer<float> frames(narrow(frames_), device()), mean(narrow(mean_), device()),
        inverse_std(narrow(inverse_std_), device());
    const GuardedBuffer<int64_t> start(starts_, device());
    const GuardedBuffer<kernels::WindowChange> changed(changes, device());
    const GuardedMap out(s.n, 1, s.bands, s.width, {.channels_before = 1, .gap = 7}, device());
    kernels::GatherWindows task{.frames = frames.view(),
                                .start = start.view(),
                                .mean = mean.view(),
                                .inverse_std = inverse_std.view(),
                                .x = out.view()};
    if (!changes.empty()) {
      task.changes = changed.view();
      task.mels_per_band = kernels::mels_per_band(2 * top_hz, s.bands);
    }
    const GuardedBuffer<float> factor(narrow(factor_), device()), offset(narrow(offset_), device()),
        error(narrow(error_), device());
    task.moves = {factor.view(), offset.view(), error.view()};
    kernels::gather_windows(stream_, task);
    stream_.synchronise();
    return narrow(out.values().values);
  }
  int64_t index(int64_t i, int64_t band, int64_t frame) const {
    return (i * shape().bands + band) * shape().width + frame;
  }
  double frame_at(int64_t i, int64_t frame, int64_t band) const {
    return frames_[static_cast<size_t>((starts_[static_cast<size_t>(i)] + frame) * shape().bands + band)];
  }
  /// The two bands about what `band` takes under a warp, and how far on from the first.
  struct Between {
    int64_t low, high;
    double part;
  };
  Between between(int64_t band, double ratio) const {
    const int64_t bands = shape().bands;
    const auto centre = [&](int64_t b) {
      return hz_of(mel_of(top_hz) * static_cast<double>(b + 1) / static_cast<double>(bands + 1));
    };
    const double hz = centre(band) / ratio;
    if (hz <= centre(0)) {
      return {0, 0, 0};
    }
    for (int64_t b = 0; b + 1 < bands; ++b) {
      if (hz < centre(b + 1)) {
        return {b, b + 1, (mel_of(hz) - mel_of(centre(b))) / (mel_of(centre(b + 1)) - mel_of(centre(b)))};
      }
    }
    return {bands - 1, bands - 1, 0};
  }

  Rng rng_{43};
  Vector frames_ = random_vector(rng_, (shape().width + shape().n) * shape().bands, 80.0);
  Vector mean_ = random_vector(rng_, shape().bands, 60.0);
  Vector inverse_std_ = random_vector(rng_, shape().bands, 0.2);
  static constexpr int64_t moves_ = 3, errors_ = 2;
  Vector factor_ = random_vector(rng_, moves_* shape().bands, 1.5);
  Vector offset_ = random_vector(rng_, moves_* shape().bands, 40.0);
  Vector error_ = random_vector(rng_, errors_* shape().bands, 5.0);
  std::vector<int64_t> starts_;
};

TEST_P(ChangedGather, MovesAsDefined) {
  const WindowShape& s = shape();
  std::vector<kernels::WindowChange> changes;
  for (int64_t i = 0; i < s.n; ++i) {
    changes.push_back({.warp = 1.3F,
                       .move = static_cast<int32_t>((i + s.bands) % (moves_ + 1)) - 1,
                       .error = static_cast<int32_t>(i % errors_),
                       .error_size = i % 3 == 2 ? 0.0F : -0.7F,
                       .first_masked_band = 0,
                       .masked_bands = i % 4 == 3 ? 1 : 0});
    changes.back().warp = changes.back().move < 0 ? 1.0F : 1.3F;  // a window that is moved is not warped
  }
  const std::vector<float> actual = gathered(changes);
  Vector expected, bound;
  for (int64_t i = 0; i < s.n; ++i) {
    const kernels::WindowChange& c = changes[static_cast<size_t>(i)];
    for (int64_t band = 0; band < s.bands; ++band) {
      const auto b = static_cast<size_t>(band);
      const auto row = [&](int32_t at) { return static_cast<size_t>(std::max(at, 0) * s.bands + band); };
      const double factor = c.move < 0 ? 1.0 : factor_[row(c.move)], offset = c.move < 0 ? 0.0 : offset_[row(c.move)];
      const double error = c.move < 0 ? 0.0 : static_cast<double>(c.error_size) * error_[row(c.error)];
      for (int64_t frame = 0; frame < s.width; ++frame) {
        const double x = frame_at(i, frame, band);
        const bool masked = band < c.masked_bands;
        expected.push_back(masked ? 0.0 : (factor * x + offset + error - mean_[b]) * inverse_std_[b]);
        const double size = std::abs(factor * x) + std::abs(offset) + std::abs(error) + std::abs(mean_[b]);
        bound.push_back(masked ? 0.0 : 8 * eps32 * size * std::abs(inverse_std_[b]));
      }
    }
  }
  expect_close(widen(actual), expected, bound, "moved window");
}

TEST_P(ChangedGather, WarpsAddsNoiseAndMasksAsDefined) {
  const WindowShape& s = shape();
  std::vector<kernels::WindowChange> changes;
  const float ratios[] = {0.5F, 0.93F, 1.0F, 1.07F, 2.0F};
  for (int64_t i = 0; i < s.n; ++i) {
    kernels::WindowChange change{.warp = ratios[(i + s.bands) % 5],
                                 .noise = i % 3 == 0 ? 0.0F : 0.3F,
                                 .noise_key = 0x9876543210ULL + static_cast<uint64_t>(i)};
    if (i % 2 == 1) {
      change.first_masked_band = static_cast<int32_t>(s.bands / 3);
      change.masked_bands = static_cast<int32_t>(s.bands / 4);
      change.first_masked_frame = static_cast<int32_t>(s.width / 2);
      change.masked_frames = static_cast<int32_t>(s.width - s.width / 2);
    }
    changes.push_back(change);
  }
  const std::vector<float> actual = gathered(changes);
  Vector expected, bound;
  for (int64_t i = 0; i < s.n; ++i) {
    const kernels::WindowChange& c = changes[static_cast<size_t>(i)];
    for (int64_t band = 0; band < s.bands; ++band) {
      const auto b = static_cast<size_t>(band);
      const Between at = between(band, c.warp);
      for (int64_t frame = 0; frame < s.width; ++frame) {
        const double low = frame_at(i, frame, at.low), high = frame_at(i, frame, at.high);
        const double noise = c.noise == 0.0F ? 0.0 : c.noise * noise_of(c.noise_key, band * s.width + frame);
        const bool masked = (band >= c.first_masked_band && band < c.first_masked_band + c.masked_bands) ||
                            (frame >= c.first_masked_frame && frame < c.first_masked_frame + c.masked_frames);
        const double value = (low + at.part * (high - low) - mean_[b]) * inverse_std_[b];
        expected.push_back(masked ? 0.0 : value + noise);
        const double size = (std::max(std::abs(low), std::abs(high)) + std::abs(mean_[b])) * std::abs(inverse_std_[b]);
        bound.push_back(masked ? 0.0 : 4 * eps32 * (size + 2 * std::abs(noise)));
      }
    }
  }
  expect_close(widen(actual), expected, bound, "changed window");
}

TEST_P(ChangedGather, AWindowThatNothingChangesKeepsItsBits) {
  std::vector<kernels::WindowChange> changes(static_cast<size_t>(shape().n));
  changes[0].noise_key = 7;
  EXPECT_EQ(gathered(changes), gathered({}));
}

TEST_P(ChangedGather, NoiseHasItsDeviationAndIsNotTheSameInTwoWindows) {
  const WindowShape& s = shape();
  std::vector<kernels::WindowChange> changes(static_cast<size_t>(s.n));
  for (size_t i = 0; i < changes.size(); ++i) {
    changes[i] = {.noise = 0.5F, .noise_key = i};
  }
  const std::vector<float> noisy = gathered(changes), plain = gathered({});
  double sum = 0;
  double squares = 0;
  double products = 0;
  const auto cells = static_cast<size_t>(s.bands * s.width);
  for (size_t i = 0; i < noisy.size(); ++i) {
    const double noise = noisy[i] - plain[i];
    sum += noise;
    squares += noise * noise;
    products += noise * (noisy[(i + cells) % noisy.size()] - plain[(i + cells) % noisy.size()]);
  }
  const auto count = static_cast<double>(noisy.size());
  EXPECT_TRUE(std::abs(sum / count) <= 5 * 0.5 / std::sqrt(count));
  EXPECT_TRUE(std::abs(squares / count / 0.25 - 1) <= 5 * std::sqrt(2 / count));
  if (s.n > 1) {
    EXPECT_TRUE(std::abs(products / count / 0.25) <= 5 / std::sqrt(count));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChangedGather,
                         on_every_backend<WindowShape>({{1, 1, 1}, {4, 33, 31}, {3, 7, 37}, {5, 128, 64}}),
                         case_name<WindowShape>);

INSTANTIATE_TEST_SUITE_P(Shapes, Gather,
                         on_every_backend<WindowShape>(
                             {{1, 1, 1}, {3, 31, 1}, {1, 32, 31}, {3, 33, 32}, {5, 37, 33}, {3, 1, 37}, {3, 128, 64}}),
                         case_name<WindowShape>);

}  // namespace
}  // namespace evenflow::tests
