// The coupling's network of three convolutions on one window, forward and back, strip by strip.
//
// A hidden map is used while a strip of it is in cache; scoring never has a whole one. Names: xa is the input (the
// first half of the channels), h1 and h2 the hidden maps after their ReLU, h3 the output (s, then t, or t alone), all
// on padded planes.
#pragma once

#include "kernels/coupling.h"
#include "kernels/cpu/conv.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cpu {

/// Where things lie in a packed coupling.
struct CouplingPacked {
  int64_t conv1, conv2, conv3, conv1_back, conv2_back, conv3_back, bias1, bias2, bias3, gain, size;
};

/// Where a window's maps lie in what forward keeps.
struct CouplingSaved {
  int64_t xa, h1, h2, h3, size;
};

/// Where things lie in the workspace. Hidden maps are there a strip at a time; a strip that a 3x3 convolution reads has
/// `history` positions of the strip before it in front: that convolution lags, and reaches a halo further back.
struct CouplingScratch {
  int64_t xa, strip, lagged_strip, h3, winograd, size;
};

struct CouplingLayout {
  PaddedPlane plane;
  bool winograd;  ///< how 3x3 convolutions are computed (winograd.h); strips are whole tiles then
  int64_t half, hidden;
  int64_t outputs;                        ///< of the network
  int64_t strip;                          ///< positions of a strip in forward
  int64_t back;                           ///< and in backward
  int64_t lag;                            ///< how far behind a strip's end its 3x3 convolution stays
  int64_t history;                        ///< lag + halo
  int64_t scratch_strip, scratch_lagged;  ///< floats from channel to channel of a scratch strip
  CouplingPacked packed;
  CouplingSaved saved;
  CouplingScratch scratch;
};

CouplingLayout coupling_layout(const CouplingShape& shape);

/// The maps of one window on their way through the coupling network: whole and kept (training), or hidden ones a strip
/// at a time.
struct CouplingMaps {
  float* xa;
  float* h1;  ///< null: not kept
  float* h2;
  float* h3;
};

CouplingMaps saved_maps(const CouplingLayout& l, float* saved);
CouplingMaps scratch_maps(const CouplingLayout& l, float* workspace);

/// Fills maps from x's first half, dense.
void coupling_network(Stream& stream, const CouplingLayout& l, const float* x, const float* packed,
                      const CouplingMaps& maps, float* workspace);
/// Adds the convolutions' weight gradients, and bias gradients of the first two, and leaves dxa, from dh3: whole padded
/// planes in the workspace.
void coupling_network_backward(Stream& stream, const CouplingLayout& l, const float* packed, const float* saved,
                               const CouplingGradients& d, float* workspace);

}  // namespace evenflow::kernels::cpu
