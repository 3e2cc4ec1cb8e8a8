#include "kernels/variational_code.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/subtract.h"
#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::LatentGroup;
using reference::Vector;

struct Code {
  int64_t n = 1, latents = 1;
  std::vector<LatentGroup> groups;
  std::string name() const { return text_of("n", n, "_latents", latents, "_tied", groups.size()); }
};

constexpr double beta = 0.7, gamma_weight = 0.3, dimensions = 12;
constexpr uint64_t seed = 5;
constexpr int64_t first = 3;

/// The loss itself, of one window, from its code and the noise.
double loss_of(const Code& s, const Vector& code, int64_t window, const Vector& v, double squares) {
  double loss = 0.5 * dimensions * std::log(2 * std::numbers::pi) + 0.5 * squares;
  for (int64_t j = 0; j < s.latents; ++j) {
    const double mean = code[static_cast<size_t>(window * 2 * s.latents + j)];
    const double variance = std::exp(code[static_cast<size_t>((window * 2 + 1) * s.latents + j)]);
    loss += beta * 0.5 * (mean * mean + variance - std::log(variance) - 1);
    if (j >= static_cast<int64_t>(s.groups.size()) || v.empty()) {
      continue;
    }
    const double value = v[static_cast<size_t>(window) * s.groups.size() + static_cast<size_t>(j)];
    const LatentGroup& group = s.groups[static_cast<size_t>(j)];
    if (!std::isnan(value)) {
      loss += gamma_weight * std::pow(mean - group.k * (value - group.v0), 2);
    }
  }
  return loss;
}

class CodeTest : public OpTest<Code> {
 protected:
  CodeTest() {
    Rng rng(81);
    const Code& s = shape();
    code_ = random_vector(rng, s.n * 2 * s.latents, 1.5);
    squares_ = reference::absolute(random_vector(rng, s.n, 20.0));
    v_ = random_vector(rng, s.n * static_cast<int64_t>(s.groups.size()), 2.0);
    for (size_t i = 1; i < v_.size(); i += 3) {
      v_[i] = std::numeric_limits<double>::quiet_NaN();
    }
    dz_ = random_vector(rng, s.n * s.latents);
  }
  Vector code_, squares_, v_, dz_;
};

TEST_P(CodeTest, SamplesAreTheMeanAndNoiseOfTheVariance) {
  const Code& s = shape();
  const GuardedBuffer<float> code(narrow(code_), device()), z(s.n * s.latents, device());
  const GuardedBuffer<int64_t> step(std::vector<int64_t>{41}, device());
  for (const bool noisy : {false, true}) {
    kernels::CodeNoise noise{.seed = seed, .step = {}, .first = first};
    if (noisy) {
      noise.step = step.view();
    }
    kernels::code_sample(stream_, {.latents = s.latents, .code = code.view(), .noise = noise, .z = z.view()});
    stream_.synchronise();
    Vector expected, bound;
    for (int64_t i = 0; i < s.n; ++i) {
      for (int64_t j = 0; j < s.latents; ++j) {
        const double mean = code_[static_cast<size_t>(i * 2 * s.latents + j)];
        const double deviation = std::exp(0.5 * code_[static_cast<size_t>((2 * i + 1) * s.latents + j)]);
        const double draw = noisy ? kernels::noise_at(seed, 41, first + i, j) : 0.0;
        expected.push_back(mean + deviation * draw);
        bound.push_back(2 * eps32 * (std::abs(mean) + std::abs(deviation * draw)));
      }
    }
    expect_close(z.values(), expected, bound, "z");
  }
}

