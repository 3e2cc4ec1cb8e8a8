// Grid: a thread per element (sample, backward) or window (loss): codes are a few numbers a window, in float64.
// Traffic: 4 bytes per element of code, z and gradients, 8 per number of a window.
// Sums: over a window's latents in order, in float64.
#include "kernels/variational_code.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void code_sample_kernel(CodeSample task) {
  after_predecessor();
  const int64_t i = first_item();
  if (i < task.z.size) {
    task.z.data[i] = code_sample_at(task, i);
  }
}

__global__ void code_loss_kernel(CodeLoss task) {
  after_predecessor();
  const int64_t i = first_item();
  if (i < task.loss.size) {
    code_loss_of(task, i);
  }
}

__global__ void code_backward_kernel(CodeBackward task) {
  after_predecessor();
  const int64_t i = first_item();
  if (i < task.dz.size) {
    code_backward_at(task, i);
  }
}

constexpr int threads = 64;

Launch launch_over(const char* name, int64_t items) {
  return {name, {static_cast<unsigned>(divide_up(items, threads))}, threads};
}

}  // namespace

void run(Stream& stream, const CodeSample& task) {
  launch(stream, launch_over("code_sample", task.z.size), code_sample_kernel, task);
}

void run(Stream& stream, const CodeLoss& task) {
  launch(stream, launch_over("code_loss", task.loss.size), code_loss_kernel, task);
}

void run(Stream& stream, const CodeBackward& task) {
  launch(stream, launch_over("code_backward", task.dz.size), code_backward_kernel, task);
}

}  // namespace evenflow::kernels::cuda
