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

void sum_rows(Stream& stream, Array<const float> in, int64_t rows, int64_t row_stride, Array<float> out) {
  check(row_stride >= out.size, "sum_rows", "rows at least as far apart as out is long");
  check(rows == 0 || in.size >= (rows - 1) * row_stride + out.size, "sum_rows", "in of rows at their stride");
  const TraceRange range(stream, "sum_rows");
  backend_of(stream.device()).sum_rows(stream, in, rows, row_stride, out);
}

void squared_norm(Stream& stream, Array<const float> x, Array<double> out) {
  check(out.size == 1, "squared_norm", "one element of output");
  const TraceRange range(stream, "squared_norm");
  backend_of(stream.device()).squared_norm(stream, x, out);
}

}  // namespace evenflow::kernels