TEST_P(CodeTest, LossAndGradientMatchTheDefinition) {
  const Code& s = shape();
  const GuardedBuffer<float> code(narrow(code_), device()), dz(narrow(dz_), device()),
      dcode(s.n * 2 * s.latents, device());
  const GuardedBuffer<double> squares(squares_, device()), v(v_, device()), reconstruction(s.n, device()),
      kld(s.n, device()), loss(s.n, device());
  const GuardedBuffer<LatentGroup> groups(s.groups, device());
  const GuardedBuffer<int64_t> step(std::vector<int64_t>{7}, device());
  constexpr double scale = 0.25;
  for (const bool given : {true, false}) {
    kernels::CodePrior prior{
        .latents = s.latents, .beta = beta, .gamma = gamma_weight, .groups = groups.view(), .v = {}};
    if (given) {
      prior.v = v.view();
    }
    const kernels::CodeNoise noise{.seed = seed, .step = step.view(), .first = first};
    kernels::code_loss(stream_, {.prior = prior,
                                 .dimensions = static_cast<int64_t>(dimensions),
                                 .code = code.view(),
                                 .squares = squares.view(),
                                 .reconstruction = reconstruction.view(),
                                 .kld = kld.view(),
                                 .loss = loss.view()});
    kernels::code_backward(
        stream_,
        {.prior = prior, .noise = noise, .scale = scale, .code = code.view(), .dz = dz.view(), .dcode = dcode.view()});
    stream_.synchronise();
    const Vector values = given ? v_ : Vector{};
    const Vector losses = loss.values(), reconstructions = reconstruction.values(), klds = kld.values(),
                 gradient = dcode.values();
    for (int64_t i = 0; i < s.n; ++i) {
      const auto at = static_cast<size_t>(i);
      const double expected = loss_of(s, code_, i, values, squares_[at]);
      EXPECT_TRUE(std::abs(losses[at] - expected) <= 1e-12 * (10 + std::abs(expected)));
      const double likelihood = 0.5 * dimensions * std::log(2 * std::numbers::pi) + 0.5 * squares_[at];
      EXPECT_TRUE(std::abs(reconstructions[at] - likelihood) <= 1e-12 * likelihood);
      EXPECT_GE(klds[at], 0.0);
      for (int64_t j = 0; j < 2 * s.latents; ++j) {
        const auto element = static_cast<size_t>(i * 2 * s.latents + j);
        const int64_t latent = j % s.latents;
        constexpr double h = 1e-5;
        Vector moved = code_;
        moved[element] = code_[element] + h;
        const double above = loss_of(s, moved, i, values, squares_[at]);
        moved[element] = code_[element] - h;
        double slope = scale * (above - loss_of(s, moved, i, values, squares_[at])) / (2 * h);
        // And through z: the mean moves it by itself, the log-variance by the noise.
        const double from_z = dz_[static_cast<size_t>(i * s.latents + latent)];
        const double deviation = std::exp(0.5 * code_[static_cast<size_t>((2 * i + 1) * s.latents + latent)]);
        slope += from_z * (j < s.latents ? 1.0 : 0.5 * deviation * kernels::noise_at(seed, 7, first + i, latent));
        EXPECT_TRUE(std::abs(gradient[element] - slope) <= 2e-6 * (1 + std::abs(slope)))
            << gradient[element] << " " << slope;
      }
    }
  }
}

TEST_P(CodeTest, DifferencesAreElementByElement) {
  const GuardedBuffer<float> a(narrow(code_), device()), b(narrow(reference::absolute(code_)), device()),
      out(static_cast<int64_t>(code_.size()), device());
  kernels::subtract(stream_, {.a = a.view(), .b = b.view(), .out = out.view()});
  stream_.synchronise();
  const Vector actual = out.values();
  for (size_t i = 0; i < code_.size(); ++i) {
    EXPECT_EQ(actual[i], code_[i] > 0 ? 0.0 : 2 * code_[i]);
  }
}

// Mean 0, variance 1, and no two windows, latents, steps or seeds alike.
TEST(Noise, IsStandardNormalAndOfItsCounters) {
  double sum = 0, squares = 0, product = 0;
  constexpr int64_t count = 20000;
  for (int64_t i = 0; i < count; ++i) {
    const double here = kernels::noise_at(1, i / 100, i % 100, 0);
    sum += here;
    squares += here * here;
    product += here * kernels::noise_at(1, i / 100, i % 100, 1);
  }
  const double bound = 5.0 / std::sqrt(static_cast<double>(count));
  EXPECT_TRUE(std::abs(sum / count) <= bound);
  EXPECT_TRUE(std::abs(squares / count - 1.0) <= bound * std::numbers::sqrt2);
  EXPECT_TRUE(std::abs(product / count) <= bound);
  EXPECT_NE(kernels::noise_at(1, 2, 3, 4), kernels::noise_at(2, 2, 3, 4));
  EXPECT_NE(kernels::noise_at(1, 2, 3, 4), kernels::noise_at(1, 3, 2, 4));
}

TEST(CodeShapes, AreChecked) {
  kernels::Stream stream;
  const kernels::Buffer<float> six(6), three(3), two(2);
  EXPECT_THROW(kernels::code_sample(stream, {.latents = 2, .code = six.view(), .noise = {}, .z = three.view()}),
               kernels::ShapeError);
  EXPECT_THROW(kernels::code_sample(stream, {.latents = 3, .code = six.view(), .noise = {}, .z = two.view()}),
               kernels::ShapeError);
  EXPECT_THROW(kernels::subtract(stream, {.a = six.view(), .b = three.view(), .out = six.view()}), kernels::ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CodeTest,
                         on_every_backend<Code>({{1, 1, {}},
                                                 {33, 8, {{.k = 2.0, .v0 = 0.1, .mean = 0, .std = 1}}},
                                                 {5, 3, {{.k = -1.0}, {.k = 0.5, .v0 = 1.0}}}}),
                         case_name<Code>);

}  // namespace
}  // namespace evenflow::tests
