#include <algorithm>
#include <cmath>

#include "kernels/cpu/ops.h"

namespace evenflow::kernels::cpu {
namespace {

// log of the sum of the exponentials.
double log_sum(const float* logits, int64_t classes) {
  const double top = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - top);
  return top + std::log(sum);
}

int64_t own_class(const ClassLoss& task, int64_t window) {
  return task.v.size == 0 ? -1 : class_of(task.grid, task.v.data + window * task.grid.counts.size);
}

}  // namespace

void class_loss(const ClassLoss& task, Array<double> loss) {
  const int64_t classes = task.grid.classes;
  for (int64_t i = 0; i < loss.size; ++i) {
    const float* logits = task.logits.data + i * classes;
    const int64_t own = own_class(task, i);
    loss[i] = own < 0 ? 0.0 : task.weight * (log_sum(logits, classes) - logits[own]);
  }
}

void class_backward(const ClassLoss& task, double scale, Array<float> dlogits) {
  const int64_t classes = task.grid.classes;
  for (int64_t i = 0; i * classes < dlogits.size; ++i) {
    const float* logits = task.logits.data + i * classes;
    const double normaliser = log_sum(logits, classes);
    const int64_t own = own_class(task, i);
    for (int64_t c = 0; c < classes; ++c) {
      const double off = std::exp(logits[c] - normaliser) - (c == own ? 1.0 : 0.0);
      dlogits[i * classes + c] = own < 0 ? 0.0F : static_cast<float>(scale * task.weight * off);
    }
  }
}

}  // namespace evenflow::kernels::cpu
