// One training step, queued on a stream: what BatchStepper records on a GPU, and what profiles and benchmarks measure.
// (On the CPU the passes of a step are dealt to threads: worker_stepper.h.)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flow/model.h"
#include "kernels/augment.h"
#include "kernels/device_ranks.h"
#include "kernels/train_step.h"

namespace evenflow::train {

/// What a step reads and writes, on the model's device. n windows of `batch_start`; none is possible where ranks share
/// the batch.
struct TrainingStep {
  flow::Model& model;
  flow::Pass& pass;                               ///< made for training, of n windows or more
  std::optional<kernels::SelectBatch> select;     ///< sets batch_start and batch_v first; none: they are set
  kernels::Array<const float> frames;             ///< [frames, bands] in dB
  kernels::Array<const float> mean, inverse_std;  ///< [bands]
  kernels::Array<const int64_t> batch_start;      ///< [n], in frames
  kernels::Array<const double> batch_v;           ///< [n * parameters], NaN = unknown
  kernels::Array<float> raw;                      ///< Model::raw_gradient_size() floats, the gradient's at the end
  /// Draws how the windows are changed, and batch_v from the values that `select` sets instead; none: they are not.
  struct Augment {
    kernels::DrawChanges draw;
    double mels_per_band = 0;
    kernels::BandMoves moves{};
  };
  std::optional<Augment> augment{};
  /// Where other passes of the same batch left their gradients: `raw` is one of `count` rows, and their sum goes to
  /// `sum`, as long as a row.
  struct Rows {
    kernels::Array<const float> all;
    int64_t count = 0, stride = 0;
    kernels::Array<float> sum;
  };
  std::optional<Rows> rows;
  /// Those passes are other ranks': each gathers `rows` and nll of all before the sum.
  struct Shared {
    kernels::DeviceRanks& ranks;
    std::array<kernels::RankRows, 2> gathered;  ///< the rows, and nll
    int64_t windows = 0, first = 0;             ///< of the whole batch; the first of these n among them
    kernels::Array<double> nll;                 ///< of all ranks, 0 where none has a window
  };
  std::optional<Shared> shared{};
  kernels::Array<double> nll;           ///< [n]
  kernels::Array<double> squared_norm;  ///< [1] of the gradient
  /// Of it loss_scale, nll, squared_norm, gradient and parameter are the step's to set. state names what the model
  /// draws.
  kernels::GuardedUpdate update;
};

/// Ranges of the stream's tracer around its parts: gather, assemble, forward, loss, backward, update.
void queue_training_step(kernels::Stream& stream, const TrainingStep& step);
const std::vector<std::string>& training_step_phases();
/// The step's first part alone: its windows, normalised, in the pass's input.
kernels::ConstMap gather_batch(kernels::Stream& stream, const TrainingStep& step);

}  // namespace evenflow::train
