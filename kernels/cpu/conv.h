// Register-blocked convolutions of one window, 3x3 and 1x1, on padded planes.
//
// A padded plane stores an h x w map with row stride w + 1: the one zero column between rows serves as the right border
// of a row and the left border of the next, and zeros before and after serve as rows -1 and h. A tap of a 3x3
// convolution is then a constant offset, and a whole map is one run of h (w + 1) positions that vectors of any width
// cross without edge cases, at the cost of 1 / w wasted work (3 % at w = 32).
#pragma once

#include <cstdint>

namespace evenflow::kernels::cpu {

struct PaddedPlane {
  int64_t h = 0, w = 0;
  int64_t stride = 0;      ///< floats from row to row
  int64_t lead = 0;        ///< floats before pixel (0, 0), zero
  int64_t run = 0;         ///< h * stride: positions a convolution computes
  int64_t padded_run = 0;  ///< run, rounded up so that tiles of any vector width end inside
  int64_t size = 0;        ///< floats in all
};
PaddedPlane padded_plane(int64_t h, int64_t w);

/// Copies a dense plane in, zeroing every padding float; copies one out.
void to_padded(const PaddedPlane& plane, const float* dense, float* padded);
/// Zeroes what a convolution's output run does not cover: lead and tail.
void clear_ends(const PaddedPlane& plane, float* padded);

/// Outputs a register block computes at once; packed weights are grouped by it.
inline constexpr int64_t conv_group = 4;

/// What is done with an output a = bias + sum before it is stored.
enum class ConvEpilogue {
  scale,  ///< a * scale[channel]
  relu,   ///< max(a, 0), and zero outside the map (factor = 1 inside, 0 outside, one plane's run for all channels)
  gate,   ///< a where factor > 0, else 0 (factor = the forward's rectified plane of the same channel)
};

struct Conv {
  int64_t inputs = 0, outputs = 0;
  int taps = 9;             ///< 9 or 1
  bool transposed = false;  ///< taps mirrored: the data gradient of a forward convolution
  ConvEpilogue epilogue = ConvEpilogue::scale;
  const float* in = nullptr;       ///< padded planes
  const float* weights = nullptr;  ///< packed by pack_weights
  const float* bias = nullptr;     ///< [outputs]; null: 0
  const float* scale = nullptr;    ///< [outputs]; null: 1
  const float* factor = nullptr;   ///< padded plane (relu) or planes (gate), from their first float
  float* out = nullptr;            ///< padded planes; only the padded run is written
};

/// Floats of the packed weights.
int64_t packed_weights_floats(int64_t inputs, int64_t outputs, int taps);
/// weight [o, i, taps] -> groups of conv_group outputs (then 2, then 1): [i][tap][output of the group].
/// `transposed`: packs for the data gradient, whose outputs are the forward's inputs.
void pack_weights(const float* weight, int64_t inputs, int64_t outputs, int taps, bool transposed, float* packed);

void conv(const PaddedPlane& plane, const Conv& task);

/// dweight [o, i, taps] += sum over pixels of dout[o] * in[i, shifted by tap]. dout must be zero outside the map.
struct ConvWeightGradient {
  int64_t inputs = 0, outputs = 0;
  int taps = 9;
  const float* in = nullptr;
  const float* dout = nullptr;
  float* dweight = nullptr;
};
void conv_weight_gradient(const PaddedPlane& plane, const ConvWeightGradient& task);

/// dbias [outputs] += sum over pixels of dout.
void conv_bias_gradient(const PaddedPlane& plane, const float* dout, int64_t outputs, float* dbias);

/// The 1x1 convolution on dense planes: out[o] = sum_i w[o, i] in[i], with w's strides given so that a transpose costs
/// nothing.
void mix_channels(int64_t channels, int64_t pixels, const float* in, const float* weight, int64_t output_stride,
                  int64_t input_stride, float* out);
/// dweight [o, i] += sum over pixels of dout[o] * in[i], dense planes.
void mix_weight_gradient(int64_t channels, int64_t pixels, const float* in, const float* dout, float* dweight);

}  // namespace evenflow::kernels::cpu
