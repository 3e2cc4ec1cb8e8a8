#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cpu/ops.h"

namespace evenflow::kernels::cpu {

void latent_loss(const LatentLoss& task) {
  static const double half_log_2pi = 0.5 * std::log(2.0 * std::numbers::pi);
  const double n = static_cast<double>(task.group_elements);
  const int64_t windows = task.nll.size;
  const int64_t groups = task.groups.size;
  for (int64_t i = 0; i < windows; ++i) {
    task.nll[i] = static_cast<double>(task.zc_elements) * half_log_2pi + 0.5 * task.zc_squares[i] -
                  task.constant_log_det[0] - task.coupling_log_det[i];
    // In both cases the gradient is z minus one number per window: the prior's mean, or, with v integrated out, what
    // is left of the elements' own mean.
    for (int64_t g = 0; g < groups; ++g) {
      const LatentGroup& prior = task.groups[g];
      const double mean = task.zd_sum[g * windows + i] / n;
      const double centred = task.zd_centred[g * windows + i];
      double& shift = task.shift[g * windows + i];
      const double value = task.v.size == 0 ? std::numeric_limits<double>::quiet_NaN() : task.v[i * groups + g];
      if (prior.k != 0.0 && std::isnan(value)) {
        const double spread = 1.0 + n * prior.k * prior.k * prior.std * prior.std;
        const double off = mean - prior.k * (prior.mean - prior.v0);
        shift = mean - off / spread;
        task.nll[i] += n * half_log_2pi + 0.5 * std::log(spread) + 0.5 * (centred + n * off * off / spread);
      } else {
        shift = prior.k != 0.0 ? prior.k * (value - prior.v0) : 0.0;
        const double off = mean - shift;
        task.nll[i] += n * half_log_2pi + 0.5 * (centred + n * off * off);
      }
    }
  }
}

}  // namespace evenflow::kernels::cpu
