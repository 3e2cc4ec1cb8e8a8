#include "flow/latent.h"

#include "flow/factory.h"
#include "flow/glow_model.h"
#include "flow/random.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.h"
#include "kernels/copy.h"
#include "tests/support/backends.h"
#include "tests/support/error_message.h"
#include "tests/support/guard.h"

namespace evenflow::flow {
namespace {

using testing::HasSubstr;
using tests::message_of;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

io::ConditionData condition_of(size_t parameters) {
  io::ConditionData out;
  for (size_t i = 0; i < parameters; ++i) {
    out.names.push_back("parameter_" + std::to_string(i));
    out.k.push_back(0.01 * static_cast<double>(i + 1));
    out.v0.push_back(350.0);
    out.mean.push_back(400.0);
    out.std.push_back(200.0);
    out.training_values.push_back({50.0, 750.0});
  }
  return out;
}

TEST(LatentPrior, DealsZdEvenlyOrSaysHow) {
  GlowShape shape;
  shape.blocks = 1;  // zd has two channels
  EXPECT_NO_THROW(LatentPrior(shape, condition_of(0)));
  EXPECT_NO_THROW(LatentPrior(shape, condition_of(1)));
  EXPECT_NO_THROW(LatentPrior(shape, condition_of(2)));
  const std::string message = message_of<io::UsageError>([&] { LatentPrior(shape, condition_of(3)); });
  EXPECT_THAT(message, HasSubstr("2 channels of zd"));
  EXPECT_THAT(message, HasSubstr("3 parameters (parameter_0, parameter_1, parameter_2)"));
  EXPECT_THAT(message, HasSubstr("model.blocks"));
}

TEST(LatentPrior, LossGradientFollowsDifferences) {
  // d nll / d z of the three kinds of window (v known, unknown, no condition), by central differences in float64 of the
  // reported nll over steps large enough for float32 latents: nll is a quadratic in z, so no step is too large.
  GlowShape shape;
  shape.blocks = 2;
  shape.steps = 1;
  shape.hidden = 3;
  shape.height = 8;
  shape.width = 4;
  Glow glow(shape, 3);
  kernels::Stream stream;
  glow.assemble(stream);
  tests::Rng rng(7);
  const std::vector<float> x = tests::random_floats(rng, 2 * shape.dimensions());
  kernels::Buffer<float> input(2 * shape.dimensions());
  std::copy(x.begin(), x.end(), input.data());
  for (const size_t parameters : {size_t{0}, size_t{1}, size_t{2}}) {
    const LatentPrior prior(shape, condition_of(parameters));
    GlowPass pass(glow, 2, PassMode::train);
    pass.forward(stream, kernels::make_map(input.data(), 2, 1, shape.height, shape.width));
    std::vector<double> v(2 * parameters, 500.0);
    if (parameters > 0) {
      v[0] = nan;
    }
    std::vector<double> nll(2);
    const auto loss = [&] {
      prior.loss(stream, pass, glow.constant_log_det(), {v.data(), static_cast<int64_t>(v.size()), {}}, 1.0,
                 {nll.data(), 2, {}});
      return nll[0] + nll[1];
    };
    loss();
    const auto check = [&](kernels::Map z, kernels::Map dz, const char* what) {
      for (int64_t n = 0; n < 2; ++n) {
        for (int64_t i = 0; i < z.c * z.pixels(); ++i) {
          loss();
          const double gradient = static_cast<double>(dz.sample(n)[i]);
          float& at = z.sample(n)[i];
          const float here = at;
          at = here + 0.5F;
          const double above = static_cast<double>(at);
          const double loss_above = loss();
          at = here - 0.5F;
          const double below = static_cast<double>(at);
          const double loss_below = loss();
          // The chord of a quadratic is its slope in the chord's middle, which rounding may have moved.
          const double moved = std::abs(0.5 * (above + below) - static_cast<double>(here));
          at = here;
          const double difference = (loss_above - loss_below) / (above - below);
          const double bound = moved + 4 * tests::eps32 * (std::abs(gradient) + 10.0) + 1e-9;
          EXPECT_TRUE(std::abs(difference - gradient) <= bound)
              << what << " " << n << "," << i << ": " << difference << " by differences, " << gradient;
        }
      }
    };
    check(pass.zc(0), pass.dzc(0), "zc of block 1");
    check(pass.zc(1), pass.dzc(1), "zc of block 2");
    check(pass.zd(), pass.dzd(), "zd");
  }
}

TEST(FitCondition, DefaultsSpanSixAndCentreOnTheMean) {
  const io::ConditionData data =
      fit_condition({}, {"velocity_mm_s", "distance_mm"}, {{100, 250}, {700, nan}, {100, 500}, {nan, 250}});
  EXPECT_EQ(data.names, (std::vector<std::string>{"velocity_mm_s", "distance_mm"}));
  EXPECT_EQ(data.training_values, (std::vector<std::vector<double>>{{100, 700}, {250, 500}}));
  const auto expect = [](double actual, double expected) {
    EXPECT_TRUE(std::abs(actual - expected) <= 4 * tests::eps64 * std::abs(expected)) << actual << " " << expected;
  };
  expect(data.mean[0], 300.0);
  expect(data.v0[0], 300.0);
  expect(data.std[0], std::sqrt((200.0 * 200 + 400.0 * 400 + 200.0 * 200) / 3));  // biased
  expect(data.k[0], 0.01);
  expect(data.k[0] * (700 - 100), 6.0);
  expect(data.mean[1], 1000.0 / 3);
  expect(data.k[1], 6.0 / 250);
}

TEST(FitCondition, TakesWhatIsGivenAndInItsOrder) {
  io::ConditionSettings settings;
  settings.parameters = {"distance_mm", "velocity_mm_s"};
  settings.k = {0.5, -0.25};
  settings.v0 = {0.0, 7.0};
  const io::ConditionData data =
      fit_condition(settings, {"velocity_mm_s", "load", "distance_mm"}, {{100, nan, 250}, {700, nan, 500}});
  EXPECT_EQ(data.names, settings.parameters);
  EXPECT_EQ(data.k, settings.k);
  EXPECT_EQ(data.v0, settings.v0);
  EXPECT_EQ(data.mean, (std::vector<double>{375, 400}));
}

TEST(FitCondition, OffMeansUnconstrained) {
  io::ConditionSettings settings;
  settings.enabled = false;
  EXPECT_TRUE(fit_condition(settings, {"velocity_mm_s"}, {{100}, {100}}).names.empty());
}

TEST(FitCondition, SaysWhatIsWrong) {
  const std::vector<std::string> names{"velocity_mm_s"};
  const std::vector<std::vector<double>> values{{100}, {700}};
  io::ConditionSettings settings;
  settings.k = {0.1, 0.2};
  EXPECT_THAT(message_of<io::UsageError>([&] { fit_condition(settings, names, values); }),
              HasSubstr("condition.k has 2 values for 1 parameters (velocity_mm_s)"));
  settings.k = {0.0};
  EXPECT_THAT(message_of<io::UsageError>([&] { fit_condition(settings, names, values); }), HasSubstr("condition.k"));
  settings.k = {nan};
  EXPECT_THAT(message_of<io::UsageError>([&] { fit_condition(settings, names, values); }), HasSubstr("not finite"));
  settings.k = {};
  settings.v0 = {1.0, 2.0};
  EXPECT_THAT(message_of<io::UsageError>([&] { fit_condition(settings, names, values); }),
              HasSubstr("condition.v0 has 2 values"));
  settings.v0 = {};
  settings.parameters = {"speed"};
  EXPECT_THAT(message_of<io::UsageError>([&] { fit_condition(settings, names, values); }),
              testing::AllOf(HasSubstr("'speed'"), HasSubstr("velocity_mm_s")));
  for (const std::vector<std::vector<double>>& few :
       std::vector<std::vector<std::vector<double>>>{{}, {{nan}}, {{100}, {100}, {nan}}}) {
    EXPECT_THAT(
        message_of<io::DataError>([&] { fit_condition({}, names, few); }),
        testing::AllOf(HasSubstr("velocity_mm_s"), HasSubstr("at least two"), HasSubstr("condition.parameters")));
  }
}

// ---- a k that cannot carry its parameter

TEST(FitCondition, RefusesAParameterThatNoKCanCarry) {
  const std::vector<std::string> names{"speed_rpm"};
  for (const std::vector<std::vector<double>>& values :
       std::vector<std::vector<std::vector<double>>>{{{0}, {5e-324}},
                                                     {{-1e308}, {1e308}},
                                                     {{1e-310}, {2e-310}},
                                                     {{1e300}, {3e300}},
                                                     {{1e-200}, {2e-200}},
                                                     {{0}, {std::numeric_limits<double>::infinity()}}}) {
    EXPECT_THAT(message_of<io::DataError>([&] { fit_condition({}, names, values); }),
                testing::AllOf(HasSubstr("speed_rpm runs from"), HasSubstr("k = "), HasSubstr("another unit")));
  }
}

TEST(FitCondition, RefusesAKThatDrownsTheLikelihoodOrSaysNothing) {
  const std::vector<std::string> names{"speed_rpm"};
  const std::vector<std::vector<double>> values{{100}, {300}};
  io::ConditionSettings settings;
  for (const double k : {1e300, 1e30, 1e6, 41.0, -41.0, 1e-6, -1e-6, 1e-30, 5e-324}) {
    settings.k = {k};
    EXPECT_THAT(message_of<io::DataError>([&] { fit_condition(settings, names, values); }), HasSubstr("speed_rpm"))
        << k;
  }
  settings.k = {};
  for (const double v0 : {1e4, 1e5, -1e5, 1e12, -1e308}) {
    settings.v0 = {v0};
    EXPECT_THAT(message_of<io::DataError>([&] { fit_condition(settings, names, values); }), HasSubstr("v0")) << v0;
  }
}

TEST(FitCondition, SaysWhyAParameterCannotBeCarried) {
  const auto reason = [](double low, double high, std::vector<double> k, std::vector<double> v0) {
    io::ConditionSettings settings;
    settings.k = std::move(k);
    settings.v0 = std::move(v0);
    return message_of<io::DataError>([&] { fit_condition(settings, {"speed_rpm"}, {{low}, {high}}); });
  };
  EXPECT_THAT(reason(-1e170, 1e170, {}, {}), HasSubstr("the square of k is 0"));
  EXPECT_THAT(reason(1e-170, 3e-170, {1.0}, {}), HasSubstr("the variance of its values is 0"));
  EXPECT_THAT(reason(100, 300, {}, {1e5}), HasSubstr("k (v - v0) may be 256 at most"));
  EXPECT_THAT(reason(100, 300, {1e-7}, {}), HasSubstr("must differ by"));
}

TEST(FitCondition, TakesValuesThatAreCloseOrFarApart) {
  const std::vector<std::string> names{"time_s"};
  for (const std::vector<std::vector<double>>& values : std::vector<std::vector<std::vector<double>>>{
           {{1700000000.1}, {1700000000.2}}, {{1e-12}, {3e-12}}, {{-1e15}, {1e15}}}) {
    const io::ConditionData data = fit_condition({}, names, values);
    EXPECT_NEAR(data.k[0] * (values[1][0] - values[0][0]), 6.0, 1e-9);
  }
  io::ConditionSettings literal;  // the paper's k v, uncentred
  literal.k = {0.1};
  literal.v0 = {0.0};
  EXPECT_EQ(fit_condition(literal, names, {{100}, {700}}).k[0], 0.1);
}

TEST(RequireCondition, RefusesWhatAFileMayHold) {
  const io::ConditionData good = fit_condition({}, {"speed_rpm"}, {{100}, {300}});
  require_condition(good);
  require_condition({});
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, inf, -inf, nan, 1e300}) {
    io::ConditionData data = good;
    data.k[0] = bad;
    EXPECT_THROW(require_condition(data), io::DataError) << bad;
    EXPECT_THROW(make_scoring_model({}, data, {}), io::DataError) << bad;
  }
  for (const double bad : {0.0, inf, nan}) {
    io::ConditionData data = good;
    data.std[0] = bad;
    EXPECT_THROW(require_condition(data), io::DataError) << bad;
  }
  io::ConditionData data = good;
  data.v0[0] = nan;
  EXPECT_THROW(require_condition(data), io::DataError);
}

