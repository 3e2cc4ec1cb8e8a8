#include "flow/glow.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flow/glow_model.h"
#include "io/error.h"
#include "kernels/check.h"
#include "tests/support/backends.h"
#include "tests/support/error_message.h"
#include "tests/support/fetch.h"
#include "tests/support/guard.h"
#include "tests/support/reference.h"

namespace evenflow::flow {
namespace {

using io::Tensor;
using reference::Vector;
using testing::HasSubstr;
using tests::message_of;

enum class Variant { plu, dense, additive };

GlowShape small_shape(Variant variant) {
  GlowShape shape;
  shape.blocks = 2;
  shape.steps = 3;
  shape.hidden = 5;
  shape.height = 16;
  shape.width = 8;
  shape.dense_invconv = variant == Variant::dense;
  shape.coupling = variant == Variant::additive ? kernels::CouplingKind::additive : kernels::CouplingKind::sigmoid;
  return shape;
}

Tensor& find(std::vector<Tensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  EXPECT_NE(found, tensors.end()) << name;
  return *found;
}

void expect_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].shape, b[i].shape) << a[i].name;
    EXPECT_EQ(a[i].type, b[i].type) << a[i].name;
    EXPECT_EQ(a[i].values, b[i].values) << a[i].name;
    EXPECT_EQ(a[i].integers, b[i].integers) << a[i].name;
  }
}

/// Normalised windows with a mean and scale of their own.
std::vector<float> random_windows(const GlowShape& shape, int64_t n, uint64_t seed) {
  tests::Rng rng(seed);
  std::vector<float> values = tests::random_floats(rng, n * shape.dimensions(), 3.0);
  for (float& value : values) {
    value += 0.7F;
  }
  return values;
}

kernels::Map windows(const GlowShape& shape, const kernels::Buffer<float>& data) {
  return kernels::make_map(data.data(), data.size() / shape.dimensions(), 1, shape.height, shape.width,
                           data.view().device);
}

class GlowOf : public testing::TestWithParam<std::tuple<tests::BackendUnderTest, Variant>> {
 protected:
  kernels::Device device() const { return std::get<0>(GetParam()).device; }
  kernels::Buffer<float> on_device(const std::vector<float>& values) { return tests::to_device(stream_, values); }
  double constant_log_det() { return kernels::to_host(stream_, glow_.constant_log_det())[0]; }
  /// The tensors with couplings that do something.
  std::vector<Tensor> lively_tensors(uint64_t seed) {
    std::vector<Tensor> tensors = glow_.tensors();
    tests::Rng rng(seed);
    for (Tensor& tensor : tensors) {
      if (tensor.name.find("conv3") != std::string::npos) {
        tensor.values = tests::random_floats(rng, static_cast<int64_t>(tensor.values.size()), 0.2);
      }
    }
    return tensors;
  }
  bool additive() const { return shape_.coupling == kernels::CouplingKind::additive; }

  tests::SelectedBackend selected_{std::get<0>(GetParam())};
  GlowShape shape_ = small_shape(std::get<1>(GetParam()));
  kernels::Stream stream_{device()};
  Glow glow_{shape_, 1, device()};
};
std::string glow_case_name(const testing::TestParamInfo<GlowOf::ParamType>& info) {
  const Variant variant = std::get<1>(info.param);
  return std::get<0>(info.param).name + (variant == Variant::plu     ? "_plu"
                                         : variant == Variant::dense ? "_dense"
                                                                     : "_additive");
}
INSTANTIATE_TEST_SUITE_P(Variants, GlowOf,
                         testing::Combine(testing::ValuesIn(tests::devices_under_test()),
                                          testing::Values(Variant::plu, Variant::dense, Variant::additive)),
                         glow_case_name);

// ---- shape

