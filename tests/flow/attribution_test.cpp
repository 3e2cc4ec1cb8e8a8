// Shares add up to their score, lie where the sound is odd, and gradients are the scores' derivatives, of every model.
#include "flow/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "flow/classifier.h"
#include "flow/glow_model.h"
#include "flow/random.h"
#include "flow/vae.h"
#include "kernels/copy.h"
#include "tests/support/backends.h"

namespace evenflow::flow {
namespace {

io::ConditionData two_parameters() {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s", "load_kg"};
  condition.k = {0.02, 1};
  condition.v0 = {150, 2};
  condition.mean = {140, 2.2};
  condition.std = {50, 1};
  condition.training_values = {{100, 200}, {1, 2, 4}};
  return condition;
}

/// A number and a name.
io::ConditionData with_name() {
  io::ConditionData condition = two_parameters();
  condition.names = {"velocity_mm_s", "tool"};
  condition.k = {0.02, 0.7};
  condition.v0 = {150, 0};
  condition.training_values = {{100, 200}, {0, 1, 2, 3}};
  condition.categories = {{}, {"A", "B", "C", "D"}};
  condition.frequency = {{}, {0.4, 0.3, 0.2, 0.1}};
  return condition;
}

enum class Kind { affine, tanh, additive, unconstrained, name, vae, classifier };

std::unique_ptr<Model> make(Kind kind, kernels::Device device) {
  if (kind == Kind::vae) {
    const VaeShape shape{.layers = 4, .hidden = 7, .latents = 3, .beta = 0.6, .gamma = 0.02, .height = 16, .width = 8};
    return std::make_unique<Vae>(shape, two_parameters(), 9, device);
  }
  if (kind == Kind::classifier) {
    const ClassifierShape shape{.layers = 3, .hidden = 7, .embedding = 4, .classes = 6, .height = 16, .width = 8};
    return std::make_unique<Classifier>(shape, two_parameters(), 9, device);
  }
  GlowShape shape;
  shape.blocks = 2;
  shape.steps = 2;
  shape.hidden = 5;
  shape.height = 16;
  shape.width = 8;
  shape.zd_first = kind == Kind::tanh;
  shape.coupling = kind == Kind::tanh       ? kernels::CouplingKind::tanh
                   : kind == Kind::additive ? kernels::CouplingKind::additive
                                            : kernels::CouplingKind::sigmoid;
  const io::ConditionData condition = kind == Kind::unconstrained ? io::ConditionData{}
                                      : kind == Kind::name        ? with_name()
                                                                  : two_parameters();
  return std::make_unique<GlowModel>(shape, condition, 9, device);
}

class AttributionOf : public testing::TestWithParam<std::tuple<tests::BackendUnderTest, Kind>> {
 protected:
  AttributionOf() : model_(make(std::get<1>(GetParam()), device())), stream_(device()) {
    Random random(4);
    std::vector<float> values = kernels::to_host(stream_, model_->parameters());
    for (float& value : values) {
      value += static_cast<float>(0.1 * random.normal());
    }
    kernels::upload<float>(stream_, values, model_->parameters());
    model_->assemble(stream_);
    for (int64_t i = 0; i < model_->dimensions(); ++i) {
      x_.push_back(static_cast<float>(0.5 * random.normal()));
    }
    if (std::get<1>(GetParam()) != Kind::unconstrained) {
      v_ = {120, 3};
    }
    pass_ = model_->make_pass(1, PassMode::train);
  }
  kernels::Device device() const { return std::get<0>(GetParam()).device; }
  kernels::ConstMap load(const std::vector<float>& x) {
    const kernels::Map to = pass_->input().samples(0, 1);
    kernels::upload<float>(stream_, x, kernels::Array<float>{to.data, to.size(), to.device});
    return to;
  }
  Attribution attribute(const std::vector<float>& x, size_t score) {
    Attribution out;
    pass_->attribute(stream_, load(x), v_, score, out);
    return out;
  }
  double score_of(const std::vector<float>& x, size_t score) {
    WindowScores scores(*model_, 1);
    pass_->score(stream_, load(x), v_, scores, 0);
    return scores.scores[0][score];
  }