// A window's descriptor, again from its latents.
TEST(GlowModel, ItsDescriptorIsZcPooledOverTime) {
  for (const tests::BackendUnderTest& backend : tests::devices_under_test()) {
    SCOPED_TRACE(backend.name);
    const tests::SelectedBackend selected(backend);
    const kernels::Device device = backend.device;
    GlowShape shape;
    shape.blocks = 2;
    shape.steps = 1;
    shape.hidden = 3;
    shape.height = 8;
    shape.width = 12;
    const GlowModel model(shape, condition_of(1), 3, device);
    constexpr int64_t windows = 3;
    kernels::Stream stream(device);
    Random random(2);
    std::vector<float> x;
    for (int64_t i = 0; i < windows * model.dimensions(); ++i) {
      x.push_back(static_cast<float>(random.normal()));
    }
    kernels::Buffer<float> on_device(static_cast<int64_t>(x.size()), device);
    kernels::upload<float>(stream, x, on_device.view());
    const auto pass = model.make_pass(windows, PassMode::score);
    WindowScores scores(model, windows + 1);
    pass->score(stream, kernels::make_map(on_device.data(), windows, 1, shape.height, shape.width, device), {}, scores,
                1);
    ASSERT_EQ(model.descriptor_size(), 2 * (2 * 4 + 4 * 2));
    for (int64_t i = 0; i < windows; ++i) {
      std::vector<float> latents(static_cast<size_t>(model.zc_size() + model.zd_size()));
      pass->copy_latents(stream, i, latents);
      stream.synchronise();
      const std::span<const float> descriptor = scores.descriptors[i + 1];
      size_t latent = 0, at = 0;
      for (const auto& [rows, width] : {std::pair<size_t, size_t>{2 * 4, 6}, {4 * 2, 3}}) {
        for (size_t row = 0; row < rows; ++row) {
          double sum = 0, squares = 0;
          for (size_t k = 0; k < width; ++k, ++latent) {
            sum += latents[latent];
            squares += static_cast<double>(latents[latent]) * latents[latent];
          }
          const double length = static_cast<double>(width), root = std::sqrt(squares / length);
          EXPECT_TRUE(std::abs(descriptor[at + row] - sum / length) <= 1e-6 * root) << i << " " << row;
          EXPECT_TRUE(std::abs(descriptor[at + rows + row] - root) <= 1e-6 * root) << i << " " << row;
        }
        at += 2 * rows;
      }
    }
  }
}

}  // namespace
}  // namespace evenflow::flow
