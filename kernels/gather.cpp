#include "kernels/gather.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

void gather_windows(Stream& stream, Array<const float> frames, Array<const int64_t> start, Array<const float> mean,
                    Array<const float> inverse_std, Map x) {
  check(x.c == 1, "gather_windows", "x of one channel");
  check(start.size == x.n, "gather_windows", "one start per window");
  check(mean.size == x.h && inverse_std.size == x.h, "gather_windows", "one mean and one inverse_std per band");
  check(frames.size % x.h == 0, "gather_windows", "whole frames");
  const TraceRange range(stream, "gather_windows");
  backend_of(stream.device()).gather_windows(stream, frames, start, mean, inverse_std, x);
}

}  // namespace evenflow::kernels
