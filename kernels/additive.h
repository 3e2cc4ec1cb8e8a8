// The additive coupling's own part (Dinh, Krueger & Bengio 2015, NICE): the second half of the channels is shifted by
// what a network says of the first. Its log-determinant is 0. With the network: coupling.h.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// y_a = x_a, y_b = x_b + shift, rounded once; c even. y may be x's memory. ShapeError.
struct AdditiveForward {
  ConstMap x;      ///< [n, c, h, w]
  ConstMap shift;  ///< [n, c/2, h, w]
  Map y;
};
void additive_forward(Stream& stream, const AdditiveForward& task);
Cost cost(const AdditiveForward& task);

/// x_a = y_a, x_b = y_b - shift, rounded once: of forward's y within 2^-23 (|x_b| + |shift|) of its x. x may be y's
/// memory.
struct AdditiveInverse {
  ConstMap y, shift;
  Map x;
};
void additive_inverse(Stream& stream, const AdditiveInverse& task);
Cost cost(const AdditiveInverse& task);

/// dx = dy, dshift = dy_b, exactly. dx may be dy's memory; the network's share of dx_a is the caller's to add.
struct AdditiveBackward {
  ConstMap dy;
  Map dx;
  Map dshift;  ///< [n, c/2, h, w], overwritten
};
void additive_backward(Stream& stream, const AdditiveBackward& task);
Cost cost(const AdditiveBackward& task);

}  // namespace evenflow::kernels
