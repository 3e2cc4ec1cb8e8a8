#include "experiments/monitor/alarm.h"

#include <bit>

namespace evenflow::experiments::monitor {

int Alarm::recent_bad() const {
  const uint64_t mask = rule_.of >= 64 ? ~uint64_t{0} : (uint64_t{1} << rule_.of) - 1;
  return std::popcount(memory_.recent & mask);
}

Change Alarm::take(bool bad, double at_s) {
  memory_.recent = memory_.recent << 1 | (bad ? 1 : 0);
  memory_.good_in_row = bad ? 0 : memory_.good_in_row + 1;
  if (memory_.raised) {
    if (memory_.good_in_row < rule_.clear) {
      return Change::none;
    }
    memory_.raised = false;
    memory_.recent = 0;  // what was reported does not count towards the next alarm
    return Change::cleared;
  }
  if (recent_bad() < rule_.raise || at_s < memory_.raised_at_s + rule_.hold_off_s) {
    return Change::none;
  }
  return raise(at_s);
}

Change Alarm::raise(double at_s) {
  if (memory_.raised) {
    return Change::none;
  }
  memory_.raised = true;
  memory_.good_in_row = 0;
  memory_.raised_at_s = at_s;
  ++memory_.raised_times;
  return Change::raised;
}

}  // namespace evenflow::experiments::monitor
