#include "kernels/coupling.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/affine.h"
#include "kernels/cpu/coupling_network.h"
#include "kernels/operations.h"
#include "kernels/trace.h"

namespace evenflow::kernels::cpu {

namespace {

void pack(const PackedCoupling& step) {
  const CouplingLayout l = coupling_layout(step.shape);
  const CouplingParameters& p = step.parameters;
  float* packed = step.packed.data;
  for (const bool back : {false, true}) {
    pack_weights(p.conv1_weight.data, l.half, l.hidden, 9, back,
                 packed + (back ? l.packed.conv1_back : l.packed.conv1));
    pack_weights(p.conv2_weight.data, l.hidden, l.hidden, 1, back,
                 packed + (back ? l.packed.conv2_back : l.packed.conv2));
    pack_weights(p.conv3_weight.data, l.hidden, l.channels, 9, back,
                 packed + (back ? l.packed.conv3_back : l.packed.conv3));
  }
  std::copy_n(p.conv1_bias.data, l.hidden, packed + l.packed.bias1);
  std::copy_n(p.conv2_bias.data, l.hidden, packed + l.packed.bias2);
  std::copy_n(p.conv3_bias.data, l.channels, packed + l.packed.bias3);
  for (int64_t c = 0; c < l.channels; ++c) {
    packed[l.packed.gain + c] = std::exp(3.0F * p.log_gain[c]);
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
    const TraceRange range(stream, "affine");
    const float* h3 = maps.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * x.pixels();
      task.log_det[n] += affine_forward(task.shape.kind, l.plane, h3 + c * l.plane.size,
                                        h3 + (l.half + c) * l.plane.size, x.sample(n) + at, y.sample(n) + at);
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
    const float* h3 = maps.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * y.pixels();
      affine_inverse(task.shape.kind, l.plane, h3 + c * l.plane.size, h3 + (l.half + c) * l.plane.size,
                     y.sample(n) + at, x.sample(n) + at);
    }
  }
}

void run(Stream& stream, const CouplingBackward& task) {
  const ConstMap& x = task.x;
  const CouplingGradients& d = task.gradients;
  const Array<float>& workspace = task.workspace;
  const CouplingLayout l = coupling_layout(task.shape);
  const PaddedPlane& plane = l.plane;
  const int64_t half_pixels = l.half * x.pixels();
  const float* gain = task.packed.data + l.packed.gain;
  float* dh3 = workspace.data + l.scratch.h3;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* maps = task.saved.data + n * l.saved.size;
    const float* h3 = maps + l.saved.h3;
    {
      const TraceRange range(stream, "affine");
      for (int64_t c = 0; c < l.half; ++c) {
        const int64_t at = half_pixels + c * x.pixels();
        const int64_t s = c * plane.size + plane.lead;
        const int64_t t = (l.half + c) * plane.size + plane.lead;
        const AffineGainGradients gains =
            affine_backward(task.shape.kind, plane,
                            {.s = h3 + s,
                             .t = h3 + t,
                             .x = x.sample(n) + at,
                             .dy = task.dy.sample(n) + at,
                             .log_det_gradient = static_cast<float>(task.log_det_gradient),
                             .gain_s = gain[c],
                             .gain_t = gain[l.half + c],
                             .dx = task.dx.sample(n) + at,
                             .ds = dh3 + s,
                             .dt = dh3 + t});
        d.log_gain[c] += static_cast<float>(3.0 * gains.s);
        d.log_gain[l.half + c] += static_cast<float>(3.0 * gains.t);
      }
      for (int64_t c = 0; c < l.channels; ++c) {
        clear_ends(plane, dh3 + c * plane.size);
      }
      conv_bias_gradient({dh3 + plane.lead, plane.size}, l.channels, plane.run, d.conv3_bias.data);
    }
    coupling_network_backward(stream, l, task.packed.data, maps, d, workspace.data);
    const float* dxa = workspace.data + l.scratch.xa + plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const float* through_network = dxa + c * plane.size;
      const float* direct = task.dy.sample(n) + c * x.pixels();
      float* out = task.dx.sample(n) + c * x.pixels();
      for (int64_t row = 0; row < plane.h; ++row) {
        for (int64_t i = 0; i < plane.w; ++i) {
          out[row * plane.w + i] = direct[row * plane.w + i] + through_network[row * plane.stride + i];
        }
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu
