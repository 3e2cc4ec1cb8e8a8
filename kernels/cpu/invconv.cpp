#include "kernels/invconv.h"

#include "kernels/cpu/conv.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const InvconvApply& task) {
  const ConstMap& x = task.x;
  for (int64_t n = 0; n < x.n; ++n) {
    mix_channels(x.c, x.pixels(), x.sample(n), task.weight.data, x.c, 1, task.y.sample(n));
  }
}

void run(Stream&, const InvconvBackward& task) {
  const ConstMap& x = task.x;
  for (int64_t n = 0; n < x.n; ++n) {
    mix_channels(x.c, x.pixels(), task.dy.sample(n), task.weight.data, 1, x.c, task.dx.sample(n));
    mix_weight_gradient(x.c, x.pixels(), x.sample(n), task.dy.sample(n), task.dweight.data);
  }
}

}  // namespace evenflow::kernels::cpu
