// Adam over the parameter arena, and how its learning rate runs over a training.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/config.h"
#include "kernels/adam.h"
#include "kernels/buffer.h"

namespace evenflow::train {

/// A copy of everything an optimiser step changes.
struct OptimizerSnapshot {
  std::vector<float> parameters, m, v;  ///< the arena's layout
  int64_t step = 0;                     ///< updates made
  bool operator==(const OptimizerSnapshot&) const = default;
};

class Optimizer {
 public:
  /// `parameters` is the model's arena; it must outlive the optimiser.
  explicit Optimizer(kernels::Array<float> parameters);

  /// One Adam update. `gradient_scale` multiplies the gradient first.
  void update(kernels::Stream& stream, kernels::Array<const float> gradient, double learning_rate,
              double gradient_scale);
  int64_t step() const { return step_; }
  /// For updates made on the device (kernels/train_step.h): the moments, and how many there have been.
  kernels::Array<float> m() const { return m_.view(); }
  kernels::Array<float> v() const { return v_.view(); }
  void set_step(int64_t step) { step_ = step; }

  /// Both wait for the device. No allocation when `to` has been saved to before.
  void save(OptimizerSnapshot& to);
  void restore(const OptimizerSnapshot& from);

 private:
  kernels::Array<float> parameters_;
  kernels::Stream stream_;
  kernels::Buffer<float> m_, v_;
  int64_t step_ = 0;
};

/// The learning rate of step `step` (from 0) of `steps`: linear warm-up, then constant, or a cosine to 0 at the end.
double learning_rate_at(const io::TrainSettings& settings, int64_t step, int64_t steps);

/// What scales a gradient of norm `norm` down to `clip_norm`; 1 if it is shorter, or clip_norm is 0.
double clip_scale(double norm, double clip_norm);

}  // namespace evenflow::train
