#include "kernels/variational_code.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const CodeSample& task) {
  for (int64_t i = 0; i < task.z.size; ++i) {
    task.z[i] = code_sample_at(task, i);
  }
}

void run(Stream&, const CodeLoss& task) {
  for (int64_t i = 0; i < task.loss.size; ++i) {
    code_loss_of(task, i);
  }
}

void run(Stream&, const CodeBackward& task) {
  for (int64_t i = 0; i < task.dz.size; ++i) {
    code_backward_at(task, i);
  }
}

}  // namespace evenflow::kernels::cpu
