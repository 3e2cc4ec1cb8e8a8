#include "train/loop/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "kernels/check.h"
#include "kernels/copy.h"

namespace evenflow::train {
namespace {

void copy_out(kernels::Stream& stream, kernels::Array<const float> from, std::vector<float>& to) {
  to.resize(static_cast<size_t>(from.size));
  kernels::download<float>(stream, from, to);
}

void copy_in(kernels::Stream& stream, const std::vector<float>& from, kernels::Array<float> to) {
  kernels::check(static_cast<int64_t>(from.size()) == to.size, "optimizer restore",
                 std::to_string(to.size) + " floats");
  kernels::upload<float>(stream, from, to);
}

}  // namespace

Optimizer::Optimizer(kernels::Array<float> parameters)
    : parameters_(parameters),
      stream_(parameters.device),
      m_(parameters.size, parameters.device),
      v_(parameters.size, parameters.device) {}

void Optimizer::update(kernels::Stream& stream, kernels::Array<const float> gradient, double learning_rate,
                       double gradient_scale) {
  kernels::AdamSettings settings;
  settings.learning_rate = learning_rate;
  settings.step = ++step_;
  settings.gradient_scale = gradient_scale;
  kernels::adam_update(
      stream, {.settings = settings, .gradient = gradient, .parameter = parameters_, .m = m_.view(), .v = v_.view()});
}

void Optimizer::save(OptimizerSnapshot& to) {
  copy_out(stream_, parameters_, to.parameters);
  copy_out(stream_, m_.view(), to.m);
  copy_out(stream_, v_.view(), to.v);
  to.step = step_;
}

void Optimizer::restore(const OptimizerSnapshot& from) {
  copy_in(stream_, from.parameters, parameters_);
  copy_in(stream_, from.m, m_.view());
  copy_in(stream_, from.v, v_.view());
  step_ = from.step;
}

double learning_rate_at(const io::TrainSettings& settings, int64_t step, int64_t steps) {
  if (step < settings.warmup_steps) {
    return settings.learning_rate * static_cast<double>(step + 1) / static_cast<double>(settings.warmup_steps);
  }
  if (settings.schedule == io::Schedule::constant) {
    return settings.learning_rate;
  }
  const int64_t span = std::max<int64_t>(steps - settings.warmup_steps, 1);
  const double done = std::min(1.0, static_cast<double>(step - settings.warmup_steps) / static_cast<double>(span));
  return settings.learning_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

double clip_scale(double norm, double clip_norm) {
  return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1.0;
}

}  // namespace evenflow::train
