// More samples than a grid has blocks along y: a coupling's layers take them all.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/coupling.h"
#include "tests/kernels/coupling_case.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

constexpr int64_t more_than_across = 65537;

/// What forward leaves, and what its inverse finds back, or for an additive coupling what backward leaves: the
/// emulation takes seconds for each.
struct Passed {
  std::vector<float> y, back;
};

Passed pass(kernels::Device device, const CouplingCase& s, const CouplingWeights& p, const Maps& x) {
  kernels::Stream stream(device);
  kernels::CouplingShape shape = s.kernel_shape();
  shape.path = kernels::CouplingPath::layered;
  const WeightsOnDevice weights(p, device);
  const GuardedBuffer<float> packed(kernels::coupling_packed_floats(device, shape), device);
  const GuardedBuffer<float> saved(x.n * kernels::coupling_saved_floats(device, shape), device);
  const GuardedBuffer<float> workspace(kernels::coupling_workspace_floats(device, shape, x.n), device);
  const GuardedMap in(x, {}, device);
  const GuardedMap out(x.n, s.c, s.h, s.w, {}, device), back(x.n, s.c, s.h, s.w, {}, device);
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(x.n)), device);
  kernels::coupling_pack(stream, {.steps = only(kernels::PackedCoupling{shape, weights.parameters(), packed.view()})});
  kernels::coupling_forward(stream, {.shape = shape,
                                     .x = in.view(),
                                     .packed = packed.view(),
                                     .y = out.view(),
                                     .log_det = log_det.view(),
                                     .saved = saved.view(),
                                     .workspace = workspace.view()});
  const WeightsOnDevice d(p, device);
  if (s.additive()) {
    kernels::coupling_backward(stream, {.shape = shape,
                                        .x = in.view(),
                                        .dy = in.view(),
                                        .packed = packed.view(),
                                        .saved = saved.view(),
                                        .log_det_gradient = 0,
                                        .dx = back.view(),
                                        .gradients = d.gradients(),
                                        .workspace = workspace.view()});
  } else {
    kernels::coupling_inverse(
        stream,
        {.shape = shape, .y = out.view(), .packed = packed.view(), .x = back.view(), .workspace = workspace.view()});
  }
  stream.synchronise();
  return {narrow(out.values().values), narrow(back.values().values)};
}

/// The last sample's.
Maps last_of(const Maps& all) {
  Maps last(1, all.c, all.h, all.w);
  last.values.assign(all.values.end() - static_cast<std::ptrdiff_t>(last.values.size()), all.values.end());
  return last;
}
/// To float32's rounding: a library may add up another batch in another order.
void expect_ends_alike(const std::vector<float>& all, const std::vector<float>& last, const std::string& what) {
  for (size_t i = 0; i < last.size(); ++i) {
    const float value = all[all.size() - last.size() + i];
    EXPECT_TRUE(std::abs(value - last[i]) <= 1e-5F * (1.0F + std::abs(last[i])))
        << what << " " << value << " " << last[i];
  }
}

class LargeBatch : public testing::TestWithParam<BackendUnderTest> {
 protected:
  SelectedBackend selected_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Devices, LargeBatch, testing::ValuesIn(gpus_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(LargeBatch, TheLastSampleComesOutAsItDoesAlone) {
  for (const Coupling kind : {Coupling::sigmoid, Coupling::additive}) {
    const CouplingCase s{.n = more_than_across, .c = 2, .hidden = 1, .h = 1, .w = 1, .kind = kind};
    Rng rng(71);
    const CouplingWeights p = random_weights(rng, s);
    const Maps x = random_input(rng, s);
    const Passed all = pass(GetParam().device, s, p, x);
    const Passed alone = pass(GetParam().device, s, p, last_of(x));
    expect_ends_alike(all.y, alone.y, "forward");
    expect_ends_alike(all.back, alone.back, s.additive() ? "backward" : "inverse");
  }
}

}  // namespace
}  // namespace evenflow::tests
