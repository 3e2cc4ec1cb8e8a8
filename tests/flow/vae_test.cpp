#include "flow/vae.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "flow/factory.h"
#include "flow/random.h"
#include "io/error.h"
#include "kernels/copy.h"
#include "tests/flow/derivative.h"
#include "tests/support/backends.h"
#include "tests/support/error_message.h"

namespace evenflow::flow {
namespace {

using kernels::Array;
using kernels::Buffer;
using ::testing::HasSubstr;

constexpr double none = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t window_count = 5;

VaeShape small() {
  return {.layers = 6, .hidden = 7, .latents = 3, .beta = 0.6, .gamma = 0.02, .height = 6, .width = 4};
}

io::ConditionData velocity() {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.k = {0.02};
  condition.v0 = {300};
  condition.mean = {280};
  condition.std = {100};
  return condition;
}

class VaeTest : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  VaeTest() : vae_(small(), velocity(), 9, GetParam().device), stream_(GetParam().device) {
    Random random(4);
    for (int64_t i = 0; i < window_count * vae_.dimensions(); ++i) {
      x_.push_back(static_cast<float>(random.normal()));
    }
    // Biases start at zero: away from there, so that no ReLU sits on its edge.
    std::vector<float> values = kernels::to_host(stream_, vae_.parameters());
    for (float& value : values) {
      value += static_cast<float>(0.05 * random.normal());
    }
    set(values);
    const std::vector<int64_t> step = {3};
    step_ = Buffer<int64_t>(1, GetParam().device);
    kernels::upload<int64_t>(stream_, step, step_.view());
    values_ = Buffer<double>(window_count, GetParam().device);
    kernels::upload<double>(stream_, v_, values_.view());
    nll_ = Buffer<double>(window_count, GetParam().device);
  }

  void set(const std::vector<float>& values) { kernels::upload<float>(stream_, values, vae_.parameters()); }
  kernels::ConstMap load(Pass& pass) {
    const kernels::Map x = pass.input();
    kernels::upload<float>(stream_, x_, Array<float>{x.data, x.size(), x.device});
    return x;
  }
  /// Mean loss of the windows in one pass, drawn from step 3.
  double loss_and_gradient(std::vector<float>& gradient) {
    const std::unique_ptr<Pass> pass = vae_.make_pass(window_count, PassMode::train);
    const Buffer<float> raw(vae_.raw_gradient_size(), GetParam().device);
    pass->loss_and_gradient(stream_, load(*pass), values_.view(), 1.0 / window_count, {step_.view(), 0}, nll_.view(),
                            raw.view());
    gradient = kernels::to_host(stream_, raw.view());
    double sum = 0;
    for (const double value : kernels::to_host(stream_, nll_.view())) {
      sum += value / window_count;
    }
    return sum;
  }

