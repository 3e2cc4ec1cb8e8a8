#include "kernels/order.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

int64_t random_order_workspace_bytes(Device device, int64_t n) {
  check(n >= 0, "random_order_workspace_bytes", "no negative size");
  return n == 0 ? 0 : backend_of(device).random_order_workspace_bytes(n);
}

void random_order(Stream& stream, uint64_t seed, uint64_t order_stream, Array<int64_t> order,
                  Array<unsigned char> workspace) {
  check(workspace.size >= random_order_workspace_bytes(stream.device(), order.size), "random_order",
        "a workspace as large as its query says");
  if (order.size == 0) return;
  const TraceRange range(stream, "random_order");
  backend_of(stream.device()).random_order(stream, seed, order_stream, order, workspace);
}

}  // namespace evenflow::kernels
