// Grid: a thread per window; a few numbers each.
// Traffic: 8 bytes per window and number: 4 + 4 groups of them.
// Sums: over a window's groups in order, in float64.
#include "kernels/latent.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void latent_loss_kernel(LaneStrides lanes, LatentLoss task) {
  after_predecessor();
  to_lane(lanes, task.groups.data, task.zc_squares.data, task.zd_sum.data, task.zd_centred.data,
          task.coupling_log_det.data, task.constant_log_det.data, task.v.data, task.nll.data, task.shift.data);
  const int64_t windows = task.nll.size;
  const int64_t i = first_item();
  if (i >= windows) {
    return;
  }
  const double* v = task.v.size != 0 ? task.v.data + i * (task.v.size / windows) : nullptr;
  const double rest = static_cast<double>(task.zc_elements) * half_log_2pi + 0.5 * task.zc_squares.data[i] -
                      task.constant_log_det.data[0] - task.coupling_log_det.data[i];
  task.nll.data[i] =
      add_zd_likelihood(rest, task.groups.data, task.groups.size, static_cast<double>(task.group_elements),
                        task.zd_sum.data + i, task.zd_centred.data + i, windows, v, task.shift.data + i);
}

constexpr int windows_per_block = 64;

}  // namespace

void run(Stream& stream, const LatentLoss& task) {
  launch(stream,
         {"latent_loss", {static_cast<unsigned>(divide_up(task.nll.size, windows_per_block))}, windows_per_block},
         latent_loss_kernel, task);
}

}  // namespace evenflow::kernels::cuda
