// Grid: a thread per window.
// Traffic: a few numbers a window.
// Sums: none.
#include "kernels/augment.h"

#include "kernels/cuda/grid.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

__global__ void draw_changes_kernel(LaneStrides lanes, DrawChanges task) {
  after_predecessor();
  to_lane(lanes, task.step.data, task.of_lane.data, task.values.data, task.changes.data, task.v.data, task.points.data,
          task.moves.data);
  use_own_draws(task);
  const int64_t window = first_item();
  if (window < task.changes.size) {
    draw_change_of(task, window);
  }
}

constexpr int threads = 64;

}  // namespace

void run(Stream& stream, const DrawChanges& task) {
  launch(stream, {"draw_changes", {static_cast<unsigned>(divide_up(task.changes.size, threads))}, threads},
         draw_changes_kernel, task);
}

}  // namespace evenflow::kernels::cuda
