#include "kernels/augment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::Augmentation;
using kernels::WindowChange;
using reference::Vector;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t bands = 128, frames = 64;

struct Batch {
  int64_t windows = 1, columns = 1, kept = 1;
  std::string name() const { return text_of("windows", windows, "_columns", columns, "_kept", kept); }
};

struct Drawn {
  std::vector<WindowChange> changes;
  std::vector<double> v;
};

constexpr double band_ratio = 1.0244;  // of 128 bands up to 8 kHz

class Augment : public OpTest<Batch> {
 protected:
  Augment() {
    Rng rng(91);
    values_ = random_vector(rng, shape().windows * shape().columns, 400.0);
    for (double& value : values_) {
      value += 600.0;
    }
  }
  Drawn draw(const Augmentation& augmentation, int64_t step, int64_t speed_column, uint64_t seed = 3,
             double ratio = band_ratio) {
    const Batch& s = shape();
    const GuardedBuffer<int64_t> steps(std::vector<int64_t>{step}, device());
    const GuardedBuffer<double> values(values_, device()), v(s.windows * s.kept, device());
    const GuardedBuffer<WindowChange> changes(s.windows, device());
    kernels::draw_changes(stream_, {.augmentation = augmentation,
                                    .seed = seed,
                                    .step = steps.view(),
                                    .speed_column = speed_column,
                                    .values = values.view(),
                                    .bands = bands,
                                    .frames = frames,
                                    .band_ratio = ratio,
                                    .changes = changes.view(),
                                    .v = v.view()});
    stream_.synchronise();
    return {changes.elements(), v.elements()};
  }
  double& value(int64_t window, int64_t column) {
    return values_[static_cast<size_t>(window * shape().columns + column)];
  }
  int64_t warped(const Drawn& drawn) const {
    return std::count_if(drawn.changes.begin(), drawn.changes.end(),
                         [](const WindowChange& change) { return change.warp != 1.0F; });
  }
  Vector values_;
};

constexpr Augmentation everything{
    .speed = 60, .speed_probability = 0.5, .noise = 0.25, .mask_bands = 20, .mask_frames = 10};

TEST_P(Augment, MovesTheSpeedWithTheWarpAndNothingElse) {
  const Batch& s = shape();
  const int64_t column = s.columns - 1;
  const Drawn drawn = draw({.speed = 60, .speed_probability = 0.5}, 17, column);
  for (int64_t i = 0; i < s.windows; ++i) {
    const WindowChange& change = drawn.changes[static_cast<size_t>(i)];
    EXPECT_EQ(change.noise, 0.0F);
    EXPECT_EQ(change.masked_bands, 0);
    EXPECT_EQ(change.masked_frames, 0);
    for (int64_t p = 0; p < s.kept; ++p) {
      const double given = value(i, p);
      const double v = drawn.v[static_cast<size_t>(i * s.kept + p)];
      if (p != column) {
        EXPECT_EQ(v, given);
        continue;
      }
      EXPECT_TRUE(std::abs(v - given) <= 60);
      EXPECT_EQ(change.warp, static_cast<float>(v / given));
    }
  }
}

/// Of so many windows that frequencies can be told.
class AugmentOfMany : public Augment {};

// At a speed of 500 a range of 60 holds the powers -5 to 4 of the ratio between bands.
TEST_P(AugmentOfMany, WarpsByWholeBandsEachPowerAsOften) {
  for (int64_t i = 0; i < shape().windows; ++i) {
    value(i, 0) = i % 2 == 0 ? 500 : -500;
  }
  const Drawn drawn = draw({.speed = 60, .speed_probability = 1}, 3, 0);
  std::map<int64_t, int64_t> powers;
  for (int64_t i = 0; i < shape().windows; ++i) {
    const double ratio = drawn.v[static_cast<size_t>(i * shape().kept)] / value(i, 0);
    const double power = std::log(ratio) / std::log(band_ratio);
    EXPECT_TRUE(std::abs(power - std::round(power)) <= 1e-12 * bands) << power;
    EXPECT_EQ(drawn.changes[static_cast<size_t>(i)].warp, static_cast<float>(ratio));
    ++powers[std::llround(power)];
  }
  ASSERT_EQ(powers.size(), 9U);
  EXPECT_EQ(powers.begin()->first, -5);
  EXPECT_FALSE(powers.contains(0));
  const double expected = static_cast<double>(shape().windows) / 9;
  for (const auto& [power, count] : powers) {
    EXPECT_TRUE(std::abs(static_cast<double>(count) - expected) <= 5 * std::sqrt(expected)) << power << ": " << count;
  }
}