  tests::SelectedBackend selected_{std::get<0>(GetParam())};
  std::unique_ptr<Model> model_;
  kernels::Stream stream_;
  std::vector<float> x_;
  std::vector<double> v_;
  std::unique_ptr<Pass> pass_;
};
std::string name_of(const testing::TestParamInfo<AttributionOf::ParamType>& tested) {
  const std::vector<std::string> kinds = {"affine", "tanh", "additive", "unconstrained", "name", "vae", "classifier"};
  return std::get<0>(tested.param).name + "_" + kinds[static_cast<size_t>(std::get<1>(tested.param))];
}
INSTANTIATE_TEST_SUITE_P(Models, AttributionOf,
                         testing::Combine(testing::ValuesIn(tests::devices_under_test()),
                                          testing::Values(Kind::affine, Kind::tanh, Kind::additive, Kind::unconstrained,
                                                          Kind::name, Kind::vae, Kind::classifier)),
                         name_of);

TEST_P(AttributionOf, SharesAddUpToEveryScore) {
  for (size_t s = 0; s < model_->scores().size(); ++s) {
    SCOPED_TRACE(model_->scores()[s].name);
    const Attribution found = attribute(x_, s);
    EXPECT_TRUE(std::abs(found.score - score_of(x_, s)) <= 1e-6 * std::abs(found.score) + 1e-9);
    if (std::get<1>(GetParam()) == Kind::classifier) {
      EXPECT_TRUE(found.parts.empty() && found.shares.empty());
      continue;
    }
    ASSERT_EQ(found.shares.size(), x_.size());
    const double placed = std::accumulate(found.shares.begin(), found.shares.end(), 0.0);
    double parts = 0, magnitude = 0;
    for (const Attribution::Part& part : found.parts) {
      parts += part.share;
      magnitude += std::abs(part.share);
    }
    EXPECT_TRUE(std::abs(placed - found.score) <= 1e-6 * magnitude) << placed << " " << found.score;
    EXPECT_TRUE(std::abs(parts - found.score) <= 1e-6 * magnitude) << parts << " " << found.score;
  }
}

// Along its own direction, and along one that has nothing to do with it.
TEST_P(AttributionOf, TheGradientIsTheScoresDerivative) {
  for (size_t s = 0; s < model_->scores().size(); ++s) {
    SCOPED_TRACE(model_->scores()[s].name);
    const std::vector<float> gradient = attribute(x_, s).gradient;
    ASSERT_EQ(gradient.size(), x_.size());
    double length = 0;
    for (const float g : gradient) {
      length += static_cast<double>(g) * g;
    }
    length = std::sqrt(length);
    ASSERT_GT(length, 1e-6);
    for (const bool along : {true, false}) {
      std::vector<float> up = x_, down = x_;
      double expected = 0;
      constexpr double h = 2e-3;
      for (size_t i = 0; i < x_.size(); ++i) {
        const double step = along ? gradient[i] / length : (i % 3 == 0 ? 0.1 : -0.05);
        up[i] = static_cast<float>(x_[i] + h * step);
        down[i] = static_cast<float>(x_[i] - h * step);
        expected += gradient[i] * step;
      }
      const double difference = (score_of(up, s) - score_of(down, s)) / (2 * h);
      EXPECT_TRUE(std::abs(difference - expected) <= 0.01 * length + 1e-3) << difference << " " << expected;
    }
  }
}

TEST_P(AttributionOf, ALoudPatchIsWhereTheSharesRise) {
  if (std::get<1>(GetParam()) == Kind::classifier) {
    EXPECT_TRUE(attribute(x_, 0).shares.empty());
    return;
  }
  std::vector<float> loud = x_;
  for (size_t band = 8; band < 12; ++band) {
    for (size_t frame = 4; frame < 8; ++frame) {
      loud[band * 8 + frame] += 8.0F;
    }
  }
  const Attribution before = attribute(x_, 0), after = attribute(loud, 0);
  double inside = 0, outside = 0;
  for (size_t i = 0; i < x_.size(); ++i) {
    const bool in_patch = i / 8 >= 8 && i / 8 < 12 && i % 8 >= 4;
    (in_patch ? inside : outside) += after.shares[i] - before.shares[i];
  }
  EXPECT_GT(inside, 2.0 * std::abs(outside));
}

// A coupling's log-determinant, place by place, is the one that the pass sums.
TEST(LogGains, AddUpToTheCouplingsLogDeterminant) {
  const std::unique_ptr<Model> model = make(Kind::tanh, {});
  kernels::Stream stream;
  Random random(5);
  for (int64_t i = 0; i < model->parameters().size; ++i) {
    model->parameters()[i] += static_cast<float>(0.1 * random.normal());
  }
  model->assemble(stream);
  const auto& glow = dynamic_cast<const GlowModel&>(*model).glow();
  GlowPass pass(glow, 1, PassMode::train);
  const kernels::Map x = pass.input();
  for (int64_t i = 0; i < x.size(); ++i) {
    x.data[i] = static_cast<float>(random.normal());
  }
  pass.forward(stream, x);
  double sum = 0, magnitude = 0;
  for (int64_t step = 0; step < pass.step_count(); ++step) {
    for (const double gain : pass.log_gains(stream, step)) {
      sum += gain;
      magnitude += std::abs(gain);
    }
  }
  EXPECT_GT(magnitude, 1.0);
  EXPECT_TRUE(std::abs(sum - pass.coupling_log_det()[0]) <= 1e-6 * magnitude);
}

}  // namespace
}  // namespace evenflow::flow
