#include "kernels/cross_entropy.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

// The number of windows.
int64_t check_windows(const char* operation, const ClassifiedWindows& w) {
  const int64_t classes = w.grid.classes;
  check(classes >= 1 && w.logits.size >= 1 && w.logits.size % classes == 0, operation,
        "logits [n, classes] with n, classes >= 1");
  const int64_t n = w.logits.size / classes;
  check(w.v.size == 0 || w.v.size == n * w.grid.counts.size, operation,
        "v of one element per window and parameter, or none");
  return n;
}

}  // namespace

void cross_entropy(Stream& stream, const CrossEntropy& task) {
  const int64_t n = check_windows("cross_entropy", task.windows);
  check(task.loss.size == n, "cross_entropy", "loss [n]");
  dispatch(stream, "cross_entropy", task);
}

void cross_entropy_backward(Stream& stream, const CrossEntropyBackward& task) {
  check_windows("cross_entropy_backward", task.windows);
  check(task.dlogits.size == task.windows.logits.size, "cross_entropy_backward", "dlogits [n, classes]");
  dispatch(stream, "cross_entropy_backward", task);
}

// An exponential and two sums a logit.
Cost cost(const CrossEntropy& task) {
  const auto logits = static_cast<double>(task.windows.logits.size);
  return {bytes_of_floats(logits) + bytes_of_doubles(task.windows.v.size + task.loss.size), 3 * logits};
}

Cost cost(const CrossEntropyBackward& task) {
  const auto logits = static_cast<double>(task.windows.logits.size);
  return {2 * bytes_of_floats(logits) + bytes_of_doubles(task.windows.v.size), 6 * logits};
}

}  // namespace evenflow::kernels
