// The steps of a training on the CPU, each waited for.
#pragma once

#include <vector>

#include "train/detect/workers.h"
#include "train/loop/stepper.h"

namespace evenflow::train {

class WorkerStepper final : public Stepper {
 public:
  explicit WorkerStepper(const StepParts& parts);

  void start_epoch(int64_t epoch, int64_t first_step) override;
  /// Makes one step.
  std::span<const StepOutcome> run(int64_t count) override;
  void settle() override {}

 private:
  void step(const WindowBatch& batch);
  WindowBatch augmented(const WindowBatch& batch);

  StepParts parts_;
  Workers& workers_;
  kernels::Stream stream_;
  kernels::Buffer<double> squared_norm_{1};
  // What the step's windows are changed by, and their values with it.
  kernels::Buffer<int64_t> update_{1};
  kernels::Buffer<kernels::WindowChange> changes_;
  kernels::Buffer<double> v_;
  std::vector<double> nll_;
  int64_t next_step_ = 0;
  StepOutcome outcome_;
};

}  // namespace evenflow::train
