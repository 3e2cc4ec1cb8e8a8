// What an operation has to move and to compute: counted from its task's shapes, not measured.
#pragma once

namespace evenflow::kernels {

/// Bytes: every input is read once and every output written once, what is added to is read and written; nothing is in a
/// cache before and nothing is fetched twice. What forward keeps for backward is an output of the one and an input of
/// the other. FLOP: the mathematics' own, a multiply-add is two; padding, recomputation and rounding do not count, an
/// exponential or a root counts as one; comparisons, selections and copies count nothing.
///
/// Each operation's header has `Cost cost(const Task&)` beside the task.
struct Cost {
  double bytes = 0, flop = 0;
};

template <class Count>
double bytes_of_floats(Count count) {
  return static_cast<double>(count) * sizeof(float);
}
template <class Count>
double bytes_of_doubles(Count count) {
  return static_cast<double>(count) * sizeof(double);
}

}  // namespace evenflow::kernels
