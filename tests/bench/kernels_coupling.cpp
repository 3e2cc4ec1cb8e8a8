#include "tests/bench/coupling_case.h"
#include "tests/bench/kernels_bench.h"

namespace evenflow::bench {

namespace {

void register_shape(const kernels::CouplingShape& shape, const std::string& tail) {
  const double flop = CouplingCase(shape).forward_flop();
  const auto add = [&](const char* name, double count, auto call) {
    register_timed<CouplingCase>(fmt::format("{}{}", name, tail), count, 0, call, shape);
  };
  add("coupling_forward", flop, [](CouplingCase& c) { c.forward(); });
  add("coupling_forward_scoring", flop, [](CouplingCase& c) { c.score(); });
  add("coupling_inverse", flop, [](CouplingCase& c) { c.inverse(); });
  add("coupling_backward", 2 * flop, [](CouplingCase& c) { c.backward(); });
  add("coupling_pack", 0, [](CouplingCase& c) { c.pack(); });
}

}  // namespace

void register_coupling() {
  for (const BlockShape& b : paper_blocks) {
    kernels::CouplingShape shape{.channels = b.channels, .height = b.height, .width = b.width};
    for (const int64_t hidden : {int64_t{32}, int64_t{24}, int64_t{33}, int64_t{48}}) {
      shape.hidden = hidden;
      register_shape(shape, fmt::format("/{}/hidden{}", b.name(), hidden));
    }
    shape.hidden = 32;
    shape.kind = kernels::CouplingKind::additive;
    register_shape(shape, fmt::format("/{}/hidden32_additive", b.name()));
  }
}

}  // namespace evenflow::bench