/// Windows at points, the last of their values, from which there are moves.
class AugmentByMoves : public AugmentOfMany {
 protected:
  AugmentByMoves() {
    for (int64_t i = 0; i < shape().windows; ++i) {
      value(i, 1) = i % 4 == 3 ? nan : static_cast<double>(i % 4);
    }
  }
  Drawn drawn_on(kernels::Device where, double probability) {
    const GuardedBuffer<int64_t> steps(std::vector<int64_t>{5}, where);
    const GuardedBuffer<double> values(values_, where), v(shape().windows, where);
    const GuardedBuffer<WindowChange> changes(shape().windows, where);
    const GuardedBuffer<kernels::PointMoves> points(points_, where);
    const GuardedBuffer<kernels::SpeedMove> moves(moves_, where);
    kernels::Stream stream(where);
    kernels::draw_changes(stream, {.augmentation = {.speed = 60, .speed_probability = probability},
                                   .seed = 3,
                                   .step = steps.view(),
                                   .speed_column = 0,
                                   .values = values.view(),
                                   .bands = bands,
                                   .frames = frames,
                                   .changes = changes.view(),
                                   .v = v.view(),
                                   .point_column = 1,
                                   .points = points.view(),
                                   .moves = moves.view()});
    stream.synchronise();
    return {changes.elements(), v.elements()};
  }
  // From point 0 two, from point 1 none, from point 2 three.
  std::vector<kernels::PointMoves> points_{{0, 2}, {2, 0}, {2, 3}};
  std::vector<kernels::SpeedMove> moves_{{-20, 0, 0, 0}, {30, 7, 4, 1}, {1, 0.5, 0, 2}, {2, 0.5, 0, 2}, {3, 0.5, 0, 2}};
};

TEST_P(AugmentByMoves, EachMoveOfAPointAsOftenAndTheSpeedWithIt) {
  const Drawn drawn = drawn_on(device(), 0.5);
  std::map<int32_t, int64_t> times;
  std::map<int32_t, std::vector<double>> sizes;  // of the second and the third move, by error
  for (int64_t i = 0; i < shape().windows; ++i) {
    const WindowChange& change = drawn.changes[static_cast<size_t>(i)];
    const double step = drawn.v[static_cast<size_t>(i)] - value(i, 0);
    ++times[change.move];
    EXPECT_EQ(change.warp, 1.0F);
    if (change.move < 0) {
      EXPECT_EQ(step, 0);
      EXPECT_EQ(change.error_size, 0);
      continue;
    }
    const kernels::SpeedMove& move = moves_[static_cast<size_t>(change.move)];
    const kernels::PointMoves own = points_[static_cast<size_t>(i % 4)];
    EXPECT_TRUE(i % 4 != 3 && change.move >= own.first && change.move < own.first + own.count) << i;
    EXPECT_TRUE(std::abs(step - move.step) <= 1e-12 * std::abs(value(i, 0)));
    EXPECT_TRUE(change.error >= move.first_error && change.error < std::max(1, move.first_error + move.errors));
    EXPECT_TRUE(std::abs(change.error_size) <= std::sqrt(3.0) * move.deviation * (1 + 0x1.0p-23));
    if (move.errors == 0) {
      EXPECT_EQ(change.error_size, 0);
    } else {
      sizes[change.error].push_back(change.error_size / move.deviation);
    }
  }
  const double quarter = static_cast<double>(shape().windows) / 4;
  for (const auto& [move, share] :
       std::map<int32_t, double>{{0, 0.25}, {1, 0.25}, {2, 1. / 6}, {3, 1. / 6}, {4, 1. / 6}}) {
    EXPECT_TRUE(std::abs(static_cast<double>(times[move]) - share * quarter) <= 5 * std::sqrt(share * quarter)) << move;
  }
  ASSERT_EQ(sizes.size(), 3U);
  for (const auto& [error, of] : sizes) {
    double sum = 0;
    double squares = 0;
    for (const double size : of) {
      sum += size;
      squares += size * size;
    }
    const auto n = static_cast<double>(of.size());
    // Uniform of variance 1: its square has the variance 4/5.
    EXPECT_TRUE(n > 100 && std::abs(sum / n) <= 5 / std::sqrt(n)) << error;
    EXPECT_TRUE(std::abs(squares / n - 1) <= 5 * std::sqrt(0.8 / n)) << error;
  }
}

