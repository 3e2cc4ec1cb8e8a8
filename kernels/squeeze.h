// Squeeze: 2 x 2 pixels of a map become four channels (Dinh, Sohl-Dickstein & Bengio 2017, Real NVP).
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// x [n, c, h, w] -> y [n, 4 c, h/2, w/2]: channel 4 c + 2 dy + dx holds pixel (2 i + dy, 2 j + dx) of channel c. h and
/// w even; y is other memory than x. Exact. ShapeError.
struct Squeeze {
  ConstMap x;
  Map y;
};
void squeeze(Stream& stream, const Squeeze& task);
Cost cost(const Squeeze& task);

/// The inverse of Squeeze, and its backward.
struct Unsqueeze {
  ConstMap y;
  Map x;
};
void unsqueeze(Stream& stream, const Unsqueeze& task);
Cost cost(const Unsqueeze& task);

}  // namespace evenflow::kernels
