#include "train/loop/checkpoint.h"

#include <algorithm>

#include "io/error.h"

namespace evenflow::train {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw io::DataError("checkpoint '" + file.string() + "' " + what);
}

}  // namespace

void EpochSums::add(double step_loss, int64_t step_windows, double norm) {
  loss += step_loss * static_cast<double>(step_windows);
  windows += step_windows;
  gradient_norm += norm;
  gradient_norm_max = std::max(gradient_norm_max, norm);
  ++steps;
}

void write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint) {
  const OptimizerSnapshot& good = checkpoint.good;
  const EpochSums& sums = checkpoint.sums;
  io::ModelData model = checkpoint.model;
  model.resume = io::ResumeData{.parameters = good.parameters,
                                .m = good.m,
                                .v = good.v,
                                .step = good.step,
                                .windows = sums.windows,
                                .steps = sums.steps,
                                .guard_events = sums.guard_events,
                                .loss_sum = sums.loss,
                                .gradient_norm_sum = sums.gradient_norm,
                                .gradient_norm_max = sums.gradient_norm_max};
  io::write_model(file, model);
}

Checkpoint read_checkpoint(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    fail(file, "does not exist: the run was stopped before its first checkpoint; train it again");
  }
  Checkpoint checkpoint{io::read_model(file), {}, {}};
  const io::ModelData& model = checkpoint.model;
  if (!model.optimizer || !model.progress) {
    fail(file, "is a model without the optimiser's state; resume from a run's checkpoint.h5");
  }
  if (!model.resume) {
    fail(file, "lacks the guard's state; train a new run");
  }
  const io::ResumeData& resume = *model.resume;
  checkpoint.good = {resume.parameters, resume.m, resume.v, resume.step};
  checkpoint.sums = {.loss = resume.loss_sum,
                     .windows = resume.windows,
                     .gradient_norm = resume.gradient_norm_sum,
                     .gradient_norm_max = resume.gradient_norm_max,
                     .steps = resume.steps,
                     .guard_events = resume.guard_events};
  return checkpoint;
}

}  // namespace evenflow::train
