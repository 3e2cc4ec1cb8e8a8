// NCCL: what GPUs of several processes gather from each other (kernels/device_ranks.h).
#pragma once

#include <span>

#include "kernels/communicator.h"
#include "kernels/runtime.h"
#include "kernels/stream.h"

namespace evenflow::kernels::cuda {

/// NCCL's communicator of all ranks, on the current device. DeviceError with NCCL's own words.
void* join_nccl(Communicator& ranks);
void leave_nccl(void* joined) noexcept;
void gather_by_nccl(Stream& stream, void* joined, std::span<const RankRows> rows);

}  // namespace evenflow::kernels::cuda
