#include "kernels/latent.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const LatentLoss& task) {
  const int64_t windows = task.nll.size;
  for (int64_t i = 0; i < windows; ++i) {
    const double* v = task.v.size != 0 ? task.v.data + i * (task.v.size / windows) : nullptr;
    const double rest = static_cast<double>(task.zc_elements) * half_log_2pi + 0.5 * task.zc_squares[i] -
                        task.constant_log_det[0] - task.coupling_log_det[i];
    task.nll[i] = add_zd_likelihood(rest, task.groups.data, task.groups.size, static_cast<double>(task.group_elements),
                                    task.zd_sum.data + i, task.zd_centred.data + i, windows, v, task.shift.data + i);
  }
}

}  // namespace evenflow::kernels::cpu