TEST_P(AugmentByMoves, MovesAreTheSameOnEveryDevice) {
  const Drawn drawn = drawn_on(device(), 1.0), expected = drawn_on({}, 1.0);
  EXPECT_EQ(drawn.v, expected.v);
  for (size_t i = 0; i < drawn.changes.size(); ++i) {
    EXPECT_EQ(drawn.changes[i].move, expected.changes[i].move);
    EXPECT_EQ(drawn.changes[i].error, expected.changes[i].error);
    EXPECT_EQ(drawn.changes[i].error_size, expected.changes[i].error_size);
    EXPECT_EQ(drawn.changes[i].move < 0, i % 4 == 1 || i % 4 == 3);
  }
}

TEST_P(Augment, ASpeedTooSmallToDivideEndsTheSearch) {
  for (int64_t i = 0; i < shape().windows; ++i) {
    value(i, 0) = std::numeric_limits<double>::denorm_min();
  }
  for (const WindowChange& change : draw({.speed = 60, .speed_probability = 1}, 3, 0).changes) {
    EXPECT_TRUE(change.warp >= 0.5F && change.warp <= 2.0F) << change.warp;
  }
}

TEST_P(AugmentOfMany, StepsWithinABandAreUniformAndOccurAsOftenAsAsked) {
  const auto n = static_cast<double>(shape().windows);
  const Drawn drawn = draw({.speed = 60, .speed_probability = 0.3}, 5, 0, 3, 3.0);
  const auto moved = static_cast<double>(warped(drawn));
  EXPECT_TRUE(std::abs(moved / n - 0.3) <= 5 * std::sqrt(0.3 * 0.7 / n)) << moved;
  double sum = 0;
  double squares = 0;
  for (int64_t i = 0; i < shape().windows; ++i) {
    const double d = value(i, 0) * (drawn.changes[static_cast<size_t>(i)].warp - 1.0);
    sum += d / 60;
    squares += d / 60 * d / 60;
  }
  // Of a uniform variable in [-1, 1]: variance 1/3, of its square 4/45.
  EXPECT_TRUE(std::abs(sum / moved) <= 5 * std::sqrt(1.0 / 3 / moved)) << sum / moved;
  EXPECT_TRUE(std::abs(squares / moved - 1.0 / 3) <= 5 * std::sqrt(4.0 / 45 / moved)) << squares / moved;
}

TEST_P(Augment, ASpeedStaysBetweenHalfAndTwiceItself) {
  for (int64_t i = 0; i < shape().windows; ++i) {
    value(i, 0) = (i % 2 == 0 ? 1.0 : -1.0) * static_cast<double>(1 + i % 7);
  }
  const Drawn drawn = draw({.speed = 1000, .speed_probability = 1}, 1, 0);
  for (const WindowChange& change : drawn.changes) {
    EXPECT_TRUE(change.warp >= 0.5F && change.warp <= 2.0F) << change.warp;
  }
}

