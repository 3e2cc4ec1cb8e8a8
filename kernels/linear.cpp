#include "kernels/linear.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

void linear_forward(Stream& stream, const LinearShape& s, Array<const float> x, Array<const float> weight,
                    Array<const float> bias, Array<float> y) {
  check(s.n >= 1 && s.in >= 1 && s.out >= 1, "linear_forward", "n, in and out of one or more");
  check(x.size == s.n * s.in && y.size == s.n * s.out, "linear_forward", "x [n, in] and y [n, out]");
  check(weight.size == s.out * s.in && bias.size == s.out, "linear_forward", "weight [out, in] and bias [out]");
  const TraceRange range(stream, "linear_forward");
  backend_of(stream.device()).linear_forward(stream, s, x, weight, bias, y);
}

void linear_backward(Stream& stream, const LinearShape& s, Array<const float> x, Array<const float> y, Array<float> dy,
                     Array<const float> weight, Array<float> dx, const LinearGradients& d) {
  check(s.n >= 1 && s.in >= 1 && s.out >= 1, "linear_backward", "n, in and out of one or more");
  check(x.size == s.n * s.in && y.size == s.n * s.out && dy.size == s.n * s.out, "linear_backward",
        "x [n, in], y and dy [n, out]");
  check(dx.size == 0 || dx.size == s.n * s.in, "linear_backward", "dx [n, in], or none");
  check(weight.size == s.out * s.in && d.weight.size == weight.size && d.bias.size == s.out, "linear_backward",
        "weight and its gradient [out, in], the bias's gradient [out]");
  const TraceRange range(stream, "linear_backward");
  backend_of(stream.device()).linear_backward(stream, s, x, y, dy, weight, dx, d);
}

}  // namespace evenflow::kernels