TEST(GlowShape, ComesFromTheConfiguration) {
  io::Config config;
  config.model.invconv = io::InvconvKind::dense;
  config.model.coupling = io::CouplingKind::tanh;
  const GlowShape shape = glow_shape(config);
  EXPECT_EQ(shape.blocks, 3);
  EXPECT_EQ(shape.dimensions(), 128 * 64);
  EXPECT_TRUE(shape.dense_invconv);
  EXPECT_EQ(shape.coupling, kernels::CouplingKind::tanh);
  EXPECT_EQ(shape.channels(2), 16);
  EXPECT_EQ(shape.block_height(0), 64);
  EXPECT_EQ(shape.block_width(2), 8);
  config.model.coupling = io::CouplingKind::additive;
  EXPECT_EQ(glow_shape(config).coupling, kernels::CouplingKind::additive);
  EXPECT_EQ(glow_shape({}).coupling, kernels::CouplingKind::sigmoid);
}

TEST(GlowShape, RefusesAWindowThatDoesNotHalve) {
  for (const auto& [bands, frames] : std::vector<std::pair<int, int>>{{128, 60}, {100, 64}, {4, 64}}) {
    io::Config config;
    config.frontend.mel_bands = bands;
    config.window.window_frames = frames;
    const std::string message = message_of<io::UsageError>([&] { glow_shape(config); });
    EXPECT_THAT(message, HasSubstr(std::to_string(bands) + " mel bands x " + std::to_string(frames) + " frames"));
    EXPECT_THAT(message, HasSubstr("multiples of 8"));
    EXPECT_THAT(message, HasSubstr("model.blocks"));
  }
}

// ---- parameters

TEST_P(GlowOf, SameSeedSameParameters) {
  expect_equal(Glow(shape_, 1, device()).tensors(), glow_.tensors());
  const std::vector<Tensor> other = Glow(shape_, 2, device()).tensors();
  const std::vector<Tensor> own = glow_.tensors();
  int different = 0;
  for (size_t i = 0; i < own.size(); ++i) {
    different += own[i].values != other[i].values ? 1 : 0;
  }
  EXPECT_GT(different, 0);
}

