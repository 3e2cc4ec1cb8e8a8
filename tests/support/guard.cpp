#include "tests/support/guard.h"

#include <algorithm>

namespace evenflow::tests {
namespace {

int64_t sample_stride(int64_t c, int64_t h, int64_t w, const Surroundings& around) {
  return (around.channels_before + c + around.channels_after) * h * w + around.gap;
}

}  // namespace

GuardedMap::GuardedMap(int64_t n, int64_t c, int64_t h, int64_t w, Surroundings around, kernels::Device device)
    : first_(around.channels_before * h * w), memory_(n * sample_stride(c, h, w, around), device) {
  view_ = {memory_.view().data + first_, n, c, h, w, sample_stride(c, h, w, around), device};
}

GuardedMap::GuardedMap(const reference::Maps& values, Surroundings around, kernels::Device device)
    : GuardedMap(values.n, values.c, values.h, values.w, around, device) {
  set(values);
}

// Into what the buffer holds now: the surroundings stay as they are.
void GuardedMap::set(const reference::Maps& values) const {
  std::vector<float> all = memory_.elements();
  const int64_t count = values.c * values.pixels();
  for (int64_t n = 0; n < values.n; ++n) {
    const double* from = values.plane(n, 0);
    std::transform(from, from + count, all.begin() + first_ + n * view_.sample_stride,
                   [](double value) { return static_cast<float>(value); });
  }
  memory_.set(all);
}

reference::Maps GuardedMap::values() const {
  const std::vector<float> all = memory_.elements();
  reference::Maps out(view_.n, view_.c, view_.h, view_.w);
  for (int64_t n = 0; n < view_.n; ++n) {
    std::copy_n(all.begin() + first_ + n * view_.sample_stride, view_.c * view_.pixels(), out.plane(n, 0));
  }
  return out;
}

void GuardedMap::check() const {
  const std::vector<float> all = memory_.elements();
  const int64_t used = view_.c * view_.pixels();
  int64_t damaged = 0;
  for (int64_t i = 0; i < memory_.size(); ++i) {
    const int64_t in_sample = i % view_.sample_stride - first_;
    const bool inside = in_sample >= 0 && in_sample < used;
    if (!inside && !is_canary(all[static_cast<size_t>(i)])) {
      ++damaged;
    }
  }
  EXPECT_EQ(damaged, 0) << "elements written outside of a map view, between its samples";
}

std::vector<float> random_floats(Rng& rng, int64_t count, double scale) {
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) {
    const double uniform = static_cast<double>(rng() >> 11) * 0x1.0p-53;
    value = static_cast<float>(scale * (2.0 * uniform - 1.0));
  }
  return out;
}

reference::Vector widen(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

std::vector<float> narrow(const reference::Vector& values) {
  std::vector<float> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](double value) { return static_cast<float>(value); });
  return out;
}

reference::Vector random_vector(Rng& rng, int64_t count, double scale) {
  return widen(random_floats(rng, count, scale));
}

reference::Maps random_maps(Rng& rng, int64_t n, int64_t c, int64_t h, int64_t w, double scale) {
  reference::Maps out(n, c, h, w);
  out.values = random_vector(rng, n * c * h * w, scale);
  return out;
}

reference::Vector dyadic_vector(Rng& rng, int64_t count, int limit, int denominator) {
  reference::Vector out(static_cast<size_t>(count));
  const uint64_t span = 2 * static_cast<uint64_t>(limit) + 1;
  for (double& value : out) {
    value = static_cast<double>(static_cast<int64_t>(rng() % span) - limit) / denominator;
  }
  return out;
}

void expect_close(const reference::Vector& actual, const reference::Vector& expected, const reference::Vector& bound,
                  const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  ASSERT_EQ(bound.size(), expected.size()) << what;
  size_t worst = 0;
  double worst_ratio = -1;
  int64_t failures = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected[i]);
    if (error <= bound[i]) {
      continue;
    }
    ++failures;
    const double ratio = std::isfinite(error) ? error / bound[i] : std::numeric_limits<double>::infinity();
    if (!(ratio <= worst_ratio)) {
      worst_ratio = ratio;
      worst = i;
    }
  }
  if (failures == 0) {
    return;
  }
  ADD_FAILURE() << what << ": " << failures << " of " << actual.size() << " elements beyond their bound; worst at "
                << worst << ": " << actual[worst] << ", expected " << expected[worst] << " within " << bound[worst];
}

reference::Vector sum_bounds(int64_t length, const reference::Vector& magnitude) {
  reference::Vector out;
  for (const double m : magnitude) {
    out.push_back(sum_bound(length, m));
  }
  return out;
}

}  // namespace evenflow::tests
