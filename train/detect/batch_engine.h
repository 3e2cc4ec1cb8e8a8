// The engine of a GPU: a batch of windows at a time through every layer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/detect/engine.h"

namespace evenflow::train {

class BatchEngine final : public Engine {
 public:
  /// `ranks` outlives it.
  BatchEngine(const flow::Model& model, const io::NormaliserData& normaliser, int64_t batch, bool training,
              kernels::Communicator& ranks = kernels::alone());

  Range share(int64_t windows) const override { return shares_.mine(windows, 1); }
  std::string describe() const override;
  void hold(std::span<const float> frames) override;
  /// The same, of a copy on the device that other engines view too.
  void hold(std::span<const float> frames, std::shared_ptr<const kernels::Buffer<float>> on_device);
  double loss(const WindowBatch& batch, std::span<double> nll) override;
  void score(const WindowBatch& batch, flow::WindowScores& out) override;
  void encode(const WindowBatch& batch, flow::WindowScores& out, const LatentVisitor& visit) override;
  kernels::Buffer<float> normalised(const WindowBatch& batch) override;
  std::string first_non_finite(const WindowBatch& batch, int64_t window) override;

  // ---- for training steps, which are recorded from these parts (batch_stepper.h)
  kernels::Stream& stream() { return stream_; }
  flow::Pass& pass() { return *pass_; }
  const Shares& shares() const { return shares_; }
  int64_t most_windows() const { return batch_; }
  /// The held copy of these frames; empty if they are not held.
  kernels::Array<const float> held(std::span<const float> frames) const;
  /// The normaliser's, per mel band, on the device.
  kernels::Array<const float> mean() const { return mean_.view(); }
  kernels::Array<const float> inverse_std() const { return inverse_std_.view(); }

 private:
  // Windows [first, first + count) of the batch, normalised, in the pass's input; with_values: their values in v_.
  kernels::ConstMap load(const WindowBatch& batch, int64_t first, int64_t count, bool with_values);
  kernels::Array<const float> frames_of(const WindowBatch& batch, int64_t first, int64_t count);
  kernels::BandMoves on_device(const kernels::BandMoves& host);
  void visit_latents(int64_t first, int64_t count, const LatentVisitor& visit);

  struct Held {
    std::span<const float> host;
    std::shared_ptr<const kernels::Buffer<float>> device;
  };
  const flow::Model& model_;
  Shares shares_;
  int64_t batch_;
  kernels::Stream stream_;
  std::unique_ptr<flow::Pass> pass_;
  kernels::Buffer<float> mean_, inverse_std_;
  std::vector<Held> held_;
  kernels::Buffer<float> frames_;  // of batches that are not held: grown as needed
  std::vector<int64_t> shifted_start_;
  kernels::Buffer<int64_t> start_;
  kernels::Buffer<kernels::WindowChange> changes_;  // made when a batch has some
  kernels::Buffer<float> factor_, offset_, error_;  // of moves, grown as needed
  kernels::Buffer<double> v_, nll_;
  std::vector<float> latents_;
};

}  // namespace evenflow::train
