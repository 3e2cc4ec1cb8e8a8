#include "kernels/cpu/coupling_network.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/choices.h"
#include "kernels/cpu/winograd.h"
#include "kernels/trace.h"

namespace evenflow::kernels::cpu {
namespace {

// Forward's strips of h1 and h2 share the first-level cache with weights; backward's, which end in reductions of their
// whole length, the second. Measured: docs/performance.md.
constexpr int64_t forward_strip = 192;
constexpr int64_t backward_strip = 720;

int64_t round_up(int64_t value, int64_t to) {
  return (value + to - 1) / to * to;
}

// About the size wished for, in strips of nearly one size, of whole units.
int64_t strip_size(int64_t run, int64_t wish, int64_t unit) {
  const int64_t strips = (run + wish - 1) / wish;
  return round_up((run + strips - 1) / strips, unit);
}

// Takes pieces of one buffer, each from a cache line on.
class Pieces {
 public:
  int64_t take(int64_t floats) {
    const int64_t here = size_;
    size_ += round_up(floats, 16);
    return here;
  }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

// Of the product over so many pixels of the map; padding does not count.
template <class Task>
Cost product_cost(const Task& task, int64_t pixels) {
  return {0, 2 * static_cast<double>(task.inputs * task.outputs * task.taps * pixels)};
}

// The convolutions of one window, traced, each in its layout's way.
class Convolutions {
 public:
  Convolutions(Stream& stream, const CouplingLayout& layout, float* workspace)
      : stream_(stream), winograd_(layout.winograd), scratch_(workspace + layout.scratch.winograd) {}
  void conv(const char* name, int64_t pixels, const Conv& task) const {
    const TraceRange range(stream_, name, product_cost(task, pixels));
    if (winograd_ && task.taps == 9) {
      winograd_conv(task, scratch_);
    } else {
      cpu::conv(task);
    }
  }
  /// Of a convolution's weights and bias.
  void gradients(const char* name, int64_t pixels, const ConvWeightGradient& task, float* dbias) const {
    const TraceRange range(stream_, name, product_cost(task, pixels));
    if (winograd_ && task.taps == 9) {
      winograd_weight_gradient(task, scratch_);
    } else {
      conv_weight_gradient(task);
    }
    if (dbias != nullptr) {
      conv_bias_gradient(task.dout, task.outputs, task.positions, dbias);
    }
  }

