// Bank conflicts of the fused couplings' shared memory, counted from every access that the kernels make of the paper's
// maps: what a profiler would count on a GPU (docs/performance.md, On a GPU).
#include "tests/emulation/bank_conflicts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/kernels/coupling_case.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using emulation::SharedAccesses;
using kernels::Precision;

struct ConflictCase : CouplingCase {
  ConflictCase(CouplingCase base, double most_forward, double most_backward)
      : CouplingCase(base), forward(most_forward), backward(most_backward) {}
  double forward, backward;  // how often banks may be asked, beside how often they would be without conflicts
};

class BankConflicts : public OpTest<ConflictCase> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "what counts is no part of the program that ThreadSanitizer looks at";
#endif
    emulation::count_shared_accesses(true);
  }
  void TearDown() override {
    emulation::count_shared_accesses(false);
  }

  void expect_at_most(const std::string& kernel, double bound) {
    int64_t wavefronts = 0, least = 0;
    for (const SharedAccesses& place : emulation::shared_accesses()) {
      if (place.kernel == kernel) {
        wavefronts += place.wavefronts;
        least += place.least;
      }
    }
    ASSERT_GT(least, 0) << kernel;
    const double ratio = static_cast<double>(wavefronts) / static_cast<double>(least);
    RecordProperty(kernel, text_of(wavefronts, " of ", least));
    EXPECT_TRUE(ratio <= bound) << kernel << ": " << wavefronts << " where " << least << " would do\n" << worst(kernel);
  }
  // The three places that cost most.
  static std::string worst(const std::string& kernel) {
    std::vector<SharedAccesses> places = emulation::shared_accesses();
    std::erase_if(places, [&](const SharedAccesses& place) { return place.kernel != kernel; });
    std::sort(places.begin(), places.end(), [](const SharedAccesses& a, const SharedAccesses& b) {
      return a.wavefronts - a.least > b.wavefronts - b.least;
    });
    std::string text;
    for (size_t i = 0; i < std::min<size_t>(3, places.size()); ++i) {
      text += text_of(places[i].file, ":", places[i].line, ": ", places[i].wavefronts, " for ", places[i].least, "\n");
    }
    return text;
  }
};

TEST_P(BankConflicts, OfFusedCouplings) {
  Rng rng(75);
  const ConflictCase& s = shape();
  kernels::CouplingShape kernel = s.kernel_shape();
  kernel.path = kernels::CouplingPath::fused;
  kernel.precision = Precision::tf32;
  const WeightsOnDevice weights(random_weights(rng, s), device()), gradients(random_weights(rng, s), device());
  const GuardedBuffer<float> packed(kernels::coupling_packed_floats(device(), kernel), device());
  const GuardedBuffer<float> saved(s.n * kernels::coupling_saved_floats(device(), kernel), device());
  const GuardedBuffer<float> workspace(kernels::coupling_workspace_floats(device(), kernel, s.n), device());
  const GuardedMap x(random_input(rng, s), s.around, device()), y(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedMap dy(random_maps(rng, s.n, s.c, s.h, s.w), s.around, device());
  const GuardedMap dx(s.n, s.c, s.h, s.w, s.around, device());
  const GuardedBuffer<double> log_det(std::vector<double>(static_cast<size_t>(s.n)), device());
  kernels::coupling_pack(stream_,
                         {.steps = only(kernels::PackedCoupling{kernel, weights.parameters(), packed.view()})});
  kernels::coupling_forward(stream_, {.shape = kernel,
                                      .x = x.view(),
                                      .packed = packed.view(),
                                      .y = y.view(),
                                      .log_det = log_det.view(),
                                      .saved = saved.view(),
                                      .workspace = workspace.view()});
  kernels::coupling_backward(stream_, {.shape = kernel,
                                       .x = x.view(),
                                       .dy = dy.view(),
                                       .packed = packed.view(),
                                       .saved = saved.view(),
                                       .log_det_gradient = -1.0 / 64,
                                       .dx = dx.view(),
                                       .gradients = gradients.gradients(),
                                       .workspace = workspace.view()});
  stream_.synchronise();
  expect_at_most("fused_forward", s.forward);
  expect_at_most("fused_backward", s.backward);
  // Stages and weights, most of the traffic, have none; what a block does once does not count.
  for (const SharedAccesses& place : emulation::shared_accesses()) {
    if (place.bytes > 4 && place.requests > 16) {
      EXPECT_EQ(place.wavefronts, place.least) << place.kernel << ", " << place.file << ":" << place.line;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PaperBlocks, BankConflicts,
                         on_emulated_gpus<ConflictCase>({{{1, 4, 32, 64, 32}, 1.14, 1.07},
                                                         {{1, 8, 32, 32, 16}, 1.17, 1.07},
                                                         {{1, 16, 32, 16, 8}, 1.19, 1.06}}),
                         case_name<ConflictCase>);

}  // namespace
}  // namespace evenflow::tests
