// Couplings of the op suites: weights whose hidden maps never come near zero, so that no ReLU's gate hangs on a
// rounding.
#pragma once

#include <cmath>

#include "kernels/coupling.h"
#include "tests/kernels/shapes.h"
#include "tests/support/reference.h"

namespace evenflow::tests {

using reference::Coupling;
using reference::CouplingWeights;
using reference::Maps;

struct CouplingCase {
  int64_t n = 1, c = 2, hidden = 1, h = 1, w = 1;
  Surroundings around{};
  Coupling kind = Coupling::sigmoid;
  std::string name() const {
    return text_of(MapShape{n, c, h, w, around}.name(), "_hidden", hidden,
                   kind == Coupling::sigmoid ? "_sigmoid"
                   : kind == Coupling::tanh  ? "_tanh"
                                             : "_additive");
  }
  bool additive() const { return kind == Coupling::additive; }
  kernels::CouplingShape kernel_shape() const {
    return {.channels = c,
            .hidden = hidden,
            .height = h,
            .width = w,
            .kind = kind == Coupling::sigmoid ? kernels::CouplingKind::sigmoid
                    : kind == Coupling::tanh  ? kernels::CouplingKind::tanh
                                              : kernels::CouplingKind::additive};
  }
};

inline reference::Vector beside_grid(reference::Vector values, double by) {
  for (double& value : values) {
    value += by;
  }
  return values;
}

// x and the first two layers' weights lie on dyadic grids, and so do the sums before each ReLU: multiples of 1/128 and
// of 1/4096. The biases lie half a step beside the grid. So no sum is nearer to zero than that, many times what float32
// loses; no gate of a ReLU, whose gradient jumps, hangs on a rounding, and every bound below is a bound of smooth
// functions.
inline CouplingWeights random_weights(Rng& rng, const CouplingCase& s) {
  const int64_t half = s.c / 2;
  const int64_t outputs = s.additive() ? half : s.c;
  CouplingWeights p;
  p.conv1_weight = dyadic_vector(rng, s.hidden * half * 9, 4, 16);
  p.conv1_bias = beside_grid(dyadic_vector(rng, s.hidden, 32, 64), 1.0 / 256);
  p.conv2_weight = dyadic_vector(rng, s.hidden * s.hidden, 4, 16);
  p.conv2_bias = beside_grid(dyadic_vector(rng, s.hidden, 32, 64), 1.0 / 8192);
  p.conv3_weight = random_vector(rng, outputs * s.hidden * 9, 0.3 / std::sqrt(9.0 * static_cast<double>(s.hidden)));
  p.conv3_bias = random_vector(rng, outputs, 0.3);
  p.log_gain = random_vector(rng, outputs, 0.2);
  return p;
}

inline Maps random_input(Rng& rng, const CouplingCase& s) {
  Maps x(s.n, s.c, s.h, s.w);
  x.values = dyadic_vector(rng, s.n * s.c * s.h * s.w, 16, 8);
  return x;
}

struct WeightsOnDevice {
  WeightsOnDevice(const CouplingWeights& p, kernels::Device device)
      : conv1_weight(narrow(p.conv1_weight), device),
        conv1_bias(narrow(p.conv1_bias), device),
        conv2_weight(narrow(p.conv2_weight), device),
        conv2_bias(narrow(p.conv2_bias), device),
        conv3_weight(narrow(p.conv3_weight), device),
        conv3_bias(narrow(p.conv3_bias), device),
        log_gain(narrow(p.log_gain), device) {}
  GuardedBuffer<float> conv1_weight, conv1_bias, conv2_weight, conv2_bias, conv3_weight, conv3_bias, log_gain;
  kernels::CouplingParameters parameters() const {
    return {conv1_weight.view(), conv1_bias.view(), conv2_weight.view(), conv2_bias.view(),
            conv3_weight.view(), conv3_bias.view(), log_gain.view()};
  }
  kernels::CouplingGradients gradients() const {
    return {conv1_weight.view(), conv1_bias.view(), conv2_weight.view(), conv2_bias.view(),
            conv3_weight.view(), conv3_bias.view(), log_gain.view()};
  }
};

}  // namespace evenflow::tests
