#include "train/detect/workers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "flow/glow_model.h"
#include "tests/train/train_fixture.h"
#include "train/loop/guard.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

using testing::bands;

// Frames of several operating points and windows cut from them, some of whose v is unknown.
struct Batch {
  std::vector<float> frames;
  std::vector<int64_t> start;
  std::vector<double> v;
  WindowBatch view() const { return {frames, start, v}; }
};

Batch make_batch(int64_t windows) {
  Batch batch;
  for (int64_t i = 0; i < windows; ++i) {
    const double v = 100.0 + 50.0 * static_cast<double>(i % 9);
    const std::vector<float> frames = testing::synthetic_frames(8, v, false, static_cast<uint64_t>(i));
    batch.start.push_back(static_cast<int64_t>(batch.frames.size()) / bands);
    batch.frames.insert(batch.frames.end(), frames.begin(), frames.end());
    batch.v.push_back(i % 5 == 4 ? std::nan("") : v);
  }
  return batch;
}

io::ConditionData velocity() {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.k = {0.015};
  condition.v0 = {300};
  condition.mean = {300};
  condition.std = {130};
  condition.training_values = {{100, 500}};
  return condition;
}

io::NormaliserData normaliser() {
  return {std::vector<float>(bands, -38.0F), std::vector<float>(bands, 7.0F)};
}

// Away from the initial point, where the couplings' last convolutions are zero and most gradients with them.
void shake(flow::Glow& glow, double size) {
  const kernels::Array<float> p = glow.parameters();
  for (int64_t i = 0; i < p.size; ++i) {
    p[i] += static_cast<float>(size * random_normal(3, 0, static_cast<uint64_t>(i)));
  }
}

struct Variant {
  const char* name;
  io::InvconvKind invconv;
  io::ZdHalf zd_half;
};

class WorkersTest : public ::testing::TestWithParam<Variant> {
 protected:
  WorkersTest() : model_(shape(), velocity(), 11) {
    kernels::Stream stream;
    const Batch batch = make_batch(32);
    Workers workers(model_, normaliser(), 1, false);
    const kernels::Buffer<float> x = workers.normalised(batch.view());
    glow_.initialise_actnorm(stream, kernels::make_map(x.data(), 32, 1, glow_.shape().height, glow_.shape().width));
    shake(glow_, 0.02);
    glow_.assemble(stream);
  }
  static flow::GlowShape shape() {
    io::Config config = testing::tiny_config();
    config.model.invconv = GetParam().invconv;
    config.condition.zd_half = GetParam().zd_half;
    return flow::glow_shape(config);
  }
  flow::GlowModel model_;
  flow::Glow& glow_ = model_.glow();
};

TEST_P(WorkersTest, TheNumberOfThreadsChangesNoBit) {
  for (const int64_t windows : {1, 15, 16, 17, 37}) {
    const Batch batch = make_batch(windows);
    std::vector<float> expected_gradient;
    std::vector<double> expected_nll, nll(static_cast<size_t>(windows));
    double expected_loss = 0;
    for (const int threads : {1, 2, 3, 5}) {
      Workers workers(model_, normaliser(), threads, true);
      EXPECT_EQ(workers.threads(), threads);
      const double loss = workers.loss_and_gradient(batch.view(), nll);
      const kernels::Array<float> gradient = workers.gradient();
      if (threads == 1) {
        expected_loss = loss;
        expected_nll = nll;
        expected_gradient.assign(gradient.data, gradient.data + gradient.size);
        continue;
      }
      EXPECT_EQ(loss, expected_loss);
      EXPECT_EQ(nll, expected_nll);
      EXPECT_EQ(std::memcmp(gradient.data, expected_gradient.data(), expected_gradient.size() * sizeof(float)), 0)
          << threads << " threads, " << windows << " windows";
    }
  }
}

TEST_P(WorkersTest, ASecondCallStartsFromZero) {
  Workers workers(model_, normaliser(), 2, true);
  const Batch large = make_batch(37), small = make_batch(9);
  std::vector<double> nll(37);
  workers.loss_and_gradient(small.view(), nll);
  const std::vector<float> first(workers.gradient().data, workers.gradient().data + workers.gradient().size);
  workers.loss_and_gradient(large.view(), nll);
  workers.loss_and_gradient(small.view(), nll);
  EXPECT_EQ(std::memcmp(workers.gradient().data, first.data(), first.size() * sizeof(float)), 0);
}

