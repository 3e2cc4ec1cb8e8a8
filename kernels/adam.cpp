#include "kernels/adam.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

void adam_update(Stream& stream, const AdamStep& settings, Array<const float> gradient, Array<float> parameter,
                 Array<float> m, Array<float> v) {
  check(gradient.size == parameter.size && m.size == parameter.size && v.size == parameter.size, "adam_update",
        "gradient, parameter, m and v of one size");
  check(settings.step >= 1, "adam_update", "a step that counts from 1");
  const TraceRange range(stream, "adam_update");
  backend_of(stream.device()).adam_update(stream, settings, gradient, parameter, m, v);
}

void sum_rows(Stream& stream, Array<const float> in, int64_t rows, Array<float> out) {
  check(in.size == rows * out.size, "sum_rows", "in of rows x out.size elements");
  const TraceRange range(stream, "sum_rows");
  backend_of(stream.device()).sum_rows(stream, in, rows, out);
}

void squared_norm(Stream& stream, Array<const float> x, Array<double> out) {
  check(out.size == 1, "squared_norm", "one element of output");
  const TraceRange range(stream, "squared_norm");
  backend_of(stream.device()).squared_norm(stream, x, out);
}

}  // namespace evenflow::kernels