  tests::SelectedBackend selected_{GetParam()};
  Vae vae_;
  kernels::Stream stream_;
  std::vector<float> x_;
  std::vector<double> v_ = {100, 300, none, 450, 280};
  Buffer<int64_t> step_;
  Buffer<double> values_, nll_;
};
INSTANTIATE_TEST_SUITE_P(Devices, VaeTest, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

// Every tensor along its own gradient, by central differences; the noise is a function of the step and stays.
TEST_P(VaeTest, GradientIsTheLossesDerivative) {
  std::vector<float> gradient, ignored;
  loss_and_gradient(gradient);
  expect_derivative(vae_.layout(), kernels::to_host(stream_, vae_.parameters()), gradient,
                    [&](const std::vector<float>& values) {
                      set(values);
                      return loss_and_gradient(ignored);
                    });
}

TEST_P(VaeTest, ScoresAreThePartsOfTheLoss) {
  const std::unique_ptr<Pass> pass = vae_.make_pass(window_count, PassMode::train);
  const kernels::ConstMap x = load(*pass);
  WindowScores scores(vae_, window_count);
  pass->score(stream_, x, v_, scores, 0);
  pass->loss(stream_, x, values_.view(), nll_.view());
  const std::vector<double> nll = kernels::to_host(stream_, nll_.view());
  for (size_t i = 0; i < nll.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    EXPECT_TRUE(std::abs(scores.of(row, "score_loss") - nll[i]) <= 1e-6 * nll[i]) << i;
    const double kld = scores.of(row, "score_kld"), reconstruction = scores.of(row, "score_reconstruction");
    EXPECT_GT(kld, 0.0);
    const double tie = std::isnan(v_[i]) ? 0.0 : 0.02 * 24 * std::pow(0.02 * (scores.estimates[row][0] - v_[i]), 2);
    EXPECT_TRUE(std::abs(reconstruction + 0.6 * kld + tie - nll[i]) <= 1e-6 * nll[i]);
  }
  // zc, then zd: the tied latent gives the estimate.
  std::vector<float> latents(3);
  pass->copy_latents(stream_, 1, latents);
  stream_.synchronise();
  EXPECT_EQ(vae_.zc_size(), 2);
  EXPECT_EQ(vae_.zd_size(), 1);
  EXPECT_TRUE(std::abs(latents[2] / 0.02 + 300 - scores.estimates[1][0]) <= 1e-3);
}

TEST_P(VaeTest, APartOfAPassIsTheSameWindows) {
  const std::unique_ptr<Pass> pass = vae_.make_pass(window_count, PassMode::score);
  WindowScores all(vae_, window_count), some(vae_, 2);
  kernels::ConstMap x = load(*pass);
  pass->score(stream_, x, v_, all, 0);
  x = load(*pass);
  pass->score(stream_, pass->input().samples(0, 2), {}, some, 0);
  for (int64_t i = 0; i < some.size(); ++i) {
    EXPECT_EQ(some.of(i, "score_reconstruction"), all.of(i, "score_reconstruction"));
  }
}

TEST_P(VaeTest, TensorsGoOutAndIn) {
  const std::vector<io::Tensor> tensors = vae_.tensors();
  ASSERT_EQ(tensors.size(), 12U);
  EXPECT_EQ(tensors[0].name, "encoder1.weight");
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{7, 24}));
  EXPECT_EQ(tensors.back().name, "decoder3.bias");
  Vae other(small(), velocity(), 10, GetParam().device);
  EXPECT_NE(kernels::to_host(stream_, other.parameters()), kernels::to_host(stream_, vae_.parameters()));
  other.load(tensors);
  EXPECT_EQ(kernels::to_host(stream_, other.parameters()), kernels::to_host(stream_, vae_.parameters()));
  std::vector<io::Tensor> fewer = tensors;
  fewer.pop_back();
  EXPECT_THAT(tests::message_of<io::DataError>([&] { other.load(fewer); }), HasSubstr("decoder3.bias"));
}

TEST_P(VaeTest, NamesTheFirstLayerThatIsNotFinite) {
  const std::unique_ptr<Pass> pass = vae_.make_pass(window_count, PassMode::train);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "");
  x_[3] = static_cast<float>(none);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "input");
  x_[3] = 0;
  std::vector<float> values = kernels::to_host(stream_, vae_.parameters());
  values[static_cast<size_t>(vae_.layout().find("decoder2.bias").offset)] = static_cast<float>(none);
  set(values);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "decoder2");
}

TEST(VaeShapes, MoreParametersThanLatentsAreRefused) {
  io::Config config;
  config.model.kind = io::ModelKind::vae;
  config.vae.latents = 1;
  io::ConditionData two = velocity();
  two.names = {"velocity_mm_s", "load_N"};
  EXPECT_THAT(tests::message_of<io::UsageError>([&] { require_model(config, two); }), HasSubstr("vae.latents"));
  EXPECT_NO_THROW(require_model(config, velocity()));
  const std::unique_ptr<Model> paper = make_model({}, {}, 1, {});
  EXPECT_EQ(dynamic_cast<Vae*>(paper.get()), nullptr);
  const std::unique_ptr<Model> vae = make_model(config, velocity(), 1, {});
  // Ten layers of 128 about one latent: 8192 inputs and outputs.
  EXPECT_EQ(vae->layout().size(), 8192 * 128 + 128 + 3 * (128 * 128 + 128) + 128 * 2 + 2 + 128 + 128 +
                                      3 * (128 * 128 + 128) + 128 * 8192 + 8192);
}

}  // namespace
}  // namespace evenflow::flow
