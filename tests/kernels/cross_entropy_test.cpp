#include "kernels/cross_entropy.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::ClassGrid;
using reference::Vector;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

struct Classes {
  int64_t n = 1;
  std::vector<double> values;
  std::vector<int64_t> counts;
  double spread = 1;  ///< of the logits
  int64_t classes() const {
    int64_t product = 1;
    for (const int64_t count : counts) {
      product *= count;
    }
    return product;
  }
  std::string name() const {
    return text_of("n", n, "_parameters", counts.size(), "_classes", classes(), "_spread", spread);
  }
};

class ClassTest : public OpTest<Classes> {
 protected:
  ClassTest() {
    Rng rng(82);
    const Classes& s = shape();
    logits_ = random_vector(rng, s.n * s.classes(), s.spread);
    // Each window at a cell of the grid, by turns, a little off it; every third unknown.
    for (int64_t i = 0; i < s.n; ++i) {
      int64_t cell = i % s.classes();
      own_.push_back(i % 3 == 2 ? -1 : cell);
      std::vector<double> v(s.counts.size());
      for (size_t p = s.counts.size(); p-- > 0;) {
        size_t first = 0;
        for (size_t q = 0; q < p; ++q) {
          first += static_cast<size_t>(s.counts[q]);
        }
        v[p] = s.values[first + static_cast<size_t>(cell % s.counts[p])] + 0.4;
        cell /= s.counts[p];
      }
      if (own_.back() < 0) {
        v.back() = unknown;
      }
      v_.insert(v_.end(), v.begin(), v.end());
    }
  }
  double probability(int64_t window, int64_t c) const {
    const auto first = logits_.begin() + window * shape().classes();
    const double top = *std::max_element(first, first + shape().classes());
    double sum = 0;
    for (auto at = first; at != first + shape().classes(); ++at) {
      sum += std::exp(*at - top);
    }
    return std::exp(first[c] - top) / sum;
  }
  Vector logits_, v_;
  std::vector<int64_t> own_;
};

TEST_P(ClassTest, LossAndGradientMatchTheDefinition) {
  const Classes& s = shape();
  const std::vector<float> narrow_logits = narrow(logits_);
  logits_.assign(narrow_logits.begin(), narrow_logits.end());
  const GuardedBuffer<float> logits(narrow_logits, device()), dlogits(s.n * s.classes(), device());
  const GuardedBuffer<double> v(v_, device()), values(s.values, device()), loss(s.n, device());
  const GuardedBuffer<int64_t> counts(s.counts, device());
  constexpr double scale = 0.25;
  for (const bool given : {true, false}) {
    kernels::ClassifiedWindows windows{
        .grid = {values.view(), counts.view(), s.classes()}, .logits = logits.view(), .v = {}, .weight = 3.0};
    if (given) {
      windows.v = v.view();
    }
    kernels::cross_entropy(stream_, {.windows = windows, .loss = loss.view()});
    kernels::cross_entropy_backward(stream_, {.windows = windows, .scale = scale, .dlogits = dlogits.view()});
    stream_.synchronise();
    const Vector losses = loss.values(), gradient = dlogits.values();
    for (int64_t i = 0; i < s.n; ++i) {
      const auto at = static_cast<size_t>(i);
      const int64_t own = given ? own_[at] : -1;
      for (int64_t c = 0; c < s.classes(); ++c) {
        const double p = probability(i, c);
        const double expected = own < 0 ? 0.0 : scale * 3.0 * (p - (c == own ? 1.0 : 0.0));
        const double actual = gradient[static_cast<size_t>(i * s.classes() + c)];
        EXPECT_TRUE(std::abs(actual - expected) <= 2 * eps32 * std::abs(expected) + 1e-16) << actual << " " << expected;
      }
      const double expected = own < 0 ? 0.0 : -3.0 * std::log(probability(i, own));
      EXPECT_TRUE(std::abs(losses[at] - expected) <= 1e-12 * (1 + expected)) << losses[at] << " " << expected;
    }
  }
}

TEST_P(ClassTest, NotANumberIsNotHidden) {
  const Classes& s = shape();
  std::vector<float> spoilt = narrow(logits_);
  spoilt.back() = static_cast<float>(unknown);
  const GuardedBuffer<float> logits(spoilt, device());
  std::fill(v_.begin(), v_.end(), s.values.front());
  const GuardedBuffer<double> values(s.values, device()), v(v_, device()), loss(s.n, device());
  const GuardedBuffer<int64_t> counts(s.counts, device());
  const ClassGrid grid{values.view(), counts.view(), s.classes()};
  kernels::cross_entropy(stream_, {.windows = {grid, logits.view(), v.view()}, .loss = loss.view()});
  stream_.synchronise();
  EXPECT_TRUE(std::isnan(loss.values().back()));
}

TEST(ClassOf, IsTheNearestCellOfTheGrid) {
  const std::vector<double> values = {100, 200, 400, 10, 20};
  const std::vector<int64_t> counts = {3, 2};
  const ClassGrid grid{{values.data(), 5, {}}, {counts.data(), 2, {}}, 6};
  const auto of = [&](double a, double b) {
    const std::vector<double> v = {a, b};
    return kernels::class_of(grid, v.data());
  };
  EXPECT_EQ(of(100, 10), 0);
  EXPECT_EQ(of(100, 20), 1);
  EXPECT_EQ(of(390, 10), 4);
  EXPECT_EQ(of(1e9, 1e9), 5);
  EXPECT_EQ(of(-5, 15), 0);  // as near to 10 as to 20
  EXPECT_EQ(of(unknown, 10), -1);
  EXPECT_EQ(of(100, unknown), -1);
}

TEST(ClassShapes, AreChecked) {
  kernels::Stream stream;
  const kernels::Buffer<float> six(6);
  const kernels::Buffer<double> two(2), three(3);
  const kernels::Buffer<int64_t> count(1);
  const ClassGrid grid{two.view(), count.view(), 2};
  const kernels::ClassifiedWindows windows{grid, six.view(), {}};
  EXPECT_THROW(kernels::cross_entropy(stream, {.windows = windows, .loss = two.view()}), kernels::ShapeError);
  EXPECT_THROW(kernels::cross_entropy(stream, {.windows = {grid, six.view(), two.view()}, .loss = three.view()}),
               kernels::ShapeError);
  EXPECT_THROW(kernels::cross_entropy_backward(stream, {.windows = windows, .scale = 1.0, .dlogits = six.slice(0, 4)}),
               kernels::ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ClassTest,
                         on_every_backend<Classes>({{1, {5.0}, {1}, 1.0},
                                                    {67, {100, 200, 300}, {3}, 2.0},
                                                    {20, {100, 200, 300, 10, 20}, {3, 2}, 30.0}}),
                         case_name<Classes>);

}  // namespace
}  // namespace evenflow::tests
