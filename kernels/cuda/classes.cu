#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"

namespace evenflow::kernels::cuda {
namespace {

// A thread a window: classes are few, and a pass has them once.

// log of the sum of the exponentials.
__device__ double log_sum(const float* logits, int64_t classes) {
  double top = logits[0];
  for (int64_t c = 1; c < classes; ++c) top = fmax(top, static_cast<double>(logits[c]));
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += exp(logits[c] - top);
  return top + log(sum);
}

__device__ int64_t own_class(const ClassLoss& task, int64_t window) {
  return task.v.size == 0 ? -1 : class_of(task.grid, task.v.data + window * task.grid.counts.size);
}

__global__ void class_loss_kernel(ClassLoss task, Array<double> loss) {
  const int64_t i = first_item();
  if (i >= loss.size) return;
  const float* logits = task.logits.data + i * task.grid.classes;
  const int64_t own = own_class(task, i);
  loss.data[i] = own < 0 ? 0.0 : task.weight * (log_sum(logits, task.grid.classes) - logits[own]);
}

__global__ void class_backward_kernel(ClassLoss task, double scale, int64_t n, float* __restrict__ dlogits) {
  const int64_t i = first_item();
  if (i >= n) return;
  const int64_t classes = task.grid.classes;
  const float* logits = task.logits.data + i * classes;
  const double normaliser = log_sum(logits, classes);
  const int64_t own = own_class(task, i);
  for (int64_t c = 0; c < classes; ++c) {
    const double off = exp(logits[c] - normaliser) - (c == own ? 1.0 : 0.0);
    dlogits[i * classes + c] = own < 0 ? 0.0F : static_cast<float>(scale * task.weight * off);
  }
}

constexpr int threads = 64;

Launch launch_per_window(const char* name, int64_t windows) {
  return {name, {static_cast<unsigned>(divide_up(windows, threads))}, threads};
}

}  // namespace

void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss) {
  launch(stream, launch_per_window("class_loss", loss.size), class_loss_kernel, task, loss);
}

void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits) {
  const int64_t n = dlogits.size / task.grid.classes;
  launch(stream, launch_per_window("class_backward", n), class_backward_kernel, task, scale, n, dlogits.data);
}

}  // namespace evenflow::kernels::cuda
