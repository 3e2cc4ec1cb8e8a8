// The Glow flow: its parameters (Glow) and one pass of windows through it (GlowPass).
//
// Glow is shared and read-only during passes; a GlowPass belongs to one stream. On the CPU a pass carries one window
// and runs on one thread (train/detect/workers.h deals windows to threads); on a GPU it carries a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "flow/arena.h"
#include "flow/model.h"
#include "io/config.h"
#include "io/model_file.h"
#include "kernels/actnorm_invconv.h"
#include "kernels/buffer.h"
#include "kernels/coupling.h"
#include "kernels/invconv_weight.h"
#include "kernels/log_det.h"

namespace evenflow::flow {

/// Parts that zd is dealt to at most: one for each number among the parameters and each category of a name.
inline constexpr int64_t most_latent_groups = 64;

struct GlowShape {
  int blocks = 3, steps = 5, hidden = 32;
  bool dense_invconv = false;
  kernels::CouplingKind coupling = kernels::CouplingKind::sigmoid;
  bool zd_first = false;             ///< zd is the first half of the last block's channels, not the second
  int64_t height = 128, width = 64;  ///< mel bands, frames; divisible by 2^blocks
  kernels::CouplingPath path = kernels::CouplingPath::automatic;
  kernels::Precision precision = kernels::Precision::float32;
  int64_t dimensions() const { return height * width; }
  /// Channels of a block's steps, blocks from 0: 4, 8, 16, ...
  int64_t channels(int block) const { return int64_t{4} << block; }
  int64_t block_height(int block) const { return height >> (block + 1); }
  int64_t block_width(int block) const { return width >> (block + 1); }
  kernels::CouplingShape coupling_of(int block) const;
};

/// The model's shape, computing as training does (train.precision, train.kernels). io::UsageError if a window does not
/// divide by 2^blocks.
GlowShape glow_shape(const io::Config& config);

/// Whether streams that serve lanes (kernels/lanes.h) can train such models on the device.
bool serves_lanes(const GlowShape& shape, kernels::Device device);

class Glow {
 public:
  /// Random initialisation from `seed`; actnorm awaits initialise_actnorm.
  Glow(const GlowShape& shape, uint64_t seed, kernels::Device device = {});

  const GlowShape& shape() const { return shape_; }
  const ArenaLayout& layout() const { return layout_; }
  kernels::Array<float> parameters() const { return parameters_.view(); }
  kernels::Device device() const { return device_; }

  /// Data-dependent actnorm initialisation from normalised windows x [n, 1, h, w], step after step.
  void initialise_actnorm(kernels::Stream& stream, kernels::ConstMap x);

  /// Must follow every change of the parameters: assembles the 1x1 weights and their inverses, packs the couplings.
  /// A singular 1x1: on the CPU kernels::SingularError names block and step; on a GPU every likelihood becomes NaN and
  /// GlowPass::first_non_finite names it.
  void assemble(kernels::Stream& stream);
  /// Sum of actnorm's and 1x1's log-determinants of one window, nats (the same for every window). [1], on the device.
  kernels::Array<const double> constant_log_det() const { return constant_log_det_.view(); }
  /// The 1x1 convolution's weight [c, c], as assembled; block and step from 0. On the device.
  kernels::Array<const float> invconv_weight(int block, int step) const {
    const int64_t place = static_cast<int64_t>(block) * shape_.steps + step;
    return weight(steps_[static_cast<size_t>(place)]);
  }

  /// Floats in a raw gradient: the arena, then one [c, c] matrix per step for d W.
  int64_t raw_gradient_size() const { return layout_.size() + invconv_floats_; }
  /// Turns a raw gradient (summed over windows) into the arena's gradient in place (its first layout().size() floats):
  /// chains d W into the factors and adds the constant log-determinants' share. `log_det_gradient`: d loss / d log_det
  /// summed over the batch's windows. One call at a time.
  void finish_gradient(kernels::Stream& stream, kernels::Array<float> raw, double log_det_gradient) const;

  /// The model file's tensors, in its order; load() checks names and shapes (io::DataError) and never re-initialises.
  std::vector<io::Tensor> tensors() const;
  void load(const std::vector<io::Tensor>& tensors);

 private:
  friend class GlowPass;
  struct Step {
    std::string name;
    int block = 0;
    kernels::CouplingShape shape;
    size_t first_entry = 0;  // index in layout_ of actnorm.bias; the step's others follow in order
    kernels::Buffer<int32_t> permutation;
    kernels::Buffer<int8_t> sign;
    kernels::Buffer<float> assembled, inverse, packed;  // assembled: W from its factors; none of a dense W
    int64_t dweight_offset = 0;                         // in a raw gradient
  };
  int64_t pixels(const Step& step) const { return step.shape.height * step.shape.width; }
  // A step's views into the parameters or, of the same layout, a gradient.
  struct StepParameters {
    kernels::Array<float> actnorm_bias, actnorm_log_scale;
    kernels::Array<float> invconv_weight;                               // of a dense W
    kernels::Array<float> invconv_lower, invconv_upper, invconv_log_s;  // of one of factors
    kernels::Array<float> conv1_weight, conv1_bias, conv2_weight, conv2_bias, conv3_weight, conv3_bias, log_gain;
  };
  StepParameters parameters_of(const Step& step, kernels::Array<float> arena) const;
  StepParameters parameters_of(const Step& step) const { return parameters_of(step, parameters()); }
  kernels::ActnormParameters actnorm(const Step& step) const;
  kernels::PluParameters plu(const Step& step) const;
  template <class Views>
  Views coupling_views(kernels::Array<float> arena, const Step& step) const;
  kernels::Array<const float> weight(const Step& step) const;
  void initialise_parameters(uint64_t seed);
  void list_tasks();
  // Of the steps [first, first + count).
  void assemble_steps(kernels::Stream& stream, size_t first, size_t count);
  void assemble_invconv(kernels::Stream& stream, size_t first, size_t count);

