// A density model of windows: what training and scoring need of one, whatever it is made of.
//
// A Model is shared and read-only during passes; a Pass belongs to one stream and carries up to a fixed number of
// windows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flow/arena.h"
#include "flow/attribution.h"
#include "flow/scores.h"
#include "io/model_file.h"
#include "kernels/buffer.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::flow {

/// Which of a condition's parameters a model can carry together: as many as can be, numbers before names, then the
/// first ones.
struct CarriedParameters {
  std::vector<size_t> kept;           ///< in order
  std::vector<std::string> left_out;  ///< of each other: a sentence that names it, the reason, and what would help
};

enum class PassMode { score, train };

/// Names the random numbers of a training step, for models that draw any: window i of a pass has place first + i in its
/// batch. Without a step there are none.
struct Draws {
  kernels::Array<const int64_t> step;  ///< [1], on the device
  int64_t first = 0;
};

/// Activations and workspace of up to n windows. No call but attribute() allocates. v: [m * parameters] values of the
/// windows' parameters, NaN = unknown, or empty (all unknown); x [m, 1, height, width] with m <= n, normalised.
class Pass {
 public:
  virtual ~Pass() = default;
  Pass() = default;
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  /// Where the caller may build x, [n, 1, height, width].
  virtual kernels::Map input() = 0;
  /// Fills the rows [first, first + m) of `out`. Waits for the stream. v on the host.
  virtual void score(kernels::Stream& stream, kernels::ConstMap x, std::span<const double> v, WindowScores& out,
                     int64_t first) = 0;
  /// What a training makes small, per window in nats: nll [m]. v and nll on the device. Needs PassMode::train.
  virtual void loss(kernels::Stream& stream, kernels::ConstMap x, kernels::Array<const double> v,
                    kernels::Array<double> nll) = 0;
  /// The same, and adds the gradient of scale times the sum of nll to raw (Model::raw_gradient_size() floats). Ranges
  /// of the stream's tracer: forward, loss, backward.
  virtual void loss_and_gradient(kernels::Stream& stream, kernels::ConstMap x, kernels::Array<const double> v,
                                 double scale, const Draws& draws, kernels::Array<double> nll,
                                 kernels::Array<float> raw) = 0;
  /// Where score number `score` of Model::scores() comes from in the one window x; v as in score(). Waits for the
  /// stream, and allocates. Needs PassMode::train.
  virtual void attribute(kernels::Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                         Attribution& out) = 0;
  /// Queues copies of window i's latents of the last score: Model::zc_size() and then zd_size() floats, to the host.
  virtual void copy_latents(kernels::Stream& stream, int64_t i, std::span<float> to) = 0;
  /// Repeats a pass over x that gave a non-finite result and names the first operation with a non-finite output
  /// ("block2.step3.coupling"), "input", or empty if all is finite.
  virtual std::string first_non_finite(kernels::Stream& stream, kernels::ConstMap x) = 0;
};

class Model {
 public:
  virtual ~Model() = default;
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  virtual kernels::Device device() const = 0;
  virtual int64_t height() const = 0;  ///< mel bands
  virtual int64_t width() const = 0;   ///< frames
  int64_t dimensions() const { return height() * width(); }
  /// What zd was or is to be trained to carry.
  virtual const io::ConditionData& condition() const = 0;
  int64_t parameter_count() const { return static_cast<int64_t>(condition().names.size()); }
  int64_t category_count() const;       ///< of all parameters that are names together
  virtual int64_t zd_size() const = 0;  ///< floats of a window
  virtual int64_t zc_size() const = 0;
  /// What it says of a window, in the order of WindowScores' columns.
  virtual const std::vector<Score>& scores() const = 0;
  /// Names of what the scores are computed from and what is not a score itself ("log_det").
  virtual const std::vector<std::string>& terms() const;
  /// Which part of the model overflowed ("the latent zc"), of a window whose scores are not finite; empty if that
  /// cannot be told.
  virtual std::string overflowed(const WindowScores& /*scores*/, int64_t /*window*/) const { return ""; }
  /// Floats of what a density of normal windows can be fitted to; 0: nothing.
  virtual int64_t descriptor_size() const { return 0; }
  /// For a log: "3 blocks of 5 steps, hidden width 32".
  virtual std::string describe() const = 0;

  virtual const ArenaLayout& layout() const = 0;
  virtual kernels::Array<float> parameters() const = 0;
  /// What depends on data, from the first normalised windows x [n, 1, height, width].
  virtual void initialise(kernels::Stream& stream, kernels::ConstMap x) = 0;
  /// Must follow every change of the parameters. On the CPU kernels::SingularError where they cannot be used; on a GPU
  /// every likelihood then becomes NaN.
  virtual void assemble(kernels::Stream& stream) = 0;

  /// Floats that a pass's gradient needs: the arena, then what the model adds to it.
  virtual int64_t raw_gradient_size() const = 0;
  /// Turns a raw gradient, summed over windows, into the arena's gradient in place (its first layout().size() floats).
  /// `weight`: the sum of the windows' scales. One call at a time.
  virtual void finish_gradient(kernels::Stream& stream, kernels::Array<float> raw, double weight) const = 0;

  /// The model file's tensors, in its order; load() checks names and shapes (io::DataError).
  virtual std::vector<io::Tensor> tensors() const = 0;
  virtual void load(const std::vector<io::Tensor>& tensors) = 0;

  virtual std::unique_ptr<Pass> make_pass(int64_t n, PassMode mode) const = 0;
  /// How many windows a CPU's thread carries through a pass at once.
  virtual int64_t windows_at_once() const = 0;
};

}  // namespace evenflow::flow
