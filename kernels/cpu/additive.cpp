#include "kernels/additive.h"

#include <algorithm>

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {
namespace {

// The first half as it is; of the second f(in, shift), element by element.
template <class Function>
void shift_half(ConstMap in, ConstMap shift, Map out, const Function& f) {
  const int64_t half = in.c / 2 * in.pixels();
  for (int64_t n = 0; n < in.n; ++n) {
    if (out.data != in.data) {
      std::copy_n(in.sample(n), half, out.sample(n));
    }
    const float* from = in.sample(n) + half;
    std::transform(from, from + half, shift.sample(n), out.sample(n) + half, f);
  }
}

}  // namespace

void run(Stream&, const AdditiveForward& task) {
  shift_half(task.x, task.shift, task.y, [](float x, float shift) { return x + shift; });
}

void run(Stream&, const AdditiveInverse& task) {
  shift_half(task.y, task.shift, task.x, [](float y, float shift) { return y - shift; });
}

void run(Stream&, const AdditiveBackward& task) {
  const int64_t half = task.dy.c / 2 * task.dy.pixels();
  for (int64_t n = 0; n < task.dy.n; ++n) {
    std::copy_n(task.dy.sample(n) + half, half, task.dshift.sample(n));
    if (task.dx.data != task.dy.data) {
      std::copy_n(task.dy.sample(n), 2 * half, task.dx.sample(n));
    }
  }
}

}  // namespace evenflow::kernels::cpu
