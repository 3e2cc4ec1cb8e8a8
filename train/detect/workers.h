// Deals a batch's windows to CPU threads, as many at a time through the whole model as it wants; sums gradients in a
// fixed order.
//
// Windows are grouped into chunks whose size depends on the batch alone; each chunk has its own gradient arena and the
// arenas are summed in order, so results are the same bits for any number of threads, and of ranks, which share the
// chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/parallel.h"
#include "train/detect/engine.h"

namespace evenflow::train {

class Workers final : public Engine {
 public:
  /// threads = 0: one per core. `training` false: no gradient memory. `ranks` outlives it.
  Workers(const flow::Model& model, const io::NormaliserData& normaliser, int threads, bool training,
          kernels::Communicator& ranks = kernels::alone());
  ~Workers() override;

  int threads() const;
  /// Engine::loss with its gradient in gradient(), of all ranks together. `step` names what a model draws in training.
  double loss_and_gradient(const WindowBatch& batch, std::span<double> nll, int64_t step = 0);
  kernels::Array<float> gradient();

  Range share(int64_t windows) const override;
  std::string describe() const override;
  void hold(std::span<const float> /*frames*/) override {}
  double loss(const WindowBatch& batch, std::span<double> nll) override;
  void score(const WindowBatch& batch, flow::WindowScores& out) override;
  void encode(const WindowBatch& batch, flow::WindowScores& out, const LatentVisitor& visit) override;
  kernels::Buffer<float> normalised(const WindowBatch& batch) override;
  std::string first_non_finite(const WindowBatch& batch, int64_t window) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::train
