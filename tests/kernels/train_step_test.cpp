#include "kernels/train_step.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/guard.h"

namespace evenflow::tests {
namespace {

using kernels::StepState;

struct Arena {
  int64_t size = 1, windows = 1;
  std::string name() const { return text_of("size", size, "_windows", windows); }
};

class TrainStep : public OpTest<Arena> {
 protected:
  static constexpr int64_t steps = 3;
  struct Settings {
    double nll = 2.0, squared_norm = 25.0, clip_norm = 0.0;
  };
  StepState update(const StepState& before, const Settings& settings) {
    StepState begin = before;
    begin.clip_norm = settings.clip_norm;
    state_.set(0, begin);
    std::vector<double> nll(static_cast<size_t>(shape().windows), 2.0);
    nll.back() = settings.nll;
    nll_.set(nll);
    squared_norm_.set(0, settings.squared_norm);
    kernels::GuardedUpdate task;
    task.loss_scale = 0.25;
    task.state = state_.view();
    task.learning_rate = rate_.view();
    task.nll = nll_.view();
    task.squared_norm = squared_norm_.view();
    task.gradient = gradient_.view();
    task.parameter = parameter_.view();
    task.m = m_.view();
    task.v = v_.view();
    task.good_parameter = good_parameter_.view();
    task.good_m = good_m_.view();
    task.good_v = good_v_.view();
    task.loss = loss_.view();
    task.norm = norm_.view();
    kernels::guarded_update(stream_, task);
    stream_.synchronise();
    return state_[0];
  }
  std::vector<float> random(double least, double most) {
    std::vector<float> out = random_floats(rng_, shape().size, (most - least) / 2);
    for (float& value : out) {
      value += static_cast<float>((least + most) / 2);
    }
    return out;
  }

