// Grid: a thread a window: classes are few, and a pass has them once.
// Traffic: 4 bytes per logit three times over (the second and third from the first-level cache), 4 more out in
// backward.
// Sums: over a window's classes in order, in float64.
#include "kernels/cross_entropy.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void cross_entropy_kernel(CrossEntropy task) {
  after_predecessor();
  const int64_t i = first_item();
  if (i < task.loss.size) {
    task.loss.data[i] = cross_entropy_of(task.windows, i);
  }
}

__global__ void cross_entropy_backward_kernel(CrossEntropyBackward task, int64_t n) {
  after_predecessor();
  const int64_t i = first_item();
  if (i < n) {
    cross_entropy_backward_of(task.windows, i, task.scale, task.dlogits.data);
  }
}

constexpr int threads = 64;

Launch launch_per_window(const char* name, int64_t windows) {
  return {name, {static_cast<unsigned>(divide_up(windows, threads))}, threads};
}

}  // namespace

void run(Stream& stream, const CrossEntropy& task) {
  launch(stream, launch_per_window("cross_entropy", task.loss.size), cross_entropy_kernel, task);
}

void run(Stream& stream, const CrossEntropyBackward& task) {
  const int64_t n = task.dlogits.size / task.windows.grid.classes;
  launch(stream, launch_per_window("cross_entropy_backward", n), cross_entropy_backward_kernel, task, n);
}

}  // namespace evenflow::kernels::cuda
