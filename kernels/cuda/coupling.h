// The two ways to compute a coupling (CouplingPath): layered.cu, and fused.cu, fused_forward.cu, fused_backward.cu.
#pragma once

#include <string>

#include "kernels/coupling.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {

namespace layered {
BufferSizes sizes(const CouplingBuffers& buffers);
void run(Stream& stream, const CouplingPack& task);
void run(Stream& stream, const CouplingForward& task);
void run(Stream& stream, const CouplingInverse& task);
void run(Stream& stream, const CouplingBackward& task);
}  // namespace layered

namespace fused {
BufferSizes sizes(const CouplingBuffers& buffers);
void run(Stream& stream, const CouplingPack& task);
void run(Stream& stream, const CouplingForward& task);
void run(Stream& stream, const CouplingInverse& task);
void run(Stream& stream, const CouplingBackward& task);
void run(Stream& stream, const CouplingAddShares& task);
}  // namespace fused

/// Empty if the fused kernels can do the shape on the device, else why not.
std::string why_not_fused(const CouplingShape& shape, Device device);

}  // namespace evenflow::kernels::cuda
