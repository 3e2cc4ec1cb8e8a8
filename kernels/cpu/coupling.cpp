#include "kernels/coupling.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/affine.h"
#include "kernels/cpu/coupling_network.h"
#include "kernels/cpu/winograd.h"
#include "kernels/operations.h"
#include "kernels/trace.h"

namespace evenflow::kernels::cpu {

namespace {

void pack_3x3(const CouplingLayout& l, const float* weight, int64_t inputs, int64_t outputs, bool back, float* packed) {
  if (l.winograd) {
    winograd_pack_weights(weight, inputs, outputs, back, packed);
  } else {
    pack_weights(weight, inputs, outputs, 9, back, packed);
  }
}

void pack(const PackedCoupling& step) {
  const CouplingLayout l = coupling_layout(step.shape);
  const CouplingParameters& p = step.parameters;
  float* packed = step.packed.data;
  for (const bool back : {false, true}) {
    pack_3x3(l, p.conv1_weight.data, l.half, l.hidden, back, packed + (back ? l.packed.conv1_back : l.packed.conv1));
    pack_weights(p.conv2_weight.data, l.hidden, l.hidden, 1, back,
                 packed + (back ? l.packed.conv2_back : l.packed.conv2));
    pack_3x3(l, p.conv3_weight.data, l.hidden, l.outputs, back, packed + (back ? l.packed.conv3_back : l.packed.conv3));
  }
  std::copy_n(p.conv1_bias.data, l.hidden, packed + l.packed.bias1);
  std::copy_n(p.conv2_bias.data, l.hidden, packed + l.packed.bias2);
  std::copy_n(p.conv3_bias.data, l.outputs, packed + l.packed.bias3);
  for (int64_t c = 0; c < l.outputs; ++c) {
    packed[l.packed.gain + c] = std::exp(3.0F * p.log_gain[c]);
  }
}

// Where channel c of the half's s and t begin, on the network's padded output planes.
int64_t scale_at(const CouplingLayout& l, int64_t c) {
  return c * l.plane.size + l.plane.lead;
}
int64_t shift_at(const CouplingLayout& l, int64_t c) {
  return scale_at(l, l.outputs - l.half + c);
}

// One window's x and dy in, dx out, and the gradients of h3, whole padded planes, and of log gain.
struct SecondHalfBackward {
  const float *h3, *x, *dy;
  const float* gain;
  float log_det_gradient;
  float *dx, *dh3;
  float* dlog_gain;
};

void affine_backward(const CouplingLayout& l, CouplingKind kind, const SecondHalfBackward& w) {
  const int64_t pixels = l.plane.h * l.plane.w;
  for (int64_t c = 0; c < l.half; ++c) {
    const int64_t at = (l.half + c) * pixels;
    const AffineGainGradients gains = affine_backward(kind, l.plane,
                                                      {.s = w.h3 + scale_at(l, c),
                                                       .t = w.h3 + shift_at(l, c),
                                                       .x = w.x + at,
                                                       .dy = w.dy + at,
                                                       .log_det_gradient = w.log_det_gradient,
                                                       .gain_s = w.gain[c],
                                                       .gain_t = w.gain[l.half + c],
                                                       .dx = w.dx + at,
                                                       .ds = w.dh3 + scale_at(l, c),
                                                       .dt = w.dh3 + shift_at(l, c)});
    w.dlog_gain[c] += static_cast<float>(3.0 * gains.s);
    w.dlog_gain[l.half + c] += static_cast<float>(3.0 * gains.t);
  }
}

void additive_backward(const CouplingLayout& l, const SecondHalfBackward& w) {
  const int64_t pixels = l.plane.h * l.plane.w;
  if (w.dx != w.dy) {
    std::copy_n(w.dy + l.half * pixels, l.half * pixels, w.dx + l.half * pixels);
  }
  for (int64_t c = 0; c < l.half; ++c) {
    const double sum =
        shift_backward(l.plane, w.h3 + shift_at(l, c), w.dy + (l.half + c) * pixels, w.gain[c], w.dh3 + shift_at(l, c));
    w.dlog_gain[c] += static_cast<float>(3.0 * sum);
  }
}

}  // namespace

// One window is in hand at a time.
BufferSizes sizes(const CouplingBuffers& buffers) {
  const CouplingLayout l = coupling_layout(buffers.shape);
  return {.packed = l.packed.size, .saved = l.saved.size, .workspace = l.scratch.size};
}

void run(Stream&, const CouplingPack& task) {
  for (const PackedCoupling& step : task.steps) {
    pack(step);
  }
}

void run(Stream& stream, const CouplingForward& task) {
  const ConstMap& x = task.x;
  const Map& y = task.y;
  const CouplingLayout l = coupling_layout(task.shape);
  const int64_t half_pixels = l.half * x.pixels();
  for (int64_t n = 0; n < x.n; ++n) {
    const CouplingMaps maps =
        task.saved.size != 0 ? saved_maps(l, task.saved.data + n * l.saved.size) : scratch_maps(l, task.workspace.data);
    coupling_network(stream, l, x.sample(n), task.packed.data, maps, task.workspace.data);
    if (y.data != x.data) {
      std::copy_n(x.sample(n), half_pixels, y.sample(n));
    }
    const bool additive = task.shape.kind == CouplingKind::additive;
    const TraceRange range(stream, additive ? "shift" : "affine");
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * x.pixels();
      const float* shift = maps.h3 + shift_at(l, c);
      if (additive) {
        shift_forward(l.plane, shift, x.sample(n) + at, y.sample(n) + at);
      } else {
        task.log_det[n] += affine_forward(task.shape.kind, l.plane, maps.h3 + scale_at(l, c), shift, x.sample(n) + at,
                                          y.sample(n) + at);
      }
    }
  }
}

