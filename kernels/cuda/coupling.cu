// Which of the two ways computes a coupling: the one that the shape's path, precision and sizes ask for. No kernel
// here: layered.cu, and fused.cu, fused_forward.cu and fused_backward.cu, say what theirs do.
#include "kernels/cuda/coupling.h"

#include <vector>

#include "kernels/check.h"

namespace evenflow::kernels::cuda {
namespace {

/// ShapeError: fused is asked for and cannot be.
bool is_fused(const CouplingShape& shape, Device device) {
  if (shape.path == CouplingPath::layered) {
    return false;
  }
  const std::string reason = why_not_fused(shape, device);
  if (shape.path == CouplingPath::fused && !reason.empty()) {
    throw ShapeError("the fused coupling kernels cannot be used: " + reason + "; use train.kernels = \"layered\"");
  }
  return reason.empty();
}

template <class Task>
void run_either(Stream& stream, const Task& task) {
  if (is_fused(task.shape, stream.device())) {
    fused::run(stream, task);
  } else {
    layered::run(stream, task);
  }
}

}  // namespace

BufferSizes sizes(const CouplingBuffers& buffers) {
  return is_fused(buffers.shape, buffers.device) ? fused::sizes(buffers) : layered::sizes(buffers);
}

// Runs of steps that go one way, each in one call.
void run(Stream& stream, const CouplingPack& task) {
  const auto& steps = task.steps;
  for (size_t first = 0; first < steps.size();) {
    const bool fused = is_fused(steps[first].shape, stream.device());
    size_t last = first + 1;
    while (last < steps.size() && is_fused(steps[last].shape, stream.device()) == fused) {
      ++last;
    }
    const CouplingPack part{.steps = steps.subspan(first, last - first)};
    if (fused) {
      fused::run(stream, part);
    } else {
      layered::run(stream, part);
    }
    first = last;
  }
}

void run(Stream& stream, const CouplingForward& task) {
  run_either(stream, task);
}
void run(Stream& stream, const CouplingInverse& task) {
  run_either(stream, task);
}
void run(Stream& stream, const CouplingBackward& task) {
  run_either(stream, task);
}
// Layered, backward has added everything.
void run(Stream& stream, const CouplingAddShares& task) {
  std::vector<CouplingShares> steps;
  for (const CouplingShares& step : task.steps) {
    if (step.n > 0 && is_fused(step.shape, stream.device())) {
      steps.push_back(step);
    }
  }
  fused::run(stream, CouplingAddShares{.steps = steps});
}

}  // namespace evenflow::kernels::cuda
