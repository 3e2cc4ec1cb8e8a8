// 3 x 3 convolutions of float32 maps through cuDNN (dnn.cu; tests/emulation has plain loops).
#pragma once

#include <cstdint>

#include "kernels/precision.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// y [n, out, h, w] = weight [out, in, 3, 3] * x [n, in, h, w], zeros around the maps. Samples lie x_stride and
/// y_stride floats apart. bf16 computes as tf32 does: cuDNN's float32 tensors know nothing narrower.
struct Convolution {
  int64_t n = 0, in = 0, out = 0, height = 0, width = 0;
  int64_t x_stride = 0, y_stride = 0;
  Precision precision = Precision::float32;
  bool operator==(const Convolution&) const = default;
};

/// Algorithms are chosen when a shape is first seen, by cuDNN's heuristics, not by timing, and from those that give the
/// same bits every time; one that refuses to run gives way to the next. Their workspace is the stream's scratch memory,
/// at most 64 MiB beyond twice both maps. In float32 an element's error is that of a float32 sum of its own products.
/// DeviceError with cuDNN's own words.
void convolve(Stream& stream, const Convolution& shape, const float* x, const float* weight, float* y);
/// dx from dy.
void convolve_backward_data(Stream& stream, const Convolution& shape, const float* weight, const float* dy, float* dx);
/// dweight += the gradient.
void convolve_backward_weight(Stream& stream, const Convolution& shape, const float* x, const float* dy,
                              float* dweight);

}  // namespace evenflow::kernels::cuda
