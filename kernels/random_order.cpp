#include "kernels/random_order.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

int64_t random_order_workspace_bytes(Device device, int64_t n) {
  check(n >= 0, "random_order_workspace_bytes", "no negative size");
  return n == 0 ? 0 : sizes_on(device, RandomOrderBuffers{.n = n}).workspace;
}

void random_order(Stream& stream, const RandomOrder& task) {
  check(task.workspace.size >= random_order_workspace_bytes(stream.device(), task.order.size), "random_order",
        "a workspace as large as its query says");
  if (task.order.size == 0) {
    return;
  }
  dispatch(stream, "random_order", task);
}

Cost cost(const RandomOrder& task) {
  return {static_cast<double>(task.order.size) * sizeof(int64_t), 0};
}

}  // namespace evenflow::kernels
