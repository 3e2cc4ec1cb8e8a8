#include <algorithm>
#include <cmath>

#include "kernels/cpu/affine.h"
#include "kernels/cpu/coupling_network.h"
#include "kernels/cpu/ops.h"
#include "kernels/trace.h"

namespace evenflow::kernels::cpu {

int64_t coupling_packed_floats(const CouplingShape& shape) {
  return coupling_layout(shape).packed.size;
}
int64_t coupling_saved_floats(const CouplingShape& shape) {
  return coupling_layout(shape).saved.size;
}
// One window is in hand at a time.
int64_t coupling_workspace_floats(const CouplingShape& shape) {
  return coupling_layout(shape).scratch.size;
}

void coupling_pack(const CouplingShape& shape, const CouplingParameters& p, float* packed) {
  const CouplingLayout l = coupling_layout(shape);
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
  for (int64_t c = 0; c < l.channels; ++c) packed[l.packed.gain + c] = std::exp(3.0F * p.log_gain[c]);
}

void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, const float* packed, Map y,
                      double* log_det, Array<float> saved, float* workspace) {
  const CouplingLayout l = coupling_layout(shape);
  const int64_t half_pixels = l.half * x.pixels();
  for (int64_t n = 0; n < x.n; ++n) {
    const CouplingMaps maps =
        saved.size != 0 ? saved_maps(l, saved.data + n * l.saved.size) : scratch_maps(l, workspace);
    coupling_network(stream, l, x.sample(n), packed, maps, workspace);
    if (y.data != x.data) std::copy_n(x.sample(n), half_pixels, y.sample(n));
    const TraceRange range(stream, "affine");
    const float* h3 = maps.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * x.pixels();
      log_det[n] += affine_forward(shape.kind, l.plane, h3 + c * l.plane.size, h3 + (l.half + c) * l.plane.size,
                                   x.sample(n) + at, y.sample(n) + at);
    }
  }
}

void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, const float* packed, Map x,
                      float* workspace) {
  const CouplingLayout l = coupling_layout(shape);
  const int64_t half_pixels = l.half * y.pixels();
  const CouplingMaps maps = scratch_maps(l, workspace);
  for (int64_t n = 0; n < y.n; ++n) {
    coupling_network(stream, l, y.sample(n), packed, maps, workspace);
    if (x.data != y.data) std::copy_n(y.sample(n), half_pixels, x.sample(n));
    const float* h3 = maps.h3 + l.plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const int64_t at = half_pixels + c * y.pixels();
      affine_inverse(shape.kind, l.plane, h3 + c * l.plane.size, h3 + (l.half + c) * l.plane.size, y.sample(n) + at,
                     x.sample(n) + at);
    }
  }
}

void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, const float* packed,
                       const float* saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       float* workspace) {
  const CouplingLayout l = coupling_layout(shape);
  const PaddedPlane& plane = l.plane;
  const int64_t half_pixels = l.half * x.pixels();
  const float* gain = packed + l.packed.gain;
  float* dh3 = workspace + l.scratch.h3;
  for (int64_t n = 0; n < x.n; ++n) {
    const float* maps = saved + n * l.saved.size;
    const float* h3 = maps + l.saved.h3;
    {
      const TraceRange range(stream, "affine");
      for (int64_t c = 0; c < l.half; ++c) {
        const int64_t at = half_pixels + c * x.pixels();
        const int64_t s = c * plane.size + plane.lead;
        const int64_t t = (l.half + c) * plane.size + plane.lead;
        const AffineGainGradients gains = affine_backward(shape.kind, plane,
                                                          {.s = h3 + s,
                                                           .t = h3 + t,
                                                           .x = x.sample(n) + at,
                                                           .dy = dy.sample(n) + at,
                                                           .log_det_gradient = static_cast<float>(log_det_gradient),
                                                           .gain_s = gain[c],
                                                           .gain_t = gain[l.half + c],
                                                           .dx = dx.sample(n) + at,
                                                           .ds = dh3 + s,
                                                           .dt = dh3 + t});
        d.log_gain[c] += static_cast<float>(3.0 * gains.s);
        d.log_gain[l.half + c] += static_cast<float>(3.0 * gains.t);
      }
      for (int64_t c = 0; c < l.channels; ++c) clear_ends(plane, dh3 + c * plane.size);
      conv_bias_gradient({dh3 + plane.lead, plane.size}, l.channels, plane.run, d.conv3_bias.data);
    }
    coupling_network_backward(stream, l, packed, maps, d, workspace);
    const float* dxa = workspace + l.scratch.xa + plane.lead;
    for (int64_t c = 0; c < l.half; ++c) {
      const float* through_network = dxa + c * plane.size;
      const float* direct = dy.sample(n) + c * x.pixels();
      float* out = dx.sample(n) + c * x.pixels();
      for (int64_t row = 0; row < plane.h; ++row) {
        for (int64_t i = 0; i < plane.w; ++i) {
          out[row * plane.w + i] = direct[row * plane.w + i] + through_network[row * plane.stride + i];
        }
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu
