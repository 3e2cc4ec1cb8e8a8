// 3x3 convolutions of one window with half of the multiplications: Winograd's F(4, 3) down the columns.
//
// Four rows of an output need six of the input. Those six, seen as the coefficients of a polynomial and evaluated at
// six points (0, +-5/8, +-3/2 and infinity), turn the three taps of a column into one product a point: 18 multiply-adds
// for four outputs of a 3x3 convolution instead of 36, and all of them along rows, so that vectors hold neighbours of a
// row as the direct convolution's do (conv.h). A tile is four rows. The weight gradient is the same sum with the roles
// exchanged, F(3, 4): four rows of dout over six of the input.
//
// Winograd (1980), Arithmetic Complexity of Computations; Lavin & Gray (2016), arXiv 1509.09308. Of the points of the
// form (0, +-a, +-b, infinity), in eighths, none tried has noticeably less error in float32. In the paper's layers the
// root mean square of the error is 1.2 to 2.3 times the direct sum's (docs/performance.md).
#pragma once

#include <cstdint>

#include "kernels/cpu/conv.h"

namespace evenflow::kernels::cpu {

/// Rows of a tile.
inline constexpr int64_t winograd_rows = 4;

/// Whether maps of h x w can be convolved so: whole tiles, and vectors that a row fills at least to three quarters.
bool winograd_serves(int64_t h, int64_t w);

/// Floats of the packed weights, for either direction.
int64_t winograd_weights_floats(int64_t inputs, int64_t outputs);
/// weight [o, i, 9] of the forward convolution; `transposed`: for the data gradient, whose outputs are the forward's
/// inputs. The layout is the instruction set's.
void winograd_pack_weights(const float* weight, int64_t inputs, int64_t outputs, bool transposed, float* packed);

/// Scratch floats, from a cache line on, of a convolution, and of a weight gradient over so many rows.
int64_t winograd_conv_scratch_floats(int64_t w, int64_t inputs, int64_t outputs);
int64_t winograd_weight_gradient_scratch_floats(int64_t w, int64_t rows, int64_t inputs, int64_t outputs);

/// As conv() with nine taps, on row_plane()s, over whole tiles: `positions` is a multiple of winograd_rows rows. Writes
/// no position beyond. Of `in` it reads a row more before and behind, zero where the map ends.
void winograd_conv(const Conv& task, float* scratch);

/// As conv_weight_gradient() with nine taps, on row_plane()s, over whole tiles. Of `in` it reads a row more before and
/// behind.
void winograd_weight_gradient(const ConvWeightGradient& task, float* scratch);

}  // namespace evenflow::kernels::cpu