TEST_P(GlowOf, StartsAsTheMethodSays) {
  std::vector<Tensor> tensors = glow_.tensors();
  int64_t count = 0;
  double squares = 0;
  for (const Tensor& tensor : tensors) {
    const auto ends_with = [&](const char* end) { return tensor.name.ends_with(end); };
    if (ends_with("conv1.weight") || ends_with("conv2.weight")) {
      for (const float value : tensor.values) {
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      count += static_cast<int64_t>(tensor.values.size());
    } else if (tensor.name.find("invconv") == std::string::npos) {
      EXPECT_THAT(tensor.values, testing::Each(0.0F)) << tensor.name;
    }
  }
  // N(0, 0.05^2): the variance within five of its standard errors.
  const double n = static_cast<double>(count);
  EXPECT_TRUE(std::abs(squares / n / 0.0025 - 1.0) <= 5.0 * std::sqrt(2.0 / n)) << squares / n;

  // Every 1x1 is a rotation: its inverse is its transpose, its log-determinant 0.
  glow_.assemble(stream_);
  EXPECT_TRUE(std::abs(constant_log_det()) <= 1e-4) << constant_log_det();
  for (int block = 1; block <= 2; ++block) {
    const int64_t c = shape_.channels(block - 1);
    for (int step = 1; step <= 3; ++step) {
      const std::string name = "block" + std::to_string(block) + ".step" + std::to_string(step) + ".invconv.";
      Vector weight;
      if (shape_.dense_invconv) {
        weight = tests::widen(find(tensors, name + "weight").values);
      } else {
        reference::Plu p;
        p.permutation = find(tensors, name + "permutation").integers;
        for (const int32_t sign : find(tensors, name + "sign").integers) {
          p.sign.push_back(static_cast<int8_t>(sign));
        }
        p.lower = tests::widen(find(tensors, name + "lower").values);
        p.upper = tests::widen(find(tensors, name + "upper").values);
        p.log_s = tests::widen(find(tensors, name + "log_s").values);
        weight = reference::plu_weight(p);
      }
      const Vector product = reference::multiply(weight, reference::transpose(weight, c), c);
      Vector identity(product.size());
      for (int64_t i = 0; i < c; ++i) {
        identity[static_cast<size_t>(i * c + i)] = 1.0;
      }
      tests::expect_close(product, identity, Vector(product.size(), 8 * tests::eps32 * std::sqrt(double(c))), name);
    }
  }
}

TEST_P(GlowOf, TensorsRoundTrip) {
  Glow other(shape_, 2, device());
  other.load(glow_.tensors());
  expect_equal(other.tensors(), glow_.tensors());
  // In any order.
  std::vector<Tensor> shuffled = glow_.tensors();
  std::reverse(shuffled.begin(), shuffled.end());
  Glow third(shape_, 3, device());
  third.load(shuffled);
  expect_equal(third.tensors(), glow_.tensors());
}

TEST_P(GlowOf, LoadRefusesWhatDoesNotFitAndChangesNothing) {
  Glow other(shape_, 2, device());
  const std::vector<Tensor> before = other.tensors();
  const auto refusal = [&](const std::function<void(std::vector<Tensor>&)>& damage) {
    std::vector<Tensor> tensors = glow_.tensors();
    damage(tensors);
    std::string message = message_of<io::DataError>([&] { other.load(tensors); });
    expect_equal(other.tensors(), before);
    return message;
  };
  const std::string name = "block2.step3.coupling.conv1.weight";
  EXPECT_THAT(refusal([&](std::vector<Tensor>& t) {
                std::erase_if(t, [&](const Tensor& tensor) { return tensor.name == name; });
              }),
              HasSubstr("no parameter " + name));
  EXPECT_THAT(refusal([&](std::vector<Tensor>& t) {
                Tensor extra = t.back();
                extra.name = "block3.step1.actnorm.bias";
                t.push_back(extra);
              }),
              HasSubstr("block3.step1.actnorm.bias"));
  EXPECT_THAT(refusal([&](std::vector<Tensor>& t) {
                Tensor& tensor = find(t, name);
                tensor.shape = {5, 4, 3, 4};
                tensor.values.resize(5 * 4 * 3 * 4);
              }),
              testing::AllOf(HasSubstr(name), HasSubstr("[5, 4, 3, 4]"), HasSubstr("[5, 4, 3, 3]")));
  EXPECT_THAT(refusal([&](std::vector<Tensor>& t) { find(t, name).type = Tensor::Type::int32; }), HasSubstr(name));
  if (!shape_.dense_invconv) {
    EXPECT_THAT(refusal([&](std::vector<Tensor>& t) {
                  find(t, "block1.step2.invconv.permutation").integers = {0, 1, 1, 3};
                }),
                HasSubstr("block1.step2.invconv.permutation"));
    EXPECT_THAT(refusal([&](std::vector<Tensor>& t) {
                  find(t, "block1.step2.invconv.permutation").integers = {1, 2, 3, 4};
                }),
                HasSubstr("not a permutation"));
    EXPECT_THAT(refusal([&](std::vector<Tensor>& t) { find(t, "block2.step1.invconv.sign").integers[0] = 0; }),
                HasSubstr("block2.step1.invconv.sign"));
  }
}

// ---- actnorm's initialisation

TEST_P(GlowOf, InitialisedActnormsGiveZeroMeanUnitStd) {
  const std::vector<float> values_in = random_windows(shape_, 4, 5);
  const kernels::Buffer<float> data = on_device(values_in);
  glow_.load(lively_tensors(6));
  glow_.initialise_actnorm(stream_, windows(shape_, data));
  std::vector<Tensor> tensors = glow_.tensors();

  reference::Maps x(4, 1, shape_.height, shape_.width);
  std::copy(values_in.begin(), values_in.end(), x.values.begin());
  for (int block = 1; block <= 2; ++block) {
    x = reference::squeeze(x);
    for (int step = 1; step <= 3; ++step) {
      const std::string name = "block" + std::to_string(block) + ".step" + std::to_string(step) + ".";
      const auto values = [&](const char* tensor) { return tests::widen(find(tensors, name + tensor).values); };
      x = reference::actnorm_forward(x, values("actnorm.bias"), values("actnorm.log_scale"));
      const double count = static_cast<double>(x.n * x.pixels());
      for (int64_t c = 0; c < x.c; ++c) {
        double mean = 0;
        double squares = 0;
        for (int64_t n = 0; n < x.n; ++n) {
          for (int64_t p = 0; p < x.pixels(); ++p) {
            mean += x.plane(n, c)[p] / count;
            squares += x.plane(n, c)[p] * x.plane(n, c)[p] / count;
          }
        }
        EXPECT_TRUE(std::abs(mean) <= 1e-5) << name << c << ": mean " << mean;
        EXPECT_TRUE(std::abs(std::sqrt(squares - mean * mean) - 1.0) <= 1e-5) << name << c << ": " << squares;
      }
      Vector weight;
      if (shape_.dense_invconv) {
        weight = values("invconv.weight");
      } else {
        reference::Plu p;
        p.permutation = find(tensors, name + "invconv.permutation").integers;
        for (const int32_t sign : find(tensors, name + "invconv.sign").integers) {
          p.sign.push_back(static_cast<int8_t>(sign));
        }
        p.lower = values("invconv.lower");
        p.upper = values("invconv.upper");
        p.log_s = values("invconv.log_s");
        weight = reference::plu_weight(p);
      }
      x = reference::invconv_apply(x, weight);
      const reference::CouplingWeights coupling{values("coupling.conv1.weight"), values("coupling.conv1.bias"),
                                                values("coupling.conv2.weight"), values("coupling.conv2.bias"),
                                                values("coupling.conv3.weight"), values("coupling.conv3.bias"),
                                                values("coupling.log_gain")};
      x = reference::coupling_forward(additive() ? reference::Coupling::additive : reference::Coupling::sigmoid,
                                      coupling, x)
              .y;
    }
    x = reference::channels(x, 0, x.c / 2);
  }
}

TEST_P(GlowOf, SilenceInitialisesAndScoresFinite) {
  const kernels::Buffer<float> silence(2 * shape_.dimensions(), device());
  glow_.initialise_actnorm(stream_, windows(shape_, silence));
  GlowPass pass(glow_, 2, PassMode::score);
  pass.forward(stream_, windows(shape_, silence));
  EXPECT_EQ(pass.first_non_finite(stream_, windows(shape_, silence)), "");
  EXPECT_TRUE(std::isfinite(constant_log_det()));
}

// ---- passes

TEST_P(GlowOf, ForwardUndoesInverse) {
  const kernels::Buffer<float> data = on_device(random_windows(shape_, 3, 8));
  glow_.initialise_actnorm(stream_, windows(shape_, data));
  GlowPass pass(glow_, 3, PassMode::score);
  tests::Rng rng(9);
  Vector latents;
  const auto maps = [&] { return std::vector<kernels::Map>{pass.zc(0), pass.zc(1), pass.zd()}; };
  for (const kernels::Map& z : maps()) {
    const std::vector<float> values = tests::random_floats(rng, z.size(), 2.0);
    tests::put(stream_, values, z);
    latents.insert(latents.end(), values.begin(), values.end());
  }
  EXPECT_EQ(static_cast<int64_t>(latents.size()), 3 * shape_.dimensions());
  pass.inverse(stream_, 3);
  const kernels::Buffer<float> x = on_device(tests::fetch(stream_, pass.input()));
  pass.forward(stream_, windows(shape_, x));
  Vector again;
  for (const kernels::Map& z : maps()) {
    const std::vector<float> values = tests::fetch(stream_, z);
    again.insert(again.end(), values.begin(), values.end());
  }
  tests::expect_close(again, latents, Vector(latents.size(), 1e-4), "latents");
}

// What makes the paper's step from eq. 6 to eq. 7 true.
TEST_P(GlowOf, TheLogDeterminantOfAnAdditiveFlowIsTheSameForEveryWindow) {
  constexpr int64_t n = 5;
  std::vector<float> values = random_windows(shape_, n, 12);
  for (size_t i = 0; i < values.size(); ++i) {  // from faint to loud
    const size_t window = i / static_cast<size_t>(shape_.dimensions());
    values[i] *= static_cast<float>(1 + window);
  }
  const kernels::Buffer<float> data = on_device(values);
  GlowModel model(shape_, {}, 1, device());
  model.load(lively_tensors(13));
  model.initialise(stream_, windows(shape_, data));
  WindowScores scores(model, n);
  model.make_pass(n, PassMode::score)->score(stream_, windows(shape_, data), {}, scores, 0);
  const double log_det = scores.of(0, "log_det");
  EXPECT_NE(log_det, 0.0);
  for (int64_t i = 1; i < n; ++i) {
    EXPECT_EQ(scores.of(i, "log_det") == log_det, additive()) << i;
    EXPECT_NE(scores.of(i, "score_zc"), scores.of(0, "score_zc")) << i;
    if (additive()) {
      const double with = scores.of(i, "score_zc_logdet");
      EXPECT_TRUE(std::abs(with - scores.of(i, "score_zc") + log_det) <= tests::eps64 * std::abs(with)) << i;
    }
  }
  EXPECT_EQ(log_det == kernels::to_host(stream_, model.glow().constant_log_det())[0], additive());
}

TEST_P(GlowOf, ZdCanBeEitherHalfOfTheLastBlock) {
  GlowShape swapped_shape = shape_;
  swapped_shape.zd_first = true;
  Glow swapped_glow(swapped_shape, 1, device());
  const kernels::Buffer<float> data = on_device(random_windows(shape_, 2, 10));
  glow_.initialise_actnorm(stream_, windows(shape_, data));
  swapped_glow.initialise_actnorm(stream_, windows(shape_, data));
  GlowPass pass(glow_, 2, PassMode::score);
  GlowPass swapped(swapped_glow, 2, PassMode::score);
  pass.forward(stream_, windows(shape_, data));
  swapped.forward(stream_, windows(shape_, data));
  EXPECT_EQ(tests::fetch(stream_, swapped.zc(0)), tests::fetch(stream_, pass.zc(0)));
  EXPECT_EQ(tests::fetch(stream_, swapped.zd()), tests::fetch(stream_, pass.zc(1)));
  EXPECT_EQ(tests::fetch(stream_, swapped.zc(1)), tests::fetch(stream_, pass.zd()));
  EXPECT_NE(tests::fetch(stream_, pass.zc(1)), tests::fetch(stream_, pass.zd()));
}

TEST_P(GlowOf, AWindowDoesNotDependOnItsCompany) {
  const kernels::Buffer<float> data = on_device(random_windows(shape_, 5, 10));
  glow_.initialise_actnorm(stream_, windows(shape_, data));
  GlowPass many(glow_, 5, PassMode::score);
  GlowPass one(glow_, 1, PassMode::train);
  many.forward(stream_, windows(shape_, data));
  const std::vector<double> log_det = kernels::to_host(stream_, many.coupling_log_det());
  for (int64_t i = 0; i < 5; ++i) {
    one.forward(stream_, windows(shape_, data).samples(i, 1));
    EXPECT_EQ(kernels::to_host(stream_, one.coupling_log_det())[0], log_det[static_cast<size_t>(i)]);
    EXPECT_EQ(tests::fetch(stream_, one.zd()), tests::fetch(stream_, many.zd().samples(i, 1)));
  }
  // Fewer windows than there is room for.
  many.forward(stream_, windows(shape_, data).samples(0, 2));
  EXPECT_EQ(many.coupling_log_det().size, 2);
  EXPECT_EQ(many.zd().n, 2);
}

TEST_P(GlowOf, PassesRefuseWhatDoesNotFit) {
  glow_.assemble(stream_);
  GlowPass pass(glow_, 1, PassMode::score);
  const kernels::Buffer<float> data(4 * shape_.dimensions(), device());
  EXPECT_THAT(message_of<kernels::ShapeError>([&] { pass.forward(stream_, windows(shape_, data)); }),
              HasSubstr("GlowPass::forward"));
  EXPECT_THAT(message_of<kernels::ShapeError>(
                  [&] { pass.forward(stream_, kernels::make_map(data.data(), 1, 1, shape_.width, shape_.height)); }),
              HasSubstr("GlowPass::forward"));
  const kernels::Buffer<float> raw(glow_.raw_gradient_size(), device());
  EXPECT_THAT(message_of<kernels::ShapeError>([&] { pass.backward(stream_, 1.0, raw.view()); }),
              HasSubstr("GlowPass::backward"));
  GlowPass training(glow_, 1, PassMode::train);
  EXPECT_THAT(message_of<kernels::ShapeError>([&] { training.backward(stream_, 1.0, raw.slice(0, raw.size() - 1)); }),
              HasSubstr("raw gradient"));
  EXPECT_THAT(message_of<kernels::ShapeError>([&] { pass.inverse(stream_, 2); }), HasSubstr("GlowPass::inverse"));
}

// ---- what goes wrong in training

TEST_P(GlowOf, NamesTheFirstNonFiniteOperation) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = random_windows(shape_, 2, 11);
  const kernels::Buffer<float> data = on_device(values);
  glow_.initialise_actnorm(stream_, windows(shape_, data));
  const std::vector<Tensor> good = glow_.tensors();
  struct Damage {
    std::string parameter;
    float value;
    std::string named;
  };
  std::vector<Damage> cases = {
      {"block1.step1.actnorm.bias", nan, "block1.step1.actnorm"},
      {"block2.step1.actnorm.log_scale", 200.0F, "block2.step1.actnorm"},
      {"block1.step2.coupling.conv1.weight", nan, "block1.step2.coupling"},
      {"block1.step3.coupling.conv1.bias", infinity, "block1.step3.coupling"},
      {"block2.step2.coupling.conv2.weight", nan, "block2.step2.coupling"},
      {"block2.step2.coupling.conv2.bias", nan, "block2.step2.coupling"},
      {"block2.step3.coupling.conv3.weight", nan, "block2.step3.coupling"},
      {"block2.step3.coupling.conv3.bias", -infinity, "block2.step3.coupling"},
      {"block1.step1.coupling.log_gain", nan, "block1.step1.coupling"},
  };
  if (!shape_.dense_invconv) {
    cases.push_back({"block2.step1.invconv.log_s", 200.0F, "block2.step1.invconv"});  // beyond float32
    cases.push_back({"block1.step3.invconv.upper", nan, "block1.step3.invconv"});
  }
  for (const PassMode mode : {PassMode::score, PassMode::train}) {
    GlowPass pass(glow_, 2, mode);
    for (const Damage& damage : cases) {
      std::vector<Tensor> tensors = good;
      // Of a strict upper triangle the last entry of the first row is read, as is any tensor's of one row.
      Tensor& tensor = find(tensors, damage.parameter);
      tensor.values[static_cast<size_t>(tensor.shape.back() - 1)] = damage.value;
      glow_.load(tensors);
      glow_.assemble(stream_);
      EXPECT_EQ(pass.first_non_finite(stream_, windows(shape_, data)), damage.named) << damage.parameter;
    }
    glow_.load(good);
    glow_.assemble(stream_);
    EXPECT_EQ(pass.first_non_finite(stream_, windows(shape_, data)), "");
    std::vector<float> damaged = values;
    damaged[17] = nan;
    const kernels::Buffer<float> bad = on_device(damaged);
    EXPECT_EQ(pass.first_non_finite(stream_, windows(shape_, bad)), "input");
  }
}

