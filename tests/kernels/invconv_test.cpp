#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/invconv.h"
#include "kernels/invconv_weight.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

// ---- applying a weight

using InvconvApply = OpTest<MapShape>;

TEST_P(InvconvApply, ForwardMatchesReference) {
  Rng rng(51);
  const MapShape& s = shape();
  const Vector weight = random_vector(rng, s.c * s.c);
  const Maps x = s.random(rng);
  const GuardedBuffer<float> weight32(narrow(weight), device());
  const GuardedMap in(x, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  kernels::invconv_apply(stream_, {.x = in.view(), .weight = weight32.view(), .y = out.view()});
  stream_.synchronise();
  const Maps magnitude = reference::invconv_apply(reference::absolute(x), reference::absolute(weight));
  expect_close(out.values().values, reference::invconv_apply(x, weight).values, sum_bounds(s.c, magnitude.values), "y");
}

TEST_P(InvconvApply, BackwardMatchesReferenceAndAddsToDWeight) {
  Rng rng(52);
  const MapShape& s = shape();
  const Vector weight = random_vector(rng, s.c * s.c);
  const Maps x = s.random(rng);
  const Maps dy = s.random(rng);
  const Vector before = random_vector(rng, s.c * s.c);
  const GuardedBuffer<float> weight32(narrow(weight), device());
  const GuardedBuffer<float> dweight(narrow(before), device());
  const GuardedMap in(x, s.around, device());
  const GuardedMap gradient(dy, s.around, device());
  const GuardedMap out(s.n, s.c, s.h, s.w, s.around, device());
  kernels::invconv_backward(
      stream_,
      {.x = in.view(), .dy = gradient.view(), .weight = weight32.view(), .dx = out.view(), .dweight = dweight.view()});
  stream_.synchronise();
  reference::InvconvBackward expected = reference::invconv_backward(x, dy, weight);
  const reference::InvconvBackward magnitude =
      reference::invconv_backward(reference::absolute(x), reference::absolute(dy), reference::absolute(weight));
  expect_close(out.values().values, expected.dx.values, sum_bounds(s.c, magnitude.dx.values), "dx");
  Vector bound = sum_bounds(s.n * s.pixels(), magnitude.dweight);
  for (size_t i = 0; i < before.size(); ++i) {
    expected.dweight[i] += before[i];
    bound[i] += static_cast<double>(s.n) * eps32 * std::abs(before[i]);  // one addition per sample
  }
  expect_close(dweight.values(), expected.dweight, bound, "d weight");
}

INSTANTIATE_TEST_SUITE_P(Shapes, InvconvApply, on_every_backend(map_shapes()), case_name<MapShape>);

/// For the kernels of packs of few and of many channels, and of eight channels without packs.
std::vector<MapShape> small_maps() {
  return {{1, 2, 2, 4, dense},
          {2, 3, 4, 3, strided_packs},
          {1, 36, 2, 4, dense},
          {2, 40, 3, 4, dense},
          {1, 8, 3, 5, dense}};
}
INSTANTIATE_TEST_SUITE_P(SmallMaps, InvconvApply, on_ptx(small_maps()), case_name<MapShape>);

// ---- making the weight

struct Channels {
  int64_t c = 1;
  std::string name() const { return text_of("c", c); }
};

double norm(const Vector& a) {
  return std::sqrt(reference::dot(a, a));
}

reference::Plu random_plu(Rng& rng, int64_t c) {
  reference::Plu p;
  p.permutation.resize(static_cast<size_t>(c));
  std::iota(p.permutation.begin(), p.permutation.end(), 0);
  for (size_t i = p.permutation.size(); i-- > 1;) {
    std::swap(p.permutation[i], p.permutation[rng() % (i + 1)]);
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(c));
  // The other triangle holds numbers too: it must not be read.
  p.lower = random_vector(rng, c * c, scale);
  p.upper = random_vector(rng, c * c, scale);
  p.log_s = random_vector(rng, c, 0.3);
  for (int64_t i = 0; i < c; ++i) {
    p.sign.push_back(rng() % 2 == 0 ? int8_t{1} : int8_t{-1});
  }
  return p;
}

struct PluOnDevice {
  PluOnDevice(const reference::Plu& p, kernels::Device device)
      : permutation(p.permutation, device),
        sign(p.sign, device),
        lower(narrow(p.lower), device),
        upper(narrow(p.upper), device),
        log_s(narrow(p.log_s), device) {}
  GuardedBuffer<int32_t> permutation;
  GuardedBuffer<int8_t> sign;
  GuardedBuffer<float> lower, upper, log_s;
  kernels::PluParameters view() const {
    return {permutation.view(), lower.view(), upper.view(), log_s.view(), sign.view()};
  }
};

// Rounding to float32, and an elimination in float64 of a matrix of this condition.
Vector rounded_bound(const Vector& exact, double condition) {
  const double common = 8 * eps64 * std::sqrt(static_cast<double>(exact.size())) * condition * norm(exact);
  Vector bound;
  for (const double value : exact) {
    bound.push_back(eps32 * std::abs(value) + common);
  }
  return bound;
}

using InvconvWeight = OpTest<Channels>;

TEST_P(InvconvWeight, PluAssembles) {
  Rng rng(53);
  const int64_t c = shape().c;
  const reference::Plu p = random_plu(rng, c);
  const PluOnDevice on_device(p, device());
  const GuardedBuffer<float> weight(c * c, device());
  const GuardedBuffer<float> inverse(c * c, device());
  const GuardedBuffer<double> log_det(1, device());
  kernels::invconv_assemble_plu(stream_,
                                {.steps = only(kernels::PluAssembly{on_device.view(), weight.view(), inverse.view()}),
                                 .log_det = log_det.view()});
  stream_.synchronise();
  const Vector expected = reference::plu_weight(p);
  const reference::Inverse inverted = reference::invert(expected, c);
  const double condition = norm(expected) * norm(inverted.inverse);
  expect_close(weight.values(), expected, rounded_bound(expected, 1.0), "weight");
  expect_close(inverse.values(), inverted.inverse, rounded_bound(inverted.inverse, condition), "inverse");
  double magnitude = 1.0;
  for (const double value : p.log_s) {
    magnitude += std::abs(value);
  }
  EXPECT_TRUE(std::abs(log_det[0] - inverted.log_det) <= sum_bound(c, magnitude, eps64) + 8 * eps64 * condition)
      << log_det[0] << " " << inverted.log_det;
}

TEST_P(InvconvWeight, DenseAssembles) {
  Rng rng(54);
  const int64_t c = shape().c;
  const Vector weight = random_vector(rng, c * c);
  const GuardedBuffer<float> weight32(narrow(weight), device());
  const GuardedBuffer<float> inverse(c * c, device());
  const GuardedBuffer<double> log_det(1, device());
  kernels::invconv_assemble_dense(
      stream_, {.steps = only(kernels::DenseAssembly{weight32.view(), inverse.view()}), .log_det = log_det.view()});
  stream_.synchronise();
  const reference::Inverse expected = reference::invert(weight, c);
  const double condition = norm(weight) * norm(expected.inverse);
  expect_close(inverse.values(), expected.inverse, rounded_bound(expected.inverse, condition), "inverse");
  EXPECT_TRUE(std::abs(log_det[0] - expected.log_det) <= 8 * eps64 * static_cast<double>(c) * condition)
      << log_det[0] << " " << expected.log_det;
}

TEST_P(InvconvWeight, DensePivots) {
  // A permutation has zeros on the diagonal: without pivoting there is no factorisation.
  const int64_t c = shape().c;
  std::vector<float> weight(static_cast<size_t>(c * c));
  for (int64_t i = 0; i < c; ++i) {
    weight[static_cast<size_t>(i * c + (i + 1) % c)] = -2.0F;
  }
  const GuardedBuffer<float> weight32(weight, device());
  const GuardedBuffer<float> inverse(c * c, device());
  const GuardedBuffer<double> log_det(1, device());
  kernels::invconv_assemble_dense(
      stream_, {.steps = only(kernels::DenseAssembly{weight32.view(), inverse.view()}), .log_det = log_det.view()});
  stream_.synchronise();
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      EXPECT_EQ(inverse[j * c + i], weight[static_cast<size_t>(i * c + j)] / 4.0F);
    }
  }
  const double expected = static_cast<double>(c) * std::log(2.0);
  EXPECT_TRUE(std::abs(log_det[0] - expected) <= sum_bound(c, expected, eps64));
}

