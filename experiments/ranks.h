// The processes of one training, started together by mpirun or srun: how they join, and how they end.
#pragma once

#include "kernels/communicator.h"

namespace evenflow::experiments {

/// kernels::join_ranks, at the first call.
kernels::Communicator& join_ranks();
/// Before a process ends well. Waits for the others.
void leave_ranks();

/// Of processes started together that fail alike, only the first is to be heard: the others wait here for a moment, in
/// which its end ends them, with this exit code.
void let_first_rank_speak(int code);
/// After an error: ends the other processes too, with this exit code.
void end_ranks(int code);

}  // namespace evenflow::experiments
