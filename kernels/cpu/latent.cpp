#include "kernels/latent.h"

#include <limits>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const LatentLoss& task) {
  const double n = static_cast<double>(task.group_elements);
  const int64_t windows = task.nll.size;
  const int64_t groups = task.groups.size;
  for (int64_t i = 0; i < windows; ++i) {
    double nll = static_cast<double>(task.zc_elements) * half_log_2pi + 0.5 * task.zc_squares[i] -
                 task.constant_log_det[0] - task.coupling_log_det[i];
    for (int64_t g = 0; g < groups; ++g) {
      const double v = task.v.size == 0 ? std::numeric_limits<double>::quiet_NaN() : task.v[i * groups + g];
      const int64_t at = g * windows + i;
      const GroupLikelihood group = group_likelihood(task.groups[g], n, task.zd_sum[at] / n, task.zd_centred[at], v);
      nll += group.nll;
      task.shift[at] = group.shift;
    }
    task.nll[i] = nll;
  }
}

}  // namespace evenflow::kernels::cpu