// The directional derivative along random directions by central differences: the loss is a float64 sum of float32
// passes, so its noise is about 1e-7 relative, and a step of 1e-3 leaves 1e-4 of the gradient's length.
TEST_P(WorkersTest, GradientIsTheLossesDerivative) {
  const Batch batch = make_batch(19);
  std::vector<double> nll(19);
  Workers workers(model_, normaliser(), 2, true);
  kernels::Stream stream;
  workers.loss_and_gradient(batch.view(), nll);
  const kernels::Array<float> gradient = workers.gradient();
  const std::vector<float> g(gradient.data, gradient.data + gradient.size);
  const kernels::Array<float> p = glow_.parameters();
  const std::vector<float> centre(p.data, p.data + p.size);
  for (const flow::ArenaEntry& entry : glow_.layout().entries()) {
    // Along the gradient itself, one tensor at a time.
    double length = 0;
    for (int64_t i = entry.offset; i < entry.offset + entry.size; ++i) {
      length += std::pow(g[static_cast<size_t>(i)], 2);
    }
    length = std::sqrt(length);
    if (!(length > 1e-6)) {
      continue;
    }
    constexpr double step = 1e-3;
    const auto loss_at = [&](double at) {
      for (int64_t i = entry.offset; i < entry.offset + entry.size; ++i) {
        const auto j = static_cast<size_t>(i);
        p[i] = static_cast<float>(centre[j] + at * g[j] / length);
      }
      glow_.assemble(stream);
      return workers.loss(batch.view(), nll);
    };
    const double difference = (loss_at(step) - loss_at(-step)) / (2 * step);
    loss_at(0);
    EXPECT_TRUE(std::abs(difference - length) <= 0.02 * length + 2e-5)
        << entry.name << ": " << difference << " and " << length;
  }
}

TEST_P(WorkersTest, LossIsTheMeanOfTheScores) {
  const Batch batch = make_batch(23);
  std::vector<double> nll(23);
  flow::WindowScores scores(model_, 23);
  Workers workers(model_, normaliser(), 3, true), scorer(model_, normaliser(), 2, false);
  const double loss = workers.loss_and_gradient(batch.view(), nll);
  EXPECT_EQ(workers.loss(batch.view(), nll), loss);
  scorer.score(batch.view(), scores);
  double sum = 0;
  for (size_t i = 0; i < nll.size(); ++i) {
    const double expected = scores.of(static_cast<int64_t>(i), std::isnan(batch.v[i]) ? "nll" : "nll_given_v");
    EXPECT_TRUE(std::abs(nll[i] - expected) <= 1e-9 * std::abs(expected)) << i;
    sum += expected;
  }
  const double mean = sum / (23.0 * static_cast<double>(glow_.shape().dimensions()));
  EXPECT_TRUE(std::abs(loss - mean) <= 1e-9 * std::abs(mean));
}

TEST_P(WorkersTest, LatentsGiveTheScores) {
  const Batch batch = make_batch(11);
  flow::WindowScores scores(model_, 11), expected(model_, 11);
  Workers workers(model_, normaliser(), 2, false);
  workers.score(batch.view(), expected);
  int64_t next = 0;
  workers.encode(batch.view(), scores, [&](int64_t window, std::span<const float> zc, std::span<const float> zd) {
    EXPECT_EQ(window, next++);
    EXPECT_EQ(static_cast<int64_t>(zc.size() + zd.size()), glow_.shape().dimensions());
    double log_p = 0, mean = 0;
    for (const float z : zc) {
      log_p -= 0.5 * (double{z} * z + std::log(2 * M_PI));
    }
    for (const float z : zd) {
      mean += z / static_cast<double>(zd.size());
    }
    const double score_zc = expected.of(window, "score_zc"), estimate = expected.estimates[window][0];
    EXPECT_TRUE(std::abs(-log_p - score_zc) <= 1e-6 * score_zc);
    EXPECT_TRUE(std::abs(mean / 0.015 + 300 - estimate) <= 1e-3) << estimate;
  });
  EXPECT_EQ(next, 11);
  for (int64_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores.of(i, "nll"), expected.of(i, "nll"));
  }
}

TEST_P(WorkersTest, ANonFiniteWindowIsReturnedAndTraced) {
  Batch batch = make_batch(9);
  batch.frames[size_t{3} * 8 * bands + 5] = std::nanf("");
  std::vector<double> nll(9);
  Workers workers(model_, normaliser(), 2, true);
  EXPECT_FALSE(std::isfinite(workers.loss_and_gradient(batch.view(), nll)));
  for (size_t i = 0; i < nll.size(); ++i) {
    EXPECT_EQ(std::isfinite(nll[i]), i != 3) << i;
  }
  EXPECT_EQ(workers.first_non_finite(batch.view(), 3), "input");
  EXPECT_EQ(workers.first_non_finite(batch.view(), 4), "");
}

INSTANTIATE_TEST_SUITE_P(Variants, WorkersTest,
                         ::testing::Values(Variant{"plu", io::InvconvKind::plu, io::ZdHalf::second},
                                           Variant{"dense", io::InvconvKind::dense, io::ZdHalf::second},
                                           Variant{"zd_first", io::InvconvKind::plu, io::ZdHalf::first}),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace evenflow::train