// The CPU throws with the index of the step; a GPU marks its log-determinant and leaves the other steps right.
class SingularSteps : public OpTest<Channels> {
 protected:
  // `assemble` of three steps, the middle one bad; a CPU's throw names it, else its log_det alone is NaN.
  void expect_middle_named(const std::function<void(kernels::Array<double>)>& assemble, const std::string& what) {
    const GuardedBuffer<double> log_det(3, device());
    if (device().type == kernels::DeviceType::cpu) {
      try {
        assemble(log_det.view());
        ADD_FAILURE() << "nothing was thrown: " << what;
      } catch (const kernels::SingularError& error) {
        EXPECT_EQ(error.step(), 1) << what;
      }
      return;
    }
    assemble(log_det.view());
    stream_.synchronise();
    EXPECT_TRUE(std::isfinite(log_det[0])) << what;
    EXPECT_TRUE(std::isnan(log_det[1])) << what;
    EXPECT_TRUE(std::isfinite(log_det[2])) << what;
  }
};

TEST_P(SingularSteps, DenseSingularAndNonFinite) {
  Rng rng(55);
  const int64_t c = shape().c;
  const Vector good = random_vector(rng, c * c);
  const Vector larger = random_vector(rng, (c + 1) * (c + 1));
  const auto expect_named = [&](const Vector& middle, const std::string& what) {
    const GuardedBuffer<float> first(narrow(larger), device()), second(narrow(middle), device()),
        third(narrow(good), device());
    const GuardedBuffer<float> first_inverse(first.size(), device()), second_inverse(second.size(), device()),
        third_inverse(third.size(), device());
    const std::vector<kernels::DenseAssembly> steps = {{first.view(), first_inverse.view()},
                                                       {second.view(), second_inverse.view()},
                                                       {third.view(), third_inverse.view()}};
    expect_middle_named(
        [&](auto log_det) { kernels::invconv_assemble_dense(stream_, {.steps = steps, .log_det = log_det}); }, what);
  };
  expect_named(Vector(good.size()), "zeros");
  Vector column = good;
  for (int64_t i = 0; i < c; ++i) {
    column[static_cast<size_t>(i * c + c - 1)] = 0;
  }
  expect_named(column, "a column of zeros");
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const size_t at : {size_t{0}, good.size() / 2, good.size() - 1}) {
      Vector damaged = good;
      damaged[at] = bad;
      expect_named(damaged, text_of(bad, " at ", at));
    }
  }
}

