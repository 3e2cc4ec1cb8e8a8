// Windows through a model on one device: likelihoods, scores, latents. Two ways: Workers deals windows to CPU threads,
// BatchEngine carries batches through a GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "flow/model.h"
#include "kernels/gather.h"
#include "train/detect/shares.h"

namespace evenflow::train {

/// Windows as views into frames: window i starts at frame start[i]. frames [total, bands] in dB, on the host.
struct WindowBatch {
  std::span<const float> frames;
  std::span<const int64_t> start;
  std::span<const double> v;  ///< [windows * parameters], NaN = unknown; may be empty for an unconstrained model
  /// How each window is changed on its way into the model (speeds.h makes warps); empty: not at all. The distance of
  /// the frames' bands belongs to it.
  std::span<const kernels::WindowChange> changes{};
  double mels_per_band = 0;
  kernels::BandMoves moves{};  ///< that changes name, on the host
  int64_t size() const { return static_cast<int64_t>(start.size()); }
};

/// What `encode` hands on of each window: its index, zc and zd.
using LatentVisitor = std::function<void(int64_t window, std::span<const float> zc, std::span<const float> zd)>;

/// Where ranks share a training (EngineSettings::ranks), all of them call loss and first_non_finite for the same batch,
/// of which each needs only its share's frames, and each gets the whole result. The rest is every rank's own.
class Engine {
 public:
  virtual ~Engine() = default;
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Of a batch of so many windows, those that this rank carries.
  virtual Range share(int64_t windows) const = 0;
  /// For a log: "2 threads", "batches of 128".
  virtual std::string describe() const = 0;
  /// Frames that many batches will view: a GPU keeps a copy. They must stay where they are. DeviceError if they do not
  /// fit.
  virtual void hold(std::span<const float> frames) = 0;

  /// Mean over the batch of the windows' nll per dimension (nats) and, per window, nll in nats. A non-finite result is
  /// returned, not thrown. Needs an engine made for training.
  virtual double loss(const WindowBatch& batch, std::span<double> nll) = 0;
  /// Scores of every window, to as many rows of `out`.
  virtual void score(const WindowBatch& batch, flow::WindowScores& out) = 0;
  /// As score, and hands each window's latents to `visit`, one call at a time.
  virtual void encode(const WindowBatch& batch, flow::WindowScores& out, const LatentVisitor& visit) = 0;
  /// Normalised windows of the batch, [n, 1, bands, frames] on the model's device, e.g. for the model's initialisation.
  virtual kernels::Buffer<float> normalised(const WindowBatch& batch) = 0;
  /// Which operation first gave a non-finite value for this window, or empty.
  virtual std::string first_non_finite(const WindowBatch& batch, int64_t window) = 0;
};

struct EngineSettings {
  int threads = 0;        ///< CPU; 0: one per core
  int64_t batch = 128;    ///< GPU: windows carried at once
  bool training = false;  ///< with gradient memory
  kernels::Communicator* ranks = &kernels::alone();
};

/// io::DataError unless the normaliser is of the model's mel bands.
void require_bands(const io::NormaliserData& normaliser, const flow::Model& model);

/// The engine for the model's device.
std::unique_ptr<Engine> make_engine(const flow::Model& model, const io::NormaliserData& normaliser,
                                    const EngineSettings& settings);

}  // namespace evenflow::train
