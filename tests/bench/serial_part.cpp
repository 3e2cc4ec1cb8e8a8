#include "tests/bench/serial_part.h"

#include <cmath>

#include "kernels/parallel.h"
#include "kernels/reduce.h"
#include "kernels/trace.h"
#include "tests/bench/measure.h"

namespace evenflow::bench {

SerialPart::SerialPart(flow::Glow& glow)
    : glow_(glow),
      row_floats_((glow.raw_gradient_size() + 15) / 16 * 16),
      rows_(chunks * row_floats_),
      sum_(row_floats_),
      optimizer_(glow.parameters()) {
  guard_.start();
  kernels::Stream stream;
  optimizer_.update(stream, sum_.slice(0, glow.layout().size()), 0, 1);  // so that the guard has an update to accept
}

void SerialPart::sum_rows(kernels::Stream& stream) {
  kernels::sum_rows(stream, {.in = rows_.view(), .rows = chunks, .row_stride = row_floats_, .out = sum_.view()});
}

void SerialPart::step(kernels::Stream& stream) {
  using kernels::TraceRange;
  {
    const TraceRange range(stream, "finish_gradient");
    glow_.finish_gradient(stream, sum_.slice(0, glow_.raw_gradient_size()),
                          -1.0 / static_cast<double>(glow_.shape().dimensions()));
  }
  const kernels::Array<float> gradient = sum_.slice(0, glow_.layout().size());
  kernels::squared_norm(stream, {.x = gradient, .out = squared_norm_.view()});
  {
    const TraceRange range(stream, "guard");
    guard_.accept();
  }
  // So small a step that the timed model stays what it was.
  optimizer_.update(stream, gradient, 1e-12, train::clip_scale(std::sqrt(squared_norm_[0]), 0));
  const TraceRange range(stream, "assemble");
  glow_.assemble(stream);
}

double SerialPart::hand_out() {
  kernels::ThreadPool pool;
  return best_of(0.05, 200,
                 [&] {
                   pool.run(chunks, [](int64_t, int) {});
                   pool.run(chunks, [](int64_t, int) {});
                 })
      .median;
}

}  // namespace evenflow::bench
