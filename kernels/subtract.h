// The difference of two arrays.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// out = a - b, element by element, rounded once; out may be a's or b's memory. ShapeError.
struct Subtract {
  Array<const float> a, b;
  Array<float> out;
};
void subtract(Stream& stream, const Subtract& task);
Cost cost(const Subtract& task);

}  // namespace evenflow::kernels
