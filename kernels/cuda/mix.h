// The 1x1 convolution of few channels, alone or with the actnorm before it, in one kernel each way.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/actnorm_invconv.h"
#include "kernels/cuda/execution.h"
#include "kernels/view.h"

namespace evenflow::kernels::cuda {

/// y = W x, or W of actnorm's output if there are parameters of it; that is then written to `normalised`, which may be
/// x's memory.
struct MixForward {
  ConstMap x;
  const float* weight = nullptr;  ///< [c, c]
  Map y;
  ActnormParameters actnorm{};
  Map normalised{};
};
/// 4, 8, 16 or 32 channels.
bool mix_forward_serves(ConstMap x);
void mix_forward(Stream& stream, const MixForward& task);

/// With actnorm, x is what it gave. dx may be dy's memory.
struct MixBackward {
  ConstMap x, dy;
  const float* weight = nullptr;  ///< [c, c]
  Map dx;
  float* dweight = nullptr;          ///< [c, c]
  const float* log_scale = nullptr;  ///< [c]; null: no actnorm
  ActnormGradients actnorm{};
  Array<float> shares{};  ///< with actnorm: where the gradients' parts are left for mix_add_shares, if anywhere
};
/// 4, 8 or 16 channels.
bool mix_backward_serves(ConstMap x);
void mix_backward(Stream& stream, const MixBackward& task);
/// 0 for what mix_backward does not serve.
int64_t mix_share_floats(const ActnormInvconvBuffers& maps);
void mix_add_shares(Stream& stream, std::span<const ActnormInvconvShares> layers);

}  // namespace evenflow::kernels::cuda
