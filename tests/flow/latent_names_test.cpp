// Parameters that are names: how zd is dealt to their categories, and what scores and estimates then are.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flow/glow_model.h"
#include "flow/latent.h"
#include "io/error.h"
#include "kernels/copy.h"
#include "tests/support/backends.h"
#include "tests/support/error_message.h"
#include "tests/support/guard.h"

namespace evenflow::flow {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using tests::message_of;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

const std::vector<std::string> names = {"velocity_mm_s", "tool"};
const io::Categories categories = {{}, {"A", "B", "C", "D"}};

/// A number and a name, of which no clip has "C".
io::ConditionData fitted() {
  return fit_condition({}, names, {{100, 3}, {300, 0}, {100, 0}, {missing, 1}, {300, missing}}, categories);
}

GlowShape small_shape(int64_t width = 24) {
  GlowShape shape;
  shape.blocks = 2;
  shape.steps = 1;
  shape.hidden = 3;
  shape.height = 8;
  shape.width = width;
  return shape;
}

TEST(FitConditionOfNames, KeepsTheNamesOfTheTrainingClips) {
  const io::ConditionData data = fitted();
  EXPECT_FALSE(data.is_category(0));
  EXPECT_TRUE(data.is_category(1));
  EXPECT_EQ(data.categories, (io::Categories{{}, {"A", "B", "D"}}));
  EXPECT_EQ(data.frequency, (std::vector<std::vector<double>>{{}, {0.5, 0.25, 0.25}}));
  EXPECT_EQ(data.training_values[1], (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(data.v0[1], 0.0);
  EXPECT_EQ(data.k[1], 6.0);
  EXPECT_EQ(data.k[0], 6.0 / 200);
}

/// Parameters that are numbers (0) or names of so many categories.
io::ConditionData condition_of(const std::vector<int>& counts) {
  io::ConditionData data;
  for (const int count : counts) {
    data.names.push_back("p" + std::to_string(data.names.size()));
    std::vector<std::string>& own = data.categories.emplace_back();
    for (int c = 0; c < count; ++c) {
      own.push_back("c" + std::to_string(c));
    }
    data.frequency.emplace_back(own.size(), 1.0 / std::max(1, count));
    data.k.push_back(6);
    data.v0.push_back(0);
    data.mean.push_back(0);
    data.std.push_back(1);
  }
  return data;
}

// zd has 4 channels here, and 48 elements. What is kept can be dealt.
TEST(CarriedByZd, AsManyAsDealEvenlyNumbersFirst) {
  struct Case {
    std::vector<int> categories;
    std::vector<size_t> kept;
  };
  const std::vector<Case> cases = {{{}, {}},
                                   {{0}, {0}},
                                   {{0, 3}, {0, 1}},
                                   {{3, 0, 0}, {1, 2}},
                                   {{2, 3, 0, 0}, {0, 1, 2, 3}},
                                   {{5}, {}},
                                   {{5, 0}, {1}},
                                   {{16, 5}, {0}},  // only one has a run that 16 divide
                                   {{0, 0, 0, 0, 0}, {0, 1, 2, 3}},
                                   {{48}, {0}},
                                   {{24, 24}, {0, 1}}};
  for (const Case& one : cases) {
    const io::ConditionData condition = condition_of(one.categories);
    const CarriedParameters carried = carried_by_zd(small_shape(), condition);
    EXPECT_EQ(carried.kept, one.kept) << testing::PrintToString(one.categories);
    EXPECT_EQ(carried.kept.size() + carried.left_out.size(), one.categories.size());
    std::vector<int> kept;
    for (const size_t p : carried.kept) {
      kept.push_back(one.categories[p]);
    }
    EXPECT_NO_THROW(deal_latents(small_shape(), condition_of(kept)));
  }
  EXPECT_EQ(carried_by_zd(small_shape(), condition_of({0, 5})).left_out,
            std::vector<std::string>{"p1 is left out: the 48 elements of zd for p1 cannot be dealt evenly to its 5 "
                                     "categories (c0, c1, c2, c3, c4); with window.window_frames 20 or 40 they can"});
  EXPECT_THAT(carried_by_zd(small_shape(), condition_of({0, 0, 0})).left_out,
              ElementsAre(AllOf(HasSubstr("p2 is left out: zd carries 2 of 3 parameters, to which its 4 channels"),
                                HasSubstr("condition.parameters"))));
  EXPECT_THAT(carried_by_zd(small_shape(), condition_of({65})).left_out,
              ElementsAre("p0 is left out: it has 65 categories, and zd carries 64 at most"));
  // No length of a window makes room for a third.
  EXPECT_THAT(carried_by_zd(small_shape(), condition_of({0, 0, 5})).left_out,
              ElementsAre(AllOf(HasSubstr("evenly to its 5 categories"), Not(HasSubstr("they can")))));
  // The lengths that a reason names help.
  EXPECT_EQ(carried_by_zd(small_shape(20), condition_of({0, 5})).kept, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(carried_by_zd(small_shape(40), condition_of({0, 5})).kept, (std::vector<size_t>{0, 1}));
}

TEST(FitConditionOfNames, TakesAKAndNoV0) {
  io::ConditionSettings settings;
  settings.parameters = {"tool:category"};
  settings.k = {2.0};
  EXPECT_EQ(fit_condition(settings, names, {{1, 0}, {1, 1}}, categories).k, std::vector<double>{2.0});
  settings.v0 = {0.5};
  EXPECT_THAT(message_of<io::UsageError>([&] {
                fit_condition(settings, names, {{1, 0}, {1, 1}}, categories);
              }),
              AllOf(HasSubstr("condition.v0"), HasSubstr("tool")));
  settings.v0 = {};
  for (const double k : {300.0, 1e-5}) {
    settings.k = {k};
    EXPECT_THROW(fit_condition(settings, names, {{1, 0}, {1, 1}}, categories), io::DataError) << k;
  }
}

TEST(DealLatents, DealsANamesRunToItsCategories) {
  // zd has 4 channels of 2 x 6: 24 elements for each of the two parameters.
  const std::vector<LatentRun> runs = deal_latents(small_shape(), fitted());
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].category, -1);
  EXPECT_EQ(runs[0].count, 24);
  for (int64_t c = 0; c < 3; ++c) {
    const LatentRun& run = runs[static_cast<size_t>(c) + 1];
    EXPECT_EQ(run.parameter, 1U);
    EXPECT_EQ(run.category, c);
    EXPECT_EQ(run.first, 24 + 8 * c);
    EXPECT_EQ(run.count, 8);
  }
}

TEST(DealLatents, AnUnevenDealNamesTheNextLengthsOfAWindow) {
  const std::string message = message_of<io::UsageError>([] { deal_latents(small_shape(32), fitted()); });
  EXPECT_THAT(message, AllOf(HasSubstr("32 elements of zd for tool"), HasSubstr("3 categories (A, B, D)"),
                             HasSubstr("window.window_frames to 24 or 36"), HasSubstr("condition.parameters")));
  EXPECT_NO_THROW(deal_latents(small_shape(36), fitted()));
  const std::string smallest = message_of<io::UsageError>([] { deal_latents(small_shape(4), fitted()); });
  EXPECT_THAT(smallest, HasSubstr("window.window_frames to 12,"));
}

TEST(DealLatents, ManyCategoriesAreRefused) {
  io::ConditionData data = fitted();
  data.categories[1].assign(64, "x");
  EXPECT_THAT(message_of<io::UsageError>([&] { deal_latents(small_shape(64), data); }), HasSubstr("64 at most"));
}

/// log N(z; mean, 1), of a run of a window's zd.
double log_density(const std::vector<float>& zd, const LatentRun& run, double mean) {
  double sum = 0;
  for (int64_t i = run.first; i < run.first + run.count; ++i) {
    const double off = static_cast<double>(zd[static_cast<size_t>(i)]) - mean;
    sum -= kernels::half_log_2pi + 0.5 * off * off;
  }
  return sum;
}

double mean_of(const std::vector<float>& zd, const LatentRun& run) {
  double sum = 0;
  for (int64_t i = run.first; i < run.first + run.count; ++i) {
    sum += static_cast<double>(zd[static_cast<size_t>(i)]);
  }
  return sum / static_cast<double>(run.count);
}

// Scores, posterior and estimate again from the latents, category by category; a k at which no category is certain.
TEST(LatentPriorOfNames, ScoresAreThoseOfTheMixture) {
  for (const tests::BackendUnderTest& backend : tests::devices_under_test()) {
    SCOPED_TRACE(backend.name);
    const tests::SelectedBackend selected(backend);
    io::ConditionData data = fitted();
    data.k[1] = 0.5;
    const GlowShape shape = small_shape();
    const GlowModel model(shape, data, 3, backend.device);
    kernels::Stream stream(backend.device);
    constexpr int64_t windows = 4;
    tests::Rng rng(11);
    const std::vector<float> x = tests::random_floats(rng, windows * shape.dimensions());
    kernels::Buffer<float> on_device(windows * shape.dimensions(), backend.device);
    kernels::upload<float>(stream, x, on_device.view());
    const auto pass = model.make_pass(windows, PassMode::score);
    WindowScores scores(model, windows);
    const std::vector<double> v = {200, 2, 100, 0, missing, 1, 300, missing};
    pass->score(stream, kernels::make_map(on_device.data(), windows, 1, shape.height, shape.width, backend.device), v,
                scores, 0);
    const std::vector<LatentRun>& runs = model.prior().runs();
    for (int64_t i = 0; i < windows; ++i) {
      std::vector<float> latents(static_cast<size_t>(model.zc_size() + model.zd_size()));
      pass->copy_latents(stream, i, latents);
      stream.synchronise();
      const std::vector<float> zd(latents.begin() + model.zc_size(), latents.end());
      std::vector<double> joint;  // log of frequency times density
      double total = 0, centred = 0;
      for (int64_t c = 0; c < 3; ++c) {
        double own = std::log(data.frequency[1][static_cast<size_t>(c)]);
        for (int64_t r = 0; r < 3; ++r) {
          own += log_density(zd, runs[static_cast<size_t>(r) + 1], r == c ? 0.5 : 0.0);
        }
        joint.push_back(own);
        total += std::exp(own);
        const LatentRun& run = runs[static_cast<size_t>(c) + 1];
        centred += log_density(zd, run, mean_of(zd, run));
      }
      const auto likeliest = std::max_element(joint.begin(), joint.end()) - joint.begin();
      EXPECT_EQ(scores.estimates[i][1], static_cast<double>(likeliest));
      for (size_t c = 0; c < 3; ++c) {
        const double expected = std::exp(joint[c]) / total;
        EXPECT_TRUE(std::abs(scores.posteriors[i][c] - expected) <= 1e-9) << scores.posteriors[i][c] << expected;
        EXPECT_TRUE(std::abs(scores.memberships[i][c] - mean_of(zd, runs[c + 1]) / 0.5) <= 1e-9);
      }
      // nll less nll_given_v is the name's and the number's marginal over what is given.
      const double value = v[static_cast<size_t>(2 * i)], code = v[static_cast<size_t>(2 * i + 1)];
      if (std::isnan(value) || std::isnan(code)) {
        EXPECT_TRUE(std::isnan(scores.of(i, "nll_given_v")));
      } else {
        const double given = log_density(zd, runs[0], data.k[0] * (value - data.v0[0])) +
                             joint[static_cast<size_t>(code)] - std::log(data.frequency[1][static_cast<size_t>(code)]);
        const double expected = -(scores.of(i, "log_p_zc") + given + scores.of(i, "log_det"));
        EXPECT_TRUE(std::abs(scores.of(i, "nll_given_v") - expected) <= 1e-9 * (1 + std::abs(expected)));
      }
      const double mean = mean_of(zd, runs[0]), n = static_cast<double>(runs[0].count);
      const double spread = 1 + n * std::pow(data.k[0] * data.std[0], 2);
      const double off = mean - data.k[0] * (data.mean[0] - data.v0[0]);
      const double number = log_density(zd, runs[0], mean) - 0.5 * std::log(spread) - 0.5 * n * off * off / spread;
      const double nll = -(scores.of(i, "log_p_zc") + number + std::log(total) + scores.of(i, "log_det"));
      EXPECT_TRUE(std::abs(scores.of(i, "nll") - nll) <= 1e-9 * (1 + std::abs(nll))) << scores.of(i, "nll") << nll;
      const double scatter = -(scores.of(i, "log_p_zc") + log_density(zd, runs[0], mean) + centred);
      EXPECT_TRUE(std::abs(scores.of(i, "score_scatter") - scatter) <= 1e-9 * (1 + std::abs(scatter)));
    }
  }
}

// The training's loss and the scores are told apart in code; they must agree.
TEST(LatentPriorOfNames, TheLossIsTheScore) {
  for (const tests::BackendUnderTest& backend : tests::devices_under_test()) {
    SCOPED_TRACE(backend.name);
    const tests::SelectedBackend selected(backend);
    const GlowShape shape = small_shape();
    const GlowModel model(shape, fitted(), 3, backend.device);
    kernels::Stream stream(backend.device);
    tests::Rng rng(12);
    const std::vector<float> x = tests::random_floats(rng, 2 * shape.dimensions());
    kernels::Buffer<float> on_device(2 * shape.dimensions(), backend.device);
    kernels::upload<float>(stream, x, on_device.view());
    const kernels::Map windows = kernels::make_map(on_device.data(), 2, 1, shape.height, shape.width, backend.device);
    const auto pass = model.make_pass(2, PassMode::train);
    const std::vector<double> v = {200, 1, missing, missing};
    const kernels::Buffer<double> v_on_device(4, backend.device), nll(2, backend.device);
    kernels::upload<double>(stream, v, v_on_device.view());
    pass->loss(stream, windows, v_on_device.view(), nll.view());
    const std::vector<double> losses = kernels::to_host(stream, nll.view());
    WindowScores scores(model, 2);
    pass->score(stream, windows, v, scores, 0);
    EXPECT_TRUE(std::abs(losses[0] - scores.of(0, "nll_given_v")) <= 1e-9 * std::abs(losses[0]));
    EXPECT_TRUE(std::abs(losses[1] - scores.of(1, "nll")) <= 1e-9 * std::abs(losses[1]));
  }
}

}  // namespace
}  // namespace evenflow::flow
