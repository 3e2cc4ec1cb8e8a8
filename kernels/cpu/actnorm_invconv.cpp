#include "kernels/actnorm_invconv.h"

#include "kernels/invconv.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

// One window's maps stay in the cache between the two.
void run(Stream& stream, const ActnormInvconvForward& task) {
  run(stream, ActnormForward{.x = task.x, .parameters = task.parameters, .y = task.normalised});
  run(stream, InvconvApply{.x = task.normalised, .weight = task.weight, .y = task.y});
}

void run(Stream& stream, const ActnormInvconvBackward& task) {
  run(stream,
      InvconvBackward{
          .x = task.normalised, .dy = task.dy, .weight = task.weight, .dx = task.workspace, .dweight = task.dweight});
  run(stream, ActnormBackward{.y = task.normalised,
                              .dy = task.workspace,
                              .parameters = task.parameters,
                              .dx = task.dx,
                              .gradients = task.gradients});
}

BufferSizes sizes(const ActnormInvconvBuffers& /*maps*/) {
  return {};
}
// Backward has added everything.
void run(Stream& /*stream*/, const ActnormInvconvAddShares& /*task*/) {}

}  // namespace evenflow::kernels::cpu
