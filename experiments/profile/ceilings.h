// What a device can do at most, measured on the stream that the operations run on.
#pragma once

#include "experiments/profile/profile.h"
#include "kernels/stream.h"

namespace evenflow::experiments {

/// Bytes of other memory after which no cache of the device holds what it held before.
int64_t flush_bytes(kernels::Device device);

/// A copy of flush_bytes() and matrix products, the best of several each.
Ceilings measure_ceilings(kernels::Stream& stream);

}  // namespace evenflow::experiments
