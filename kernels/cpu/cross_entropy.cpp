#include "kernels/cross_entropy.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const CrossEntropy& task) {
  for (int64_t i = 0; i < task.loss.size; ++i) {
    task.loss[i] = cross_entropy_of(task.windows, i);
  }
}

void run(Stream&, const CrossEntropyBackward& task) {
  const int64_t n = task.dlogits.size / task.windows.grid.classes;
  for (int64_t i = 0; i < n; ++i) {
    cross_entropy_backward_of(task.windows, i, task.scale, task.dlogits.data);
  }
}

}  // namespace evenflow::kernels::cpu