 private:
  Stream& stream_;
  bool winograd_;
  float* scratch_;
};

// A part of a map's run, [first, end), and the part of it, or of what came before, that a lagging convolution can do.
struct Strip {
  int64_t first, end, lagged_first, lagged_end;
  int64_t pixels, lagged_pixels;  // positions of the map among them
  int64_t size() const { return end - first; }
  int64_t lagged_size() const { return lagged_end - lagged_first; }
};

// Pixels among a map's positions [0, position).
int64_t pixels_before(const PaddedPlane& plane, int64_t position) {
  return position / plane.stride * plane.w + std::min(position % plane.stride, plane.w);
}

template <class Work>
void for_each_strip(const CouplingLayout& l, int64_t size, Work work) {
  Strip strip{};
  for (; strip.first < l.plane.run; strip.first = strip.end) {
    strip.end = std::min(strip.first + size, l.plane.run);
    strip.lagged_first = strip.lagged_end;
    strip.lagged_end = strip.end == l.plane.run ? l.plane.run : std::max<int64_t>(0, strip.end - l.lag);
    strip.pixels = pixels_before(l.plane, strip.end) - pixels_before(l.plane, strip.first);
    strip.lagged_pixels = pixels_before(l.plane, strip.lagged_end) - pixels_before(l.plane, strip.lagged_first);
    work(strip);
  }
}

// Keeps the last `history` of a lagged strip's `count` positions in front of the next one.
void keep_history(const CouplingLayout& l, ChannelPlanes<float> strip, int64_t count) {
  for (int64_t c = 0; c < l.hidden; ++c) {
    std::memmove(strip[c] - l.history, strip[c] - l.history + count, static_cast<size_t>(l.history) * sizeof(float));
  }
}

void clear_history(const CouplingLayout& l, ChannelPlanes<float> strip) {
  for (int64_t c = 0; c < l.hidden; ++c) {
    std::fill_n(strip[c] - l.history, l.history, 0.0F);
  }
}

// Zeroes what does not belong to the map: the column between rows, and, at the end of the run, a halo and what rounding
// up wrote. `planes` point to the strip's first position.
void clear_outside(const CouplingLayout& l, ChannelPlanes<float> planes, const Strip& strip) {
  const int64_t stride = l.plane.stride;
  const int64_t first_gap = l.winograd ? strip.end : strip.first + (stride - 1 - strip.first % stride);
  const int64_t behind = round_up(strip.size(), conv_unit) - strip.size() + l.plane.halo;
  for (int64_t c = 0; c < l.hidden; ++c) {
    float* p = planes[c];
    for (int64_t gap = first_gap; gap < strip.end; gap += stride) {
      p[gap - strip.first] = 0.0F;
    }
    if (strip.end == l.plane.run) {
      std::fill_n(p + strip.size(), behind, 0.0F);
    }
  }
}

// Zeroes what a product over a strip reads behind it, and a convolution that writes pixels alone has not written.
void clear_behind(const CouplingLayout& l, ChannelPlanes<float> planes, const Strip& strip) {
  if (!l.winograd) {
    return;
  }
  for (int64_t c = 0; c < l.hidden; ++c) {
    std::fill_n(planes[c] + strip.size(), conv_overrun, 0.0F);
  }
}

// Of the call that takes most.
int64_t winograd_floats(const CouplingLayout& l) {
  const int64_t w = l.plane.w, rows = l.back / l.plane.stride;
  return std::max({winograd_conv_scratch_floats(w, l.half, l.hidden), winograd_conv_scratch_floats(w, l.hidden, l.half),
                   winograd_conv_scratch_floats(w, l.outputs, l.hidden),
                   winograd_conv_scratch_floats(w, l.hidden, l.outputs),
                   winograd_weight_gradient_scratch_floats(w, rows, l.half, l.hidden),
                   winograd_weight_gradient_scratch_floats(w, rows, l.hidden, l.outputs)});
}

}  // namespace

CouplingLayout coupling_layout(const CouplingShape& s) {
  CouplingLayout l{};
  l.winograd = use_winograd() && winograd_serves(s.height, s.width);
  l.plane = l.winograd ? row_plane(s.height, s.width) : padded_plane(s.height, s.width);
  l.half = s.channels / 2;
  l.hidden = s.hidden;
  l.outputs = s.outputs();
  const int64_t unit = l.winograd ? winograd_rows * l.plane.stride : conv_unit;
  l.lag = round_up(l.plane.halo, unit);
  l.history = l.lag + l.plane.halo;
  l.strip = strip_size(l.plane.run, forward_strip, unit);
  l.back = strip_size(l.plane.run, backward_strip, unit);
  const int64_t longest = round_up(std::max(l.strip, l.back), conv_unit);
  l.scratch_strip = longest + conv_overrun;
  l.scratch_lagged = round_up(l.history + longest + conv_overrun + l.plane.halo, 16);

  const auto packed_floats = [&](int64_t inputs, int64_t outputs) {
    return l.winograd ? winograd_weights_floats(inputs, outputs) : packed_weights_floats(inputs, outputs, 9);
  };
  const int64_t conv1 = packed_floats(l.half, l.hidden);
  const int64_t conv2 = packed_weights_floats(l.hidden, l.hidden, 1);
  const int64_t conv3 = packed_floats(l.hidden, l.outputs);
  Pieces packed;
  l.packed.conv1 = packed.take(conv1);
  l.packed.conv2 = packed.take(conv2);
  l.packed.conv3 = packed.take(conv3);
  l.packed.conv1_back = packed.take(conv1);
  l.packed.conv2_back = packed.take(conv2);
  l.packed.conv3_back = packed.take(conv3);
  l.packed.bias1 = packed.take(l.hidden);
  l.packed.bias2 = packed.take(l.hidden);
  l.packed.bias3 = packed.take(l.outputs);
  l.packed.gain = packed.take(l.outputs);
  l.packed.size = packed.size();
  Pieces saved;
  l.saved.xa = saved.take(l.half * l.plane.size);
  l.saved.h1 = saved.take(l.hidden * l.plane.size);
  l.saved.h2 = saved.take(l.hidden * l.plane.size);
  l.saved.h3 = saved.take(l.outputs * l.plane.size);
  l.saved.size = saved.size();
  Pieces scratch;
  l.scratch.xa = scratch.take(l.half * l.plane.size);
  l.scratch.strip = scratch.take(l.hidden * l.scratch_strip);
  l.scratch.lagged_strip = scratch.take(l.hidden * l.scratch_lagged);
  l.scratch.h3 = scratch.take(l.outputs * l.plane.size);
  l.scratch.winograd = l.winograd ? scratch.take(winograd_floats(l)) : 0;
  l.scratch.size = scratch.size();
  return l;
}

CouplingMaps saved_maps(const CouplingLayout& l, float* saved) {
  return {saved + l.saved.xa, saved + l.saved.h1, saved + l.saved.h2, saved + l.saved.h3};
}

CouplingMaps scratch_maps(const CouplingLayout& l, float* workspace) {
  return {workspace + l.scratch.xa, nullptr, nullptr, workspace + l.scratch.h3};
}

// The coupling network on x's first half. A strip of h1 is consumed while it is in the first-level cache, and one of h2
// by the 3x3 convolution that follows a little behind.
void coupling_network(Stream& stream, const CouplingLayout& l, const float* x, const float* packed,
                      const CouplingMaps& maps, float* workspace) {
  const PaddedPlane& plane = l.plane;
  const Convolutions run(stream, l, workspace);
  for (int64_t c = 0; c < l.half; ++c) {
    to_padded(plane, x + c * plane.h * plane.w, maps.xa + c * plane.size);
  }
  const bool keep = maps.h1 != nullptr;
  const ChannelPlanes<float> strip_h1{workspace + l.scratch.strip, l.scratch_strip};
  const ChannelPlanes<float> strip_h2{workspace + l.scratch.lagged_strip + l.history, l.scratch_lagged};
  const ChannelPlanes<float> whole_h1{keep ? maps.h1 + plane.lead : nullptr, plane.size};
  const ChannelPlanes<float> whole_h2{keep ? maps.h2 + plane.lead : nullptr, plane.size};
  const ChannelPlanes<const float> xa{maps.xa + plane.lead, plane.size};
  const ChannelPlanes<float> h3{maps.h3 + plane.lead, plane.size};
  if (keep) {
    for (int64_t c = 0; c < l.hidden; ++c) {
      std::fill_n(maps.h2 + c * plane.size, plane.lead, 0.0F);
    }
  } else {
    clear_history(l, strip_h2);
  }
  for_each_strip(l, l.strip, [&](const Strip& strip) {
    const ChannelPlanes<float> h1 = keep ? whole_h1.from(strip.first) : strip_h1;
    const ChannelPlanes<float> h2 = keep ? whole_h2.from(strip.first) : strip_h2;
    run.conv("conv1", strip.pixels,
             {.inputs = l.half,
              .outputs = l.hidden,
              .taps = 9,
              .epilogue = ConvEpilogue::relu,
              .row_stride = plane.stride,
              .positions = strip.size(),
              .in = xa.from(strip.first),
              .weights = packed + l.packed.conv1,
              .bias = packed + l.packed.bias1,
              .out = h1});
    clear_behind(l, h1, strip);
    run.conv("conv2", strip.pixels,
             {.inputs = l.hidden,
              .outputs = l.hidden,
              .taps = 1,
              .epilogue = ConvEpilogue::relu,
              .positions = strip.size(),
              .in = h1,
              .weights = packed + l.packed.conv2,
              .bias = packed + l.packed.bias2,
              .out = h2});
    clear_outside(l, h2, strip);
    run.conv("conv3", strip.lagged_pixels,
             {.inputs = l.hidden,
              .outputs = l.outputs,
              .taps = 9,
              .epilogue = ConvEpilogue::scale,
              .row_stride = plane.stride,
              .positions = strip.lagged_size(),
              .in = h2.from(strip.lagged_first - strip.first),
              .weights = packed + l.packed.conv3,
              .bias = packed + l.packed.bias3,
              .scale = packed + l.packed.gain,
              .out = h3.from(strip.lagged_first)});
    if (!keep) {
      keep_history(l, strip_h2, strip.size());
    }
  });
}

// Gradients of the coupling network from dh3 (whole, padded): each strip of h1 and h2 is read once, and the gradients
// of a strip's hidden maps feed all that needs them while they are in cache.
void coupling_network_backward(Stream& stream, const CouplingLayout& l, const float* packed, const float* saved,
                               const CouplingGradients& d, float* workspace) {
  const PaddedPlane& plane = l.plane;
  const Convolutions run(stream, l, workspace);
  const ChannelPlanes<const float> xa{saved + l.saved.xa + plane.lead, plane.size};
  const ChannelPlanes<const float> saved_h1{saved + l.saved.h1 + plane.lead, plane.size};
  const ChannelPlanes<const float> saved_h2{saved + l.saved.h2 + plane.lead, plane.size};
  const ChannelPlanes<const float> dh3{workspace + l.scratch.h3 + plane.lead, plane.size};
  const ChannelPlanes<float> dh2{workspace + l.scratch.strip, l.scratch_strip};
  const ChannelPlanes<float> dh1{workspace + l.scratch.lagged_strip + l.history, l.scratch_lagged};
  const ChannelPlanes<float> dxa{workspace + l.scratch.xa + plane.lead, plane.size};
  clear_history(l, dh1);
  for_each_strip(l, l.back, [&](const Strip& strip) {
    const ChannelPlanes<const float> h1 = saved_h1.from(strip.first);
    const ChannelPlanes<const float> h2 = saved_h2.from(strip.first);
    run.gradients("conv3_weight_gradient", strip.pixels,
                  {.inputs = l.hidden,
                   .outputs = l.outputs,
                   .taps = 9,
                   .row_stride = plane.stride,
                   .positions = strip.size(),
                   .in = h2,
                   .dout = dh3.from(strip.first),
                   .dweight = d.conv3_weight.data},
                  nullptr);
    // The gates are zero on every padding position that counts, so the hidden gradients are too.
    run.conv("conv3_data_gradient", strip.pixels,
             {.inputs = l.outputs,
              .outputs = l.hidden,
              .taps = 9,
              .transposed = true,
              .epilogue = ConvEpilogue::gate,
              .row_stride = plane.stride,
              .positions = strip.size(),
              .in = dh3.from(strip.first),
              .weights = packed + l.packed.conv3_back,
              .gate = h2,
              .out = dh2});
    clear_behind(l, dh2, strip);
    run.gradients("conv2_weight_gradient", strip.pixels,
                  {.inputs = l.hidden,
                   .outputs = l.hidden,
                   .taps = 1,
                   .positions = strip.size(),
                   .in = h1,
                   .dout = dh2,
                   .dweight = d.conv2_weight.data},
                  d.conv2_bias.data);
    run.conv("conv2_data_gradient", strip.pixels,
             {.inputs = l.hidden,
              .outputs = l.hidden,
              .taps = 1,
              .transposed = true,
              .epilogue = ConvEpilogue::gate,
              .positions = strip.size(),
              .in = dh2,
              .weights = packed + l.packed.conv2_back,
              .gate = h1,
              .out = dh1});
    if (strip.end == plane.run) {
      clear_outside(l, dh1, strip);
    }
    run.gradients("conv1_weight_gradient", strip.pixels,
                  {.inputs = l.half,
                   .outputs = l.hidden,
                   .taps = 9,
                   .row_stride = plane.stride,
                   .positions = strip.size(),
                   .in = xa.from(strip.first),
                   .dout = dh1,
                   .dweight = d.conv1_weight.data},
                  d.conv1_bias.data);
    run.conv("conv1_data_gradient", strip.lagged_pixels,
             {.inputs = l.hidden,
              .outputs = l.half,
              .taps = 9,
              .transposed = true,
              .epilogue = ConvEpilogue::scale,
              .row_stride = plane.stride,
              .positions = strip.lagged_size(),
              .in = dh1.from(strip.lagged_first - strip.first),
              .weights = packed + l.packed.conv1_back,
              .out = dxa.from(strip.lagged_first)});
    keep_history(l, dh1, strip.size());
  });
}

}  // namespace evenflow::kernels::cpu