TEST_P(SingularSteps, PluWithADiagonalThatIsNotFinite) {
  Rng rng(56);
  const int64_t c = shape().c;
  const PluOnDevice first(random_plu(rng, c + 2), device()), third(random_plu(rng, c), device());
  const GuardedBuffer<float> weight(3 * (c + 2) * (c + 2), device()), inverse(weight.size(), device());
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), 1e4, -1e4}) {  // exp overflows, underflows to 0
    reference::Plu p = random_plu(rng, c);
    p.log_s.back() = bad;
    const PluOnDevice second(p, device());
    std::vector<kernels::PluAssembly> steps;
    for (const PluOnDevice* step : {&first, &second, &third}) {
      const int64_t at = static_cast<int64_t>(steps.size()) * (c + 2) * (c + 2);
      const int64_t size = step->lower.size();
      steps.push_back({step->view(), weight.view().slice(at, size), inverse.view().slice(at, size)});
    }
    expect_middle_named(
        [&](auto log_det) { kernels::invconv_assemble_plu(stream_, {.steps = steps, .log_det = log_det}); },
        text_of(bad));
  }
}

TEST_P(InvconvWeight, PluBackwardChainsIntoTheFactors) {
  Rng rng(57);
  const int64_t c = shape().c;
  const reference::Plu p = random_plu(rng, c);
  const Vector dweight = random_vector(rng, c * c);
  const double log_det_gradient = -0.7;
  const Vector before_lower = random_vector(rng, c * c);
  const Vector before_upper = random_vector(rng, c * c);
  const Vector before_log_s = random_vector(rng, c);
  const PluOnDevice on_device(p, device());
  const GuardedBuffer<float> dweight32(narrow(dweight), device());
  const GuardedBuffer<float> dlower(narrow(before_lower), device());
  const GuardedBuffer<float> dupper(narrow(before_upper), device());
  const GuardedBuffer<float> dlog_s(narrow(before_log_s), device());
  kernels::invconv_plu_backward(
      stream_,
      {.steps = only(kernels::PluBackward{
           on_device.view(), dweight32.view(), log_det_gradient, {dlower.view(), dupper.view(), dlog_s.view()}})});
  stream_.synchronise();
  const reference::PluBackward expected = reference::plu_backward(p, dweight, log_det_gradient);
  reference::Plu magnitudes = p;
  magnitudes.lower = reference::absolute(p.lower);
  magnitudes.upper = reference::absolute(p.upper);
  magnitudes.sign.assign(p.sign.size(), 1);
  const reference::PluBackward magnitude =
      reference::plu_backward(magnitudes, reference::absolute(dweight), std::abs(log_det_gradient));
  const auto compare = [&](const GuardedBuffer<float>& actual, const Vector& gradient, const Vector& sizes,
                           const Vector& before, const char* what) {
    Vector total = before;
    Vector bound = sum_bounds(c, sizes);
    for (size_t i = 0; i < total.size(); ++i) {
      total[i] += gradient[i];
      bound[i] += eps32 * std::abs(before[i]);
    }
    expect_close(actual.values(), total, bound, what);
  };
  compare(dlower, expected.dlower, magnitude.dlower, before_lower, "d lower");
  compare(dupper, expected.dupper, magnitude.dupper, before_upper, "d upper");
  compare(dlog_s, expected.dlog_s, magnitude.dlog_s, before_log_s, "d log_s");
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      const size_t at = static_cast<size_t>(i * c + j);
      if (j >= i) {
        EXPECT_EQ(static_cast<double>(dlower[i * c + j]), before_lower[at]) << "only the strict triangle";
      }
      if (j <= i) {
        EXPECT_EQ(static_cast<double>(dupper[i * c + j]), before_upper[at]) << "only the strict triangle";
      }
    }
  }
}

