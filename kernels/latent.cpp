#include "kernels/latent.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void latent_loss(Stream& stream, const LatentLoss& task) {
  const int64_t n = task.nll.size;
  const int64_t groups = task.groups.size;
  check(groups >= 1 && task.group_elements >= 1 && task.zc_elements >= 0, "latent_loss", "groups that have elements");
  check(task.zc_squares.size == n && task.coupling_log_det.size == n, "latent_loss",
        "zc_squares, coupling_log_det and nll of one size");
  check(task.zd_sum.size == groups * n && task.zd_centred.size == groups * n && task.shift.size == groups * n,
        "latent_loss", "zd_sum, zd_centred and shift of one element per group and window");
  check(task.constant_log_det.size == 1, "latent_loss", "one constant_log_det");
  check(task.v.size % std::max<int64_t>(n, 1) == 0 && task.v.size <= n * groups, "latent_loss",
        "v of one element per window and parameter, or none");
  dispatch(stream, "latent_loss", task);
}

// A few numbers a window: their FLOP are not counted.
Cost cost(const LatentLoss& task) {
  return {bytes_of_doubles(task.nll.size * (4 + 4 * task.groups.size)), 0};
}

}  // namespace evenflow::kernels
