#include "kernels/log_det.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void constant_log_det(Stream& stream, const ConstantLogDet& task) {
  check_size("constant_log_det", "invconv_log_det", task.invconv_log_det, static_cast<int64_t>(task.steps.size()));
  check_size("constant_log_det", "total", task.total, 1);
  dispatch(stream, "constant_log_det", task);
}

void actnorm_log_det_backward(Stream& stream, const ActnormLogDetBackward& task) {
  dispatch(stream, "actnorm_log_det_backward", task);
}

Cost cost(const ConstantLogDet& task) {
  double channels = 0;
  for (const LogDetTerm& step : task.steps) {
    channels += static_cast<double>(step.log_scale.size);
  }
  return {bytes_of_floats(channels) + bytes_of_doubles(task.steps.size()), channels};
}

Cost cost(const ActnormLogDetBackward& task) {
  double channels = 0;
  for (const LogDetGradient& step : task.steps) {
    channels += static_cast<double>(step.dlog_scale.size);
  }
  return {2 * bytes_of_floats(channels), channels};
}

}  // namespace evenflow::kernels
