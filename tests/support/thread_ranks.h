// Ranks that are threads of this process: what several processes do together, without MPI.
#pragma once

#include <functional>

#include "kernels/communicator.h"

namespace evenflow::tests {

/// Calls work on so many threads, each with a communicator of its own rank. Where one throws, the others' next meeting
/// throws too; the exception of the lowest rank that was the first to fail is rethrown at the end.
void run_ranks(int ranks, const std::function<void(kernels::Communicator& own)>& work);

}  // namespace evenflow::tests
