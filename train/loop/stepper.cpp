#include "train/loop/stepper.h"

#include "train/loop/batch_stepper.h"
#include "train/loop/worker_stepper.h"

namespace evenflow::train {

std::unique_ptr<Stepper> make_stepper(const StepParts& parts) {
  if (parts.model.device().type == kernels::DeviceType::cpu) {
    return std::make_unique<WorkerStepper>(parts);
  }
  return std::make_unique<BatchStepper>(parts);
}

}  // namespace evenflow::train