  Rng rng_{92};
  const std::vector<float> parameter_before_ = random(-1, 1), m_before_ = random(-1, 1), v_before_ = random(0.5, 2),
                           good_before_ = random(-1, 1);
  const GuardedBuffer<float> gradient_{random(-1, 1), device()}, parameter_{parameter_before_, device()},
      m_{m_before_, device()}, v_{v_before_, device()}, good_parameter_{good_before_, device()},
      good_m_{good_before_, device()}, good_v_{good_before_, device()};
  const GuardedBuffer<double> rate_{std::vector<double>{0.5, 0.01, 0.25}, device()}, nll_{shape().windows, device()},
      squared_norm_{1, device()}, loss_{std::vector<double>(steps, -1.0), device()},
      norm_{std::vector<double>(steps, -1.0), device()};
  const GuardedBuffer<StepState> state_{1, device()};
};

TEST_P(TrainStep, AFiniteStepIsAdamWithTheRateOfItsPosition) {
  for (const double clip : {0.0, 1.0, 6.0}) {
    SCOPED_TRACE(clip);
    parameter_.set(parameter_before_);
    m_.set(m_before_);
    v_.set(v_before_);
    const StepState after = update({.position = 1, .adam_step = 4, .good_step = 2}, {.clip_norm = clip});
    EXPECT_EQ(after.position, 2);
    EXPECT_EQ(after.adam_step, 5);
    EXPECT_EQ(after.good_step, 4);
    EXPECT_EQ(after.halted, 0);
    EXPECT_EQ(after.accepted, 1);
    EXPECT_EQ(loss_.elements(), (std::vector<double>{-1.0, 0.5 * static_cast<double>(shape().windows), -1.0}));
    EXPECT_EQ(norm_.elements(), (std::vector<double>{-1.0, 5.0, -1.0}));
    EXPECT_EQ(good_parameter_.elements(), parameter_before_);
    EXPECT_EQ(good_m_.elements(), m_before_);
    EXPECT_EQ(good_v_.elements(), v_before_);
    // The same bits as the operation of its own makes of it.
    const GuardedBuffer<float> parameter(parameter_before_, device()), m(m_before_, device()), v(v_before_, device());
    kernels::adam_update(stream_,
                         {.settings = {.learning_rate = 0.01, .step = 5, .gradient_scale = clip == 1.0 ? 0.2 : 1.0},
                          .gradient = gradient_.view(),
                          .parameter = parameter.view(),
                          .m = m.view(),
                          .v = v.view()});
    stream_.synchronise();
    EXPECT_EQ(parameter_.elements(), parameter.elements());
    EXPECT_EQ(m_.elements(), m.elements());
    EXPECT_EQ(v_.elements(), v.elements());
  }
}

TEST_P(TrainStep, AStepThatIsNotFiniteHaltsAndChangesNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto expect_untouched = [&] {
    EXPECT_EQ(parameter_.elements(), parameter_before_);
    EXPECT_EQ(m_.elements(), m_before_);
    EXPECT_EQ(v_.elements(), v_before_);
    for (const auto* good : {&good_parameter_, &good_m_, &good_v_}) {
      EXPECT_EQ(good->elements(), good_before_);
    }
  };
  for (const Settings& bad : {Settings{.nll = nan}, Settings{.nll = infinity}, Settings{.squared_norm = nan},
                              Settings{.squared_norm = infinity}}) {
    const StepState halted = update({.position = 1, .adam_step = 4, .good_step = 3, .accepted = 1}, bad);
    EXPECT_EQ(halted.position, 1);
    EXPECT_EQ(halted.adam_step, 4);
    EXPECT_EQ(halted.good_step, 3);
    EXPECT_EQ(halted.halted, 1);
    EXPECT_EQ(halted.accepted, 0);
    EXPECT_FALSE(std::isfinite(loss_[1]) && std::isfinite(norm_[1]));
    expect_untouched();
    // Halted, a good step changes nothing either, nor what was written of the bad one.
    loss_.set(1, -7.0);
    const StepState still = update(halted, {});
    EXPECT_EQ(still.position, 1);
    EXPECT_EQ(still.halted, 1);
    EXPECT_EQ(still.accepted, 0);
    EXPECT_EQ(loss_[1], -7.0);
    expect_untouched();
  }
}

TEST_P(TrainStep, PastTheEpochsEndNothingHappens) {
  const StepState after = update({.position = steps, .adam_step = 4}, {});
  EXPECT_EQ(after.position, steps);
  EXPECT_EQ(after.adam_step, 4);
  EXPECT_EQ(after.accepted, 0);
  EXPECT_EQ(parameter_.elements(), parameter_before_);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TrainStep, on_every_backend<Arena>({{1, 1}, {31, 3}, {32, 33}, {1003, 300}}),
                         case_name<Arena>);

struct Epoch {
  int64_t windows = 1, stride = 1, columns = 0;
  std::string name() const { return text_of("windows", windows, "_stride", stride, "_columns", columns); }
};

using SelectBatch = OpTest<Epoch>;

TEST_P(SelectBatch, TakesThePositionsWindowsAndStopsAtTheEnd) {
  const Epoch& s = shape();
  std::vector<int64_t> order, start;
  std::vector<double> v;
  for (int64_t i = 0; i < s.windows; ++i) {
    order.push_back(s.windows - 1 - i);
    start.push_back(100 + 7 * i);
    for (int64_t p = 0; p < s.columns; ++p) {
      v.push_back(static_cast<double>(10 * i + p));
    }
  }
  const GuardedBuffer<int64_t> orders(order, device()), starts(start, device());
  const GuardedBuffer<double> values(v, device());
  const GuardedBuffer<StepState> state(1, device());
  const int64_t batches = (s.windows + s.stride - 1) / s.stride;
  for (int64_t position = 0; position <= batches; ++position) {
    state.set(0, {.position = position});
    const GuardedBuffer<int64_t> batch_start(std::vector<int64_t>(static_cast<size_t>(s.stride), -1), device());
    const GuardedBuffer<double> batch_v(std::vector<double>(static_cast<size_t>(s.stride * s.columns), -1.0), device());
    kernels::select_batch(stream_, {state.view(), orders.view(), starts.view(), values.view(), s.stride,
                                    batch_start.view(), batch_v.view()});
    stream_.synchronise();
    const std::vector<int64_t> picked = batch_start.elements();
    const std::vector<double> rows = batch_v.elements();
    for (int64_t i = 0; i < s.stride; ++i) {
      const int64_t at = position * s.stride + i;
      const bool there = at < s.windows;
      const int64_t window = there ? order[static_cast<size_t>(at)] : 0;
      EXPECT_EQ(picked[static_cast<size_t>(i)], there ? start[static_cast<size_t>(window)] : -1);
      for (int64_t p = 0; p < s.columns; ++p) {
        EXPECT_EQ(rows[static_cast<size_t>(i * s.columns + p)],
                  there ? v[static_cast<size_t>(window * s.columns + p)] : -1.0);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, SelectBatch,
                         on_every_backend<Epoch>({{1, 1, 1}, {5, 2, 1}, {31, 32, 2}, {700, 300, 3}, {9, 3, 0}}),
                         case_name<Epoch>);

}  // namespace
}  // namespace evenflow::tests
