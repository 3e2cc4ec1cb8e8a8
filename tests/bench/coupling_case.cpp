#include "tests/bench/coupling_case.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "train/statistics/random.h"

namespace evenflow::bench {
namespace {

constexpr double log_det_gradient = -1.0 / 64;

std::vector<double> beside_grid(std::vector<double> values, double by) {
  for (double& value : values) {
    value += by;
  }
  return values;
}

// The sums before each ReLU are multiples of 1/128 and 1/4096, and the biases half a step beside: no gate of a ReLU,
// whose gradient jumps, hangs on rounding.
reference::CouplingWeights weights_of(const kernels::CouplingShape& s) {
  reference::CouplingWeights p;
  p.conv1_weight = dyadic(s.hidden * s.channels / 2 * 9, 4, 16, 1);
  p.conv1_bias = beside_grid(dyadic(s.hidden, 32, 64, 2), 1.0 / 256);
  p.conv2_weight = dyadic(s.hidden * s.hidden, 4, 16, 3);
  p.conv2_bias = beside_grid(dyadic(s.hidden, 32, 64, 4), 1.0 / 8192);
  p.conv3_weight = dyadic(s.outputs() * s.hidden * 9, 16, 1024, 5);
  p.conv3_bias = dyadic(s.outputs(), 16, 64, 6);
  p.log_gain = dyadic(s.outputs(), 16, 64, 7);
  return p;
}

reference::Maps random_maps(const kernels::CouplingShape& s, uint64_t stream) {
  reference::Maps maps(1, s.channels, s.height, s.width);
  maps.values = dyadic(s.channels * s.height * s.width, 16, 8, stream);
  return maps;
}

template <class Views>
Views views_of(const std::vector<kernels::Buffer<float>>& b) {
  return {b[0].view(), b[1].view(), b[2].view(), b[3].view(), b[4].view(), b[5].view(), b[6].view()};
}

reference::Coupling kind_of(const kernels::CouplingShape& s) {
  switch (s.kind) {
    case kernels::CouplingKind::tanh:
      return reference::Coupling::tanh;
    case kernels::CouplingKind::additive:
      return reference::Coupling::additive;
    case kernels::CouplingKind::sigmoid:
      break;
  }
  return reference::Coupling::sigmoid;
}

}  // namespace

std::vector<double> dyadic(int64_t count, int64_t steps, int64_t denominator, uint64_t stream) {
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t draw = train::random_below(2 * steps + 1, 1, stream, i) - steps;
    values[i] = static_cast<double>(draw) / static_cast<double>(denominator);
  }
  return values;
}

kernels::Buffer<float> narrowed(const std::vector<double>& values) {
  kernels::Buffer<float> buffer(static_cast<int64_t>(values.size()));
  std::transform(values.begin(), values.end(), buffer.data(), [](double value) { return static_cast<float>(value); });
  return buffer;
}

reference::Maps widened(const kernels::Map& maps) {
  reference::Maps wide(maps.n, maps.c, maps.h, maps.w);
  for (int64_t i = 0; i < maps.n; ++i) {
    std::copy_n(maps.sample(i), maps.c * maps.pixels(), wide.plane(i, 0));
  }
  return wide;
}

void require_close(const std::vector<double>& actual, const std::vector<double>& expected, double bound,
                   const char* what) {
  double error = 0, largest = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    const double here = std::abs(actual.at(i) - expected[i]);
    if (!(here <= error)) {
      error = here;
    }
  }
  if (!(error <= bound * largest) || actual.size() != expected.size()) {
    throw std::runtime_error(std::string(what) + " is off by " + std::to_string(error / largest) +
                             " of its largest value: not timed");
  }
}

void require_close(const kernels::Buffer<float>& actual, const std::vector<double>& expected, double bound,
                   const char* what) {
  require_close(std::vector<double>(actual.data(), actual.data() + actual.size()), expected, bound, what);
}

