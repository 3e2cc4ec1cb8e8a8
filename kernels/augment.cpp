#include "kernels/augment.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void draw_changes(Stream& stream, const DrawChanges& task) {
  const int64_t n = task.changes.size;
  if (n == 0) {
    return;
  }
  const Augmentation& a = task.augmentation;
  check(task.step.size == 1, "draw_changes", "one step");
  check(task.values.size % n == 0 && task.v.size % n == 0 && task.v.size <= task.values.size, "draw_changes",
        "values of one row per window, and v of no more columns");
  check(task.speed_column < task.values.size / n, "draw_changes", "the speed's column among the values");
  check(task.point_column < task.values.size / n && (task.point_column < 0 || task.points.size > 0), "draw_changes",
        "the point's column among the values, and points");
  check(a.mask_bands >= 0 && a.mask_bands <= task.bands && a.mask_frames >= 0 && a.mask_frames <= task.frames,
        "draw_changes", "masks no wider than a window");
  dispatch(stream, "draw_changes", task);
}

// A few numbers a window: their FLOP are not counted.
Cost cost(const DrawChanges& task) {
  return {
      bytes_of_doubles(task.values.size + task.v.size) + static_cast<double>(task.changes.size) * sizeof(WindowChange),
      0};
}

}  // namespace evenflow::kernels
