// Register-blocked convolutions of one window, 3x3 and 1x1, on padded planes, strip by strip.
//
// A padded plane stores an h x w map with row stride w + 1: the one zero column between rows serves as the right border
// of a row and the left border of the next, and zeros before and after serve as rows -1 and h. A tap of a 3x3
// convolution is then a constant offset, and a whole map is one run of h (w + 1) positions that vectors of any width
// cross without edge cases, at the cost of 1 / w wasted work (3 % at w = 32). A strip is any part of that run: a chain
// of convolutions can go over a map strip by strip with what lies between them in the first-level cache.
#pragma once

#include <cstdint>
#include <type_traits>

namespace evenflow::kernels::cpu {

struct PaddedPlane {
  int64_t h = 0, w = 0;
  int64_t stride = 0;  ///< floats from row to row
  int64_t halo = 0;    ///< how far a 3x3 tap reaches; of a plane without columns between rows, a row
  int64_t lead = 0;    ///< floats before pixel (0, 0), zero; at least halo
  int64_t run = 0;     ///< h * stride: positions a convolution computes
  int64_t size = 0;    ///< floats in all; behind the run, rounded up, at least halo zeros
};
PaddedPlane padded_plane(int64_t h, int64_t w);
/// Rows one after another, stride w, for convolutions that see to the borders themselves (winograd.h).
PaddedPlane row_plane(int64_t h, int64_t w);

/// Copies a dense plane in, zeroing every padding float.
void to_padded(const PaddedPlane& plane, const float* dense, float* padded);
/// Zeroes what a convolution's output run does not cover: lead and tail.
void clear_ends(const PaddedPlane& plane, float* padded);

/// A strip starts at a multiple of conv_unit positions. A convolution may go on to the next multiple and conv_overrun
/// beyond it: it writes what nobody counts, and reads whatever is there.
inline constexpr int64_t conv_unit = 48;
inline constexpr int64_t conv_overrun = 16;

/// Planes of one kind: channel c's position 0 (of a strip) is data + c * stride.
template <class T>
struct ChannelPlanes {
  T* data = nullptr;
  int64_t stride = 0;
  ChannelPlanes from(int64_t position) const { return {data + position, stride}; }
  T* operator[](int64_t channel) const { return data + channel * stride; }
  operator ChannelPlanes<const T>() const requires(!std::is_const_v<T>) { return {data, stride}; }
};

/// What is done with an output a = bias + sum before it is stored.
enum class ConvEpilogue {
  scale,  ///< a * scale[channel]
  relu,   ///< max(a, 0); NaN stays NaN
  gate,   ///< a where gate > 0, else 0 (the forward's rectified plane of the same channel)
};

struct Conv {
  int64_t inputs = 0, outputs = 0;
  int taps = 9;             ///< 9 or 1
  bool transposed = false;  ///< taps mirrored: the data gradient of a forward convolution
  ConvEpilogue epilogue = ConvEpilogue::scale;
  int64_t row_stride = 0;  ///< of the plane
  int64_t positions = 0;
  ChannelPlanes<const float> in{};
  const float* weights = nullptr;  ///< packed by pack_weights
  const float* bias = nullptr;     ///< [outputs]; null: 0
  const float* scale = nullptr;    ///< [outputs]; null: 1
  ChannelPlanes<const float> gate{};
  ChannelPlanes<float> out{};
};

/// Floats of the packed weights.
int64_t packed_weights_floats(int64_t inputs, int64_t outputs, int taps);
/// weight [o, i, taps] -> groups of 4 outputs (then 2, then 1): [i][tap][output of the group].
/// `transposed`: packs for the data gradient, whose outputs are the forward's inputs.
void pack_weights(const float* weight, int64_t inputs, int64_t outputs, int taps, bool transposed, float* packed);

void conv(const Conv& task);

/// dweight [o, i, taps] += sum over a strip's positions p of dout[o][p] in[i][p + tap]. dout must be zero outside the
/// map and up to the next multiple of 16 positions, in valid (any finite value) a halo beyond.
struct ConvWeightGradient {
  int64_t inputs = 0, outputs = 0;
  int taps = 9;
  int64_t row_stride = 0;
  int64_t positions = 0;
  ChannelPlanes<const float> in, dout;
  float* dweight = nullptr;
};
void conv_weight_gradient(const ConvWeightGradient& task);

/// dbias [outputs] += sum over positions of dout, which is zero up to the next multiple of 16.
void conv_bias_gradient(ChannelPlanes<const float> dout, int64_t outputs, int64_t positions, float* dbias);

/// The 1x1 convolution on dense planes: out[o] = sum_i w[o, i] in[i], with w's strides given so that a transpose costs
/// nothing.
void mix_channels(int64_t channels, int64_t pixels, const float* in, const float* weight, int64_t output_stride,
                  int64_t input_stride, float* out);
/// dweight [o, i] += sum over pixels of dout[o] * in[i], dense planes.
void mix_weight_gradient(int64_t channels, int64_t pixels, const float* in, const float* dout, float* dweight);

}  // namespace evenflow::kernels::cpu
