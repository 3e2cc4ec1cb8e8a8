#include <cmath>
#include <numbers>

#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"

namespace evenflow::kernels::cuda {
namespace {

// A thread per window; a few numbers each, in float64. kernels/cpu/latent.cpp says what they are.
__global__ void latent_loss_kernel(LatentLoss task, double half_log_2pi) {
  const int64_t windows = task.nll.size;
  const int64_t groups = task.groups.size;
  const int64_t i = first_item();
  if (i >= windows) return;
  const auto n = static_cast<double>(task.group_elements);
  double nll = static_cast<double>(task.zc_elements) * half_log_2pi + 0.5 * task.zc_squares.data[i] -
               task.constant_log_det.data[0] - task.coupling_log_det.data[i];
  for (int64_t g = 0; g < groups; ++g) {
    const LatentGroup prior = task.groups.data[g];
    const double mean = task.zd_sum.data[g * windows + i] / n;
    const double centred = task.zd_centred.data[g * windows + i];
    const bool given = task.v.size != 0;
    const double v = given ? task.v.data[i * groups + g] : 0.0;
    double shift = 0;
    if (prior.k != 0.0 && (!given || v != v)) {
      const double spread = 1.0 + n * prior.k * prior.k * prior.std * prior.std;
      const double off = mean - prior.k * (prior.mean - prior.v0);
      shift = mean - off / spread;
      nll += n * half_log_2pi + 0.5 * log(spread) + 0.5 * (centred + n * off * off / spread);
    } else {
      if (prior.k != 0.0) shift = prior.k * (v - prior.v0);
      const double off = mean - shift;
      nll += n * half_log_2pi + 0.5 * (centred + n * off * off);
    }
    task.shift.data[g * windows + i] = shift;
  }
  task.nll.data[i] = nll;
}

constexpr int windows_per_block = 64;

}  // namespace

void latent_loss(Stream& stream, const LatentLoss& task) {
  const double half_log_2pi = 0.5 * std::log(2.0 * std::numbers::pi);
  launch(stream,
         {"latent_loss", {static_cast<unsigned>(divide_up(task.nll.size, windows_per_block))}, windows_per_block},
         latent_loss_kernel, task, half_log_2pi);
}

}  // namespace evenflow::kernels::cuda
