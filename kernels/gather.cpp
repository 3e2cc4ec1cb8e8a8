#include "kernels/gather.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void gather_windows(Stream& stream, const GatherWindows& task) {
  const Map& x = task.x;
  check(x.c == 1, "gather_windows", "x of one channel");
  check(task.start.size == x.n, "gather_windows", "one start per window");
  check(task.mean.size == x.h && task.inverse_std.size == x.h, "gather_windows",
        "one mean and one inverse_std per band");
  check(task.frames.size % x.h == 0, "gather_windows", "whole frames");
  check(task.changes.size == 0 || (task.changes.size == x.n && task.mels_per_band > 0), "gather_windows",
        "one change per window and the bands' distance in mel, or no changes");
  check(task.moves.factor.size == task.moves.offset.size && task.moves.factor.size % x.h == 0 &&
            task.moves.error.size % x.h == 0,
        "gather_windows", "moves of whole rows of bands, a factor and an offset each");
  dispatch(stream, "gather_windows", task);
}

// What a change computes is not counted.
Cost cost(const GatherWindows& task) {
  const auto elements = static_cast<double>(task.x.size());
  const double of_windows = static_cast<double>(task.start.size) * sizeof(int64_t) +
                            static_cast<double>(task.changes.size) * sizeof(WindowChange);
  return {2 * bytes_of_floats(elements) + of_windows, 2 * elements};
}

}  // namespace evenflow::kernels
