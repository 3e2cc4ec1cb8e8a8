#include "kernels/classes.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {
namespace {

// The number of windows.
int64_t check_classes(const char* operation, const ClassLoss& task) {
  const int64_t classes = task.grid.classes;
  check(classes >= 1 && task.logits.size >= 1 && task.logits.size % classes == 0, operation,
        "logits [n, classes] with n, classes >= 1");
  const int64_t n = task.logits.size / classes;
  check(task.v.size == 0 || task.v.size == n * task.grid.counts.size, operation,
        "v of one element per window and parameter, or none");
  return n;
}

}  // namespace

void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss) {
  const int64_t n = check_classes("class_loss", task);
  check(loss.size == n, "class_loss", "loss [n]");
  const TraceRange range(stream, "class_loss");
  backend_of(stream.device()).class_loss(stream, task, loss);
}

void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits) {
  check_classes("class_backward", task);
  check(dlogits.size == task.logits.size, "class_backward", "dlogits [n, classes]");
  const TraceRange range(stream, "class_backward");
  backend_of(stream.device()).class_backward(stream, task, scale, dlogits);
}

}  // namespace evenflow::kernels
