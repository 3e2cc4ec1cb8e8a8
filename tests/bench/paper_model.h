// The paper's multi-scale model as every benchmark of the flow has it: its golden case, and windows to time it with.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "flow/glow_model.h"
#include "io/model_file.h"
#include "tests/support/golden_file.h"
#include "train/detect/workers.h"

namespace evenflow::bench {

// Windows beside each other in one run of frames.
struct Batch {
  std::vector<float> frames;
  std::vector<int64_t> start;
  std::vector<double> v;
  train::WindowBatch view() const { return {frames, start, v}; }
};

Batch random_batch(int64_t windows, const flow::GlowShape& shape);
/// The golden case's windows.
Batch golden_batch(const tests::GoldenFile& golden, const flow::GlowShape& shape);

io::ConditionData golden_condition(const tests::GoldenFile& golden);
void load_golden(const tests::GoldenFile& golden, flow::Glow& glow);
io::NormaliserData no_normalisation(const flow::GlowShape& shape);

/// Throws unless the golden case comes out of the calls that will be timed; returns the errors seen.
nlohmann::json verify(const tests::GoldenFile& golden, const flow::GlowShape& shape, bool training, int threads);

/// A model as a training begins with, after actnorm's initialisation on the batch.
void initialise(flow::GlowModel& model, const Batch& batch, int threads);

}  // namespace evenflow::bench