CouplingCase::CouplingCase(const kernels::CouplingShape& shape)
    : shape_(shape), x64_(random_maps(shape, 8)), dy64_(random_maps(shape, 9)), weights64_(weights_of(shape)) {
  for (const reference::Vector* tensor : reference::tensors_of(weights64_)) {
    weights_.push_back(narrowed(*tensor));
    gradients_.emplace_back(static_cast<int64_t>(tensor->size()));
  }
  x_ = narrowed(x64_.values);
  dy_ = narrowed(dy64_.values);
  y_ = kernels::Buffer<float>(x_.size());
  dx_ = kernels::Buffer<float>(x_.size());
  packed_ = kernels::Buffer<float>(kernels::coupling_packed_floats({}, shape));
  saved_ = kernels::Buffer<float>(kernels::coupling_saved_floats({}, shape));
  workspace_ = kernels::Buffer<float>(kernels::coupling_workspace_floats({}, shape, 1));
  pack();
}

kernels::Map CouplingCase::map(const kernels::Buffer<float>& buffer) const {
  return kernels::make_map(buffer.data(), 1, shape_.channels, shape_.height, shape_.width);
}

void CouplingCase::pack() {
  const kernels::PackedCoupling step = {shape_, views_of<kernels::CouplingParameters>(weights_), packed_.view()};
  kernels::coupling_pack(stream_, {.steps = {&step, 1}});
}

void CouplingCase::forward() {
  kernels::coupling_forward(stream_, {.shape = shape_,
                                      .x = map(x_),
                                      .packed = packed_.view(),
                                      .y = map(y_),
                                      .log_det = log_det_.view(),
                                      .saved = saved_.view(),
                                      .workspace = workspace_.view()});
}

void CouplingCase::score() {
  kernels::coupling_forward(stream_, {.shape = shape_,
                                      .x = map(x_),
                                      .packed = packed_.view(),
                                      .y = map(y_),
                                      .log_det = log_det_.view(),
                                      .saved = {},
                                      .workspace = workspace_.view()});
}

void CouplingCase::inverse() {
  kernels::coupling_inverse(
      stream_,
      {.shape = shape_, .y = map(y_), .packed = packed_.view(), .x = map(dx_), .workspace = workspace_.view()});
}

void CouplingCase::backward() {
  kernels::coupling_backward(stream_, {.shape = shape_,
                                       .x = map(x_),
                                       .dy = map(dy_),
                                       .packed = packed_.view(),
                                       .saved = saved_.view(),
                                       .log_det_gradient = log_det_gradient,
                                       .dx = map(dx_),
                                       .gradients = views_of<kernels::CouplingGradients>(gradients_),
                                       .workspace = workspace_.view()});
}

void CouplingCase::verify() {
  const reference::CouplingForward f = reference::coupling_forward(kind_of(shape_), weights64_, x64_);
  log_det_[0] = 0;
  score();
  require_close(y_, f.y.values, 1e-5, "the coupling's y (scoring)");
  forward();
  require_close(y_, f.y.values, 1e-5, "the coupling's y");
  require_close(std::vector<double>{log_det_[0] / 2}, f.log_det, 1e-5, "the coupling's log-determinant");
  inverse();
  require_close(dx_, x64_.values, 1e-4, "the coupling's inverse");
  for (const kernels::Buffer<float>& gradient : gradients_) {
    std::fill_n(gradient.data(), gradient.size(), 0.0F);
  }
  backward();
  reference::CouplingBackward b =
      reference::coupling_backward(kind_of(shape_), weights64_, x64_, dy64_, log_det_gradient);
  require_close(dx_, b.dx.values, 1e-4, "the coupling's dx");
  const std::vector<reference::Vector*> expected = reference::tensors_of(b.d);
  for (size_t i = 0; i < expected.size(); ++i) {
    require_close(gradients_[i], *expected[i], 1e-4, "a gradient of the coupling");
  }
}

double CouplingCase::forward_flop() const {
  const double c = static_cast<double>(shape_.channels), f = static_cast<double>(shape_.hidden);
  return 2.0 * static_cast<double>(shape_.height * shape_.width) *
         (9 * c / 2 * f + f * f + 9 * f * static_cast<double>(shape_.outputs()));
}

}  // namespace evenflow::bench
