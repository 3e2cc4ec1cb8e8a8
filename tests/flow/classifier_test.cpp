#include "flow/classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

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

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t batch = 5;

ClassifierShape two_by_three() {
  return {.layers = 3, .hidden = 7, .embedding = 4, .classes = 6, .height = 6, .width = 4};
}

io::ConditionData velocity_and_load() {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s", "load_kg"};
  condition.k = {0.02, 1};
  condition.v0 = {150, 2};
  condition.mean = {150, 2};
  condition.std = {50, 1};
  condition.training_values = {{100, 200}, {1, 2, 4}};
  return condition;
}

class ClassifierTest : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  ClassifierTest()
      : classifier_(two_by_three(), velocity_and_load(), 9, GetParam().device), stream_(GetParam().device) {
    Random random(4);
    for (int64_t i = 0; i < batch * classifier_.dimensions(); ++i) {
      x_.push_back(static_cast<float>(random.normal()));
    }
    // Biases start at zero: away from there, so that no ReLU sits on its edge.
    std::vector<float> values = kernels::to_host(stream_, classifier_.parameters());
    for (float& value : values) {
      value += static_cast<float>(0.05 * random.normal());
    }
    set(values);
    given_ = Buffer<double>(static_cast<int64_t>(v_.size()), GetParam().device);
    kernels::upload<double>(stream_, v_, given_.view());
    nll_ = Buffer<double>(batch, GetParam().device);
  }

  void set(const std::vector<float>& values) { kernels::upload<float>(stream_, values, classifier_.parameters()); }
  kernels::ConstMap load(Pass& pass) {
    const kernels::Map x = pass.input();
    kernels::upload<float>(stream_, x_, Array<float>{x.data, x.size(), x.device});
    return x;
  }
  /// Mean loss of the windows in one pass.
  double loss_and_gradient(std::vector<float>& gradient) {
    const std::unique_ptr<Pass> pass = classifier_.make_pass(batch, PassMode::train);
    const Buffer<float> raw(classifier_.raw_gradient_size(), GetParam().device);
    pass->loss_and_gradient(stream_, load(*pass), given_.view(), 1.0 / batch, {}, nll_.view(), raw.view());
    gradient = kernels::to_host(stream_, raw.view());
    const std::vector<double> nll = kernels::to_host(stream_, nll_.view());
    return std::accumulate(nll.begin(), nll.end(), 0.0) / batch;
  }

  tests::SelectedBackend selected_{GetParam()};
  Classifier classifier_;
  kernels::Stream stream_;
  std::vector<float> x_;
  std::vector<double> v_ = {100, 1, 200, 2, unknown, 2, 200, 4, 100, 4};
  Buffer<double> given_, nll_;
};
INSTANTIATE_TEST_SUITE_P(Devices, ClassifierTest, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

// Every tensor along its own gradient, by central differences.
TEST_P(ClassifierTest, GradientIsTheLossesDerivative) {
  std::vector<float> gradient, ignored;
  loss_and_gradient(gradient);
  expect_derivative(classifier_.layout(), kernels::to_host(stream_, classifier_.parameters()), gradient,
                    [&](const std::vector<float>& values) {
                      set(values);
                      return loss_and_gradient(ignored);
                    });
}

TEST_P(ClassifierTest, SaysWhichClassAndHowSure) {
  const std::unique_ptr<Pass> pass = classifier_.make_pass(batch, PassMode::score);
  WindowScores scores(classifier_, batch);
  pass->score(stream_, load(*pass), v_, scores, 0);
  for (int64_t i = 0; i < scores.size(); ++i) {
    // Of six classes the likeliest has a sixth or more.
    const double confidence = scores.of(i, "score_confidence");
    EXPECT_TRUE(confidence >= 0.0 && confidence <= std::log(6.0)) << i;
    ASSERT_EQ(scores.estimates[i].size(), 2U);
    EXPECT_TRUE(scores.estimates[i][0] >= 100 && scores.estimates[i][0] <= 200) << i;
    EXPECT_TRUE(scores.estimates[i][1] >= 1 && scores.estimates[i][1] <= 4) << i;
    std::vector<float> embedding(4);
    pass->copy_latents(stream_, i, embedding);
    stream_.synchronise();
    const std::span<const float> descriptor = scores.descriptors[i];
    EXPECT_TRUE(std::equal(embedding.begin(), embedding.end(), descriptor.begin(), descriptor.end()));
  }
  // A head that is sure of velocity 200 and load 2: class 4.
  std::vector<float> values = kernels::to_host(stream_, classifier_.parameters());
  values[static_cast<size_t>(classifier_.layout().find("classes1.bias").offset + 4)] = 60.0F;
  set(values);
  pass->score(stream_, load(*pass), v_, scores, 0);
  EXPECT_TRUE(scores.of(0, "score_confidence") <= 1e-9);
  EXPECT_THROW(scores.of(0, "nll"), std::out_of_range);
  EXPECT_TRUE(std::abs(scores.estimates[0][0] - 200) <= 1e-9 && std::abs(scores.estimates[0][1] - 2) <= 1e-9);
}

TEST_P(ClassifierTest, AWindowOfUnknownValueTeachesNothing) {
  std::vector<float> gradient;
  loss_and_gradient(gradient);
  const std::vector<double> nll = kernels::to_host(stream_, nll_.view());
  EXPECT_EQ(nll[2], 0.0);
  EXPECT_GT(nll[0], 0.0);
  kernels::upload<double>(stream_, std::vector<double>(v_.size(), unknown), given_.view());
  EXPECT_EQ(loss_and_gradient(gradient), 0.0);
  EXPECT_THAT(gradient, ::testing::Each(0.0F));
}

TEST_P(ClassifierTest, TensorsGoOutAndIn) {
  const std::vector<io::Tensor> tensors = classifier_.tensors();
  ASSERT_EQ(tensors.size(), 8U);
  EXPECT_EQ(tensors[0].name, "encoder1.weight");
  EXPECT_EQ(tensors.back().name, "classes1.bias");
  Classifier other(two_by_three(), velocity_and_load(), 10, GetParam().device);
  EXPECT_NE(kernels::to_host(stream_, other.parameters()), kernels::to_host(stream_, classifier_.parameters()));
  other.load(tensors);
  EXPECT_EQ(kernels::to_host(stream_, other.parameters()), kernels::to_host(stream_, classifier_.parameters()));
}

TEST_P(ClassifierTest, NamesTheFirstLayerThatIsNotFinite) {
  const std::unique_ptr<Pass> pass = classifier_.make_pass(batch, PassMode::train);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "");
  std::vector<float> values = kernels::to_host(stream_, classifier_.parameters());
  values[static_cast<size_t>(classifier_.layout().find("classes1.bias").offset)] = static_cast<float>(unknown);
  set(values);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "classes1");
  x_[3] = static_cast<float>(unknown);
  EXPECT_EQ(pass->first_non_finite(stream_, load(*pass)), "input");
}

TEST(ClassifierShapes, AskForSomethingToTellApart) {
  io::Config config;
  config.model.kind = io::ModelKind::classifier;
  EXPECT_THAT(tests::message_of<io::UsageError>([&] { require_model(config, {}); }), HasSubstr("condition.enabled"));
  io::ConditionData condition = velocity_and_load();
  EXPECT_NO_THROW(require_model(config, condition));
  EXPECT_NE(dynamic_cast<Classifier*>(make_model(config, condition, 1, {}).get()), nullptr);
  condition.training_values = {{100}, {1}};
  EXPECT_THAT(tests::message_of<io::UsageError>([&] { require_model(config, condition); }),
              HasSubstr("one set of values"));
  std::vector<double> many(300);
  std::iota(many.begin(), many.end(), 0.0);
  condition.training_values = {many, many};
  EXPECT_THAT(tests::message_of<io::UsageError>([&] { require_model(config, condition); }),
              HasSubstr("condition.parameters"));
}

}  // namespace
}  // namespace evenflow::flow
