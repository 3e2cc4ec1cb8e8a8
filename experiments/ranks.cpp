#include "experiments/ranks.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <thread>

namespace evenflow::experiments {
namespace {

std::unique_ptr<kernels::Communicator> joined;
volatile std::sig_atomic_t code_if_ended = 0;

}  // namespace

kernels::Communicator& join_ranks() {
  if (!joined) {
    joined = kernels::join_ranks();
  }
  return *joined;
}

void leave_ranks() {
  joined.reset();
}

void let_first_rank_speak(int code) {
  const kernels::Started job = kernels::started();
  if (job.together <= 1 || job.number == 0) {
    return;
  }
  // How mpirun and srun end a process; a training may have caught it to save.
  code_if_ended = code;
  std::signal(SIGTERM, [](int) { std::_Exit(code_if_ended); });
  constexpr std::chrono::seconds longest_start{3};  // by which one process may lag behind another
  std::this_thread::sleep_for(longest_start);
}

void end_ranks(int code) {
  if (joined) {
    joined->abort(code);
  }
}

}  // namespace evenflow::experiments