  GlowShape shape_;
  kernels::Device device_;
  ArenaLayout layout_;
  kernels::Buffer<float> parameters_;
  std::vector<Step> steps_;
  kernels::Buffer<double> invconv_log_det_, constant_log_det_;  // [steps], [1]
  int64_t invconv_floats_ = 0;
  // What the batched operations are told of each step; the gradients' anew at each call.
  std::vector<kernels::PluAssembly> plu_assemblies_;
  std::vector<kernels::DenseAssembly> dense_assemblies_;
  std::vector<kernels::LogDetTerm> log_det_terms_;
  std::vector<kernels::PackedCoupling> packs_;
  mutable std::vector<kernels::LogDetGradient> log_det_gradients_;
  mutable std::vector<kernels::PluBackward> plu_backwards_;
  mutable std::vector<kernels::DenseBackward> dense_backwards_;
};

/// Activations and workspace of up to `n` windows. No call allocates.
class GlowPass {
 public:
  GlowPass(const Glow& glow, int64_t n, PassMode mode);

  /// x -> latents and log-determinants. x [m, 1, h, w] with m <= n.
  void forward(kernels::Stream& stream, kernels::ConstMap x);
  /// Where the caller may build x, [n, 1, h, w].
  kernels::Map input() { return input_; }
  /// Latents of the last forward (or, for inverse, what to invert): z_i of blocks 0 .. N-1, then zd.
  kernels::Map zc(int block);
  kernels::Map zd();
  /// Coupling log-determinants of the last forward, [m], 0 of additive couplings; add Glow::constant_log_det() for the
  /// whole.
  kernels::Array<double> coupling_log_det() const { return log_det_.slice(0, active_); }

  /// Gradients of the latents, to be filled by the caller before backward. Same shapes as zc, zd. Train mode only.
  kernels::Map dzc(int block);
  kernels::Map dzd();
  /// Adds into raw (Glow::raw_gradient_size() floats). log_det_gradient: d loss / d log_det of each window.
  void backward(kernels::Stream& stream, double log_det_gradient, kernels::Array<float> raw);

  /// The gradient by x that the last backward left, [m, 1, h, w]. In the pass's memory, good until its next call.
  kernels::ConstMap input_gradient(kernels::Stream& stream);

  /// Steps of all blocks, one after the other, and the block of each.
  int64_t step_count() const { return static_cast<int64_t>(glow_.steps_.size()); }
  int block_of(int64_t step) const { return glow_.steps_[static_cast<size_t>(step)].block; }
  /// log g of the elements that a step's coupling changes, of the last forward's first window: [c/2, h, w] of the
  /// block, on the host; empty of an additive coupling. Found by sending x_b = 0 and 1 through it, so within
  /// 2^-22 (1 + |t|) each; waits for the stream, and allocates. Train mode only.
  std::vector<double> log_gains(kernels::Stream& stream, int64_t step);

  /// Latents (as set through zc, zd) back to x, written to input().
  void inverse(kernels::Stream& stream, int64_t m);

  /// After a forward gave a non-finite result: repeats it on x and names the first operation with a non-finite output
  /// ("block2.step3.coupling"), "input", or empty if all is finite.
  std::string first_non_finite(kernels::Stream& stream, kernels::ConstMap x);

 private:
  friend class LatentPrior;
  struct StepMaps {
    kernels::Map actnorm_out, invconv_out;
    kernels::Array<float> saved;  // empty when scoring
  };
  void forward_step(kernels::Stream& stream, size_t step);
  kernels::Map latent(const std::vector<kernels::Map>& blocks, int block, bool second_half) const;
  bool zc_is_second(int block) const;

  const Glow& glow_;
  int64_t n_, active_ = 0;
  kernels::Buffer<float> storage_, saved_, workspace_, shares_;
  kernels::Buffer<double> log_det_, latent_scratch_;
  kernels::Map input_;
  std::vector<kernels::Map> block_output_;    // [n, c, h, w]: a block's state between steps, its latents at the end
  std::vector<kernels::Map> block_gradient_;  // of the same; empty when scoring
  std::vector<kernels::Map> block_scratch_;   // backward's second state
  // What backward leaves to be added, of all steps; none where it adds at once.
  std::vector<kernels::CouplingShares> coupling_shares_;
  std::vector<kernels::ActnormInvconvShares> mix_shares_;
  std::vector<StepMaps> maps_;  // one per step (training) or shared by a block's steps (scoring)
};

}  // namespace evenflow::flow