void run(Stream& stream, const CouplingInverse& task) {
  const ConstMap& y = task.y;
  const Map& x = task.x;
  const CouplingLayout l = coupling_layout(task.shape);
  const int64_t half_pixels = l.half * y.pixels();
  const CouplingMaps maps = scratch_maps(l, task.workspace.data);
  for (int64_t n = 0; n < y.n; ++n) {
    coupling_network(stream, l, y.sample(n), task.packed.data, maps, task.workspace.data);
    if (x.data != y.data) {
      std::copy_n(y.sample(n), half_pixels, x.sample(n));
    }
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * y.pixels();
      const float* shift = maps.h3 + shift_at(l, c);
      if (task.shape.kind == CouplingKind::additive) {
        shift_inverse(l.plane, shift, y.sample(n) + at, x.sample(n) + at);
      } else {
        affine_inverse(task.shape.kind, l.plane, maps.h3 + scale_at(l, c), shift, y.sample(n) + at, x.sample(n) + at);
      }
    }
  }
}

void run(Stream& stream, const CouplingBackward& task) {
  const ConstMap& x = task.x;
  const CouplingGradients& d = task.gradients;
  const Array<float>& workspace = task.workspace;
  const CouplingLayout l = coupling_layout(task.shape);
  const PaddedPlane& plane = l.plane;
  float* dh3 = workspace.data + l.scratch.h3;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* maps = task.saved.data + n * l.saved.size;
    {
      const bool additive = task.shape.kind == CouplingKind::additive;
      const TraceRange range(stream, additive ? "shift" : "affine");
      const SecondHalfBackward half{.h3 = maps + l.saved.h3,
                                    .x = x.sample(n),
                                    .dy = task.dy.sample(n),
                                    .gain = task.packed.data + l.packed.gain,
                                    .log_det_gradient = static_cast<float>(task.log_det_gradient),
                                    .dx = task.dx.sample(n),
                                    .dh3 = dh3,
                                    .dlog_gain = d.log_gain.data};
      if (additive) {
        additive_backward(l, half);
      } else {
        affine_backward(l, task.shape.kind, half);
      }
      for (int64_t c = 0; c < l.outputs; ++c) {
        clear_ends(plane, dh3 + c * plane.size);
      }
      conv_bias_gradient({dh3 + plane.lead, plane.size}, l.outputs, plane.run, d.conv3_bias.data);
    }
    coupling_network_backward(stream, l, task.packed.data, maps, d, workspace.data);
    const float* through_network = workspace.data + l.scratch.xa + plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      shift_forward(plane, through_network + c * plane.size, task.dy.sample(n) + c * x.pixels(),
                    task.dx.sample(n) + c * x.pixels());
    }
  }
}

// Backward has added everything.
void run(Stream& /*stream*/, const CouplingAddShares& /*task*/) {}

}  // namespace evenflow::kernels::cpu