TEST_P(InvconvWeight, DenseBackwardAddsTheLogDeterminantsShare) {
  Rng rng(58);
  const int64_t c = shape().c;
  const Vector weight = random_vector(rng, c * c);
  const Vector dweight = random_vector(rng, c * c);
  const Vector before = random_vector(rng, c * c);
  const GuardedBuffer<float> weight32(narrow(weight), device());
  const GuardedBuffer<float> inverse(c * c, device());
  const GuardedBuffer<double> log_det(1, device());
  const GuardedBuffer<float> dweight32(narrow(dweight), device());
  const GuardedBuffer<float> d(narrow(before), device());
  kernels::invconv_assemble_dense(
      stream_, {.steps = only(kernels::DenseAssembly{weight32.view(), inverse.view()}), .log_det = log_det.view()});
  kernels::invconv_dense_backward(
      stream_, {.steps = only(kernels::DenseBackward{inverse.view(), dweight32.view(), -0.7, d.view()})});
  stream_.synchronise();
  Vector expected = reference::dense_backward(weight, c, dweight, -0.7);
  const reference::Inverse inverted = reference::invert(weight, c);
  const Vector inverse_bound = rounded_bound(inverted.inverse, norm(weight) * norm(inverted.inverse));
  const Vector turned = reference::transpose(inverse_bound, c);
  Vector bound;
  for (size_t i = 0; i < expected.size(); ++i) {
    bound.push_back(0.7 * turned[i] + 2 * eps32 * (std::abs(expected[i]) + std::abs(before[i])));
    expected[i] += before[i];
  }
  expect_close(d.values(), expected, bound, "d weight");
}

std::vector<Channels> channel_cases() {
  return {{1}, {2}, {4}, {16}, {31}, {32}, {33}, {37}};
}
INSTANTIATE_TEST_SUITE_P(Channels, InvconvWeight, on_every_backend(channel_cases()), case_name<Channels>);
INSTANTIATE_TEST_SUITE_P(Channels, SingularSteps, on_every_backend(channel_cases()), case_name<Channels>);

}  // namespace
}  // namespace evenflow::tests