TEST_P(GlowOf, ASingularWeightIsNamedByBlockAndStep) {
  if (!shape_.dense_invconv) {
    GTEST_SKIP() << "of a PLU weight, a diagonal beyond float64 is the only way";
  }
  std::vector<Tensor> tensors = glow_.tensors();
  Tensor& weight = find(tensors, "block2.step3.invconv.weight");
  const auto named = [&] {
    glow_.load(tensors);
    try {
      glow_.assemble(stream_);
    } catch (const kernels::SingularError& error) {
      return std::string(error.what());
    }
    // A GPU does not throw.
    GlowPass pass(glow_, 1, PassMode::score);
    const kernels::Buffer<float> data = on_device(random_windows(shape_, 1, 3));
    EXPECT_TRUE(std::isnan(constant_log_det()));
    return pass.first_non_finite(stream_, windows(shape_, data));
  };
  const bool on_gpu = device().type != kernels::DeviceType::cpu;
  std::fill_n(weight.values.begin(), 8, 0.0F);
  EXPECT_THAT(named(), testing::AllOf(HasSubstr("block2.step3.invconv"), HasSubstr(on_gpu ? "" : "pivot")));
  weight.values.assign(weight.values.size(), std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(named(), testing::AllOf(HasSubstr("block2.step3.invconv"), HasSubstr(on_gpu ? "" : "not finite")));
}

}  // namespace
}  // namespace evenflow::flow
