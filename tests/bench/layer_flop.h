#pragma once

#include "flow/glow.h"
#include "tests/bench/stopwatch.h"

namespace evenflow::bench {

/// FLOP of one window in all steps of a block; 0 where nothing but data moves or where a count would say nothing. They
/// are the mathematics' own: a multiply-add is two, padding and recomputation are nobody's.
double flop(const flow::GlowShape& shape, const Key& key);

}  // namespace evenflow::bench
