// The models' channel counts go in one kernel each way (mix.h), any other in two or three.
#include "kernels/actnorm_invconv.h"

#include "kernels/cuda/mix.h"
#include "kernels/invconv.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {

void run(Stream& stream, const ActnormInvconvForward& task) {
  if (task.x.size() == 0) {
    return;
  }
  if (mix_forward_serves(task.x)) {
    return mix_forward(stream, {.x = task.x,
                                .weight = task.weight.data,
                                .y = task.y,
                                .actnorm = task.parameters,
                                .normalised = task.normalised});
  }
  run(stream, ActnormForward{.x = task.x, .parameters = task.parameters, .y = task.normalised});
  run(stream, InvconvApply{.x = task.normalised, .weight = task.weight, .y = task.y});
}

void run(Stream& stream, const ActnormInvconvBackward& task) {
  if (task.dy.size() == 0) {
    return;
  }
  if (mix_backward_serves(task.dy)) {
    return mix_backward(stream, {.x = task.normalised,
                                 .dy = task.dy,
                                 .weight = task.weight.data,
                                 .dx = task.dx,
                                 .dweight = task.dweight.data,
                                 .log_scale = task.parameters.log_scale.data,
                                 .actnorm = task.gradients,
                                 .shares = task.shares});
  }
  run(stream,
      InvconvBackward{
          .x = task.normalised, .dy = task.dy, .weight = task.weight, .dx = task.workspace, .dweight = task.dweight});
  run(stream, ActnormBackward{.y = task.normalised,
                              .dy = task.workspace,
                              .parameters = task.parameters,
                              .dx = task.dx,
                              .gradients = task.gradients});
}

BufferSizes sizes(const ActnormInvconvBuffers& maps) {
  return {.shares = mix_share_floats(maps)};
}

// Of other channel counts backward has added everything.
void run(Stream& stream, const ActnormInvconvAddShares& task) {
  mix_add_shares(stream, task.layers);
}

}  // namespace evenflow::kernels::cuda
