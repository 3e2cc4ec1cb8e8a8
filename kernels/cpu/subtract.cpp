#include "kernels/subtract.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const Subtract& task) {
  for (int64_t i = 0; i < task.out.size; ++i) {
    task.out[i] = task.a[i] - task.b[i];
  }
}

}  // namespace evenflow::kernels::cpu
