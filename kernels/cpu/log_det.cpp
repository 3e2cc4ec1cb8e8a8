#include "kernels/log_det.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const ConstantLogDet& task) {
  double& total = task.total[0];
  total = 0;
  for (size_t i = 0; i < task.steps.size(); ++i) {
    const LogDetTerm& step = task.steps[i];
    double sum = 0;
    for (int64_t c = 0; c < step.log_scale.size; ++c) {
      sum += step.log_scale[c];
    }
    total += static_cast<double>(step.pixels) * (sum + task.invconv_log_det.data[i]);
  }
}

void run(Stream&, const ActnormLogDetBackward& task) {
  for (const LogDetGradient& step : task.steps) {
    for (int64_t c = 0; c < step.dlog_scale.size; ++c) {
      step.dlog_scale[c] += static_cast<float>(step.gradient);
    }
  }
}

}  // namespace evenflow::kernels::cpu
