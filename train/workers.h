// Deals a batch's windows to CPU threads, one window at a time through the whole flow; sums gradients in a fixed order.
//
// Windows are grouped into chunks whose size depends on the batch alone; each chunk has its own gradient arena and the
// arenas are summed in order, so results are the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flow/glow.h"
#include "flow/latent.h"
#include "kernels/parallel.h"

namespace evenflow::train {

/// Windows as views into frames: window i starts at frame start[i]. frames [total, bands] in dB.
struct WindowBatch {
  std::span<const float> frames;
  std::span<const int64_t> start;
  std::span<const double> v;  ///< [windows * parameters], NaN = unknown; may be empty for an unconstrained model
  int64_t size() const { return static_cast<int64_t>(start.size()); }
};

class Workers {
 public:
  /// threads = 0: one per core. `training` false: no gradient memory.
  Workers(const flow::Glow& glow, const io::NormaliserData& normaliser, int threads, bool training);
  ~Workers();

  int threads() const;
  /// Mean over the batch of the windows' nll per dimension (nats), its gradient in gradient() and, per window, nll in
  /// nats. A non-finite result is returned, not thrown.
  double loss_and_gradient(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<double> nll);
  kernels::Array<float> gradient();
  /// The same loss without the gradient (validation). Needs `training`, as loss_and_gradient does.
  double loss(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<double> nll);
  /// Scores of every window.
  void score(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out);
  /// As score, and hands each window's latents to `visit` (window, zc as floats, zd as floats), one call at a time.
  void encode(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out,
              const std::function<void(int64_t, std::span<const float>, std::span<const float>)>& visit);
  /// Normalised windows of the batch, [n, 1, bands, frames], e.g. for actnorm's initialisation.
  kernels::Buffer<float> normalised(const WindowBatch& batch);
  /// Which operation first gave a non-finite value for this window, or empty.
  std::string first_non_finite(const WindowBatch& batch, int64_t window);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::train