TEST_P(Augment, AnUnknownOrStandingSpeedIsNotWarped) {
  for (int64_t i = 0; i < shape().windows; ++i) {
    value(i, 0) = i % 2 == 0 ? nan : 0.0;
  }
  const Drawn drawn = draw({.speed = 60, .speed_probability = 1}, 1, 0);
  EXPECT_EQ(warped(drawn), 0);
  for (int64_t i = 0; i < shape().windows && shape().kept > 0; ++i) {
    const double v = drawn.v[static_cast<size_t>(i * shape().kept)];
    EXPECT_TRUE(i % 2 == 0 ? std::isnan(v) : v == 0.0);
  }
}

TEST_P(AugmentOfMany, MasksFitAndAreUpToAsWideAsAsked) {
  const Drawn drawn = draw({.mask_bands = 20, .mask_frames = frames}, 2, -1);
  int64_t widest = 0;
  int64_t last = 0;
  for (const WindowChange& change : drawn.changes) {
    EXPECT_TRUE(change.masked_bands >= 0 && change.masked_bands <= 20);
    EXPECT_TRUE(change.first_masked_band >= 0 && change.first_masked_band + change.masked_bands <= bands);
    EXPECT_TRUE(change.masked_frames >= 0 && change.first_masked_frame >= 0 &&
                change.first_masked_frame + change.masked_frames <= frames);
    EXPECT_EQ(change.warp, 1.0F);
    widest = std::max<int64_t>(widest, change.masked_bands);
    last = std::max<int64_t>(last, change.first_masked_band + change.masked_bands);
  }
  EXPECT_EQ(widest, 20);
  EXPECT_EQ(last, bands);
}

bool same(const Drawn& a, const Drawn& b) {
  const auto equal = [](const WindowChange& x, const WindowChange& y) {
    return x.warp == y.warp && x.noise == y.noise && x.noise_key == y.noise_key &&
           x.first_masked_band == y.first_masked_band && x.masked_bands == y.masked_bands &&
           x.first_masked_frame == y.first_masked_frame && x.masked_frames == y.masked_frames;
  };
  return a.v == b.v && std::equal(a.changes.begin(), a.changes.end(), b.changes.begin(), b.changes.end(), equal);
}

TEST_P(Augment, DrawsAreNamedBySeedStepAndPlaceAndTheSameOnEveryDevice) {
  const Drawn drawn = draw(everything, 9, 0);
  EXPECT_TRUE(same(drawn, draw(everything, 9, 0)));
  EXPECT_FALSE(same(drawn, draw(everything, 10, 0)));
  EXPECT_FALSE(same(drawn, draw(everything, 9, 0, 4)));
  kernels::Stream host;
  const std::vector<int64_t> step{9};
  Drawn expected{std::vector<WindowChange>(drawn.changes.size()), std::vector<double>(drawn.v.size())};
  kernels::draw_changes(host, {.augmentation = everything,
                               .seed = 3,
                               .step = {step.data(), 1, {}},
                               .speed_column = 0,
                               .values = {values_.data(), static_cast<int64_t>(values_.size()), {}},
                               .bands = bands,
                               .frames = frames,
                               .band_ratio = band_ratio,
                               .changes = {expected.changes.data(), shape().windows, {}},
                               .v = {expected.v.data(), static_cast<int64_t>(expected.v.size()), {}}});
  EXPECT_TRUE(same(drawn, expected));
  for (size_t i = 1; i < drawn.changes.size(); ++i) {
    EXPECT_NE(drawn.changes[i].noise_key, drawn.changes[i - 1].noise_key);
  }
}

INSTANTIATE_TEST_SUITE_P(Batches, Augment, on_every_backend<Batch>({{1, 1, 1}, {33, 3, 2}, {7, 1, 0}, {4000, 2, 2}}),
                         case_name<Batch>);
INSTANTIATE_TEST_SUITE_P(Batches, AugmentByMoves, on_every_backend<Batch>({{4000, 2, 1}}), case_name<Batch>);
INSTANTIATE_TEST_SUITE_P(Batches, AugmentOfMany, on_every_backend<Batch>({{4000, 2, 2}}), case_name<Batch>);

}  // namespace
}  // namespace evenflow::tests
