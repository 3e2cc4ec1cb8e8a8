// An alarm with hysteresis and hold-off.
#pragma once

#include <cstdint>

#include "experiments/monitor/settings.h"

namespace evenflow::experiments::monitor {

enum class Change { none, raised, cleared };

class Alarm {
 public:
  /// What it remembers; for a state that outlives the program.
  struct Memory {
    bool raised = false;
    uint64_t recent = 0;      ///< a bit per clip, the last one lowest; 1: bad
    int64_t good_in_row = 0;  ///< since the last bad one
    int64_t raised_times = 0;
    double raised_at_s = -1e300;  ///< seconds of sound
  };

  /// `rule.of` is at most 64.
  explicit Alarm(const AlarmRule& rule) : rule_(rule) {}

  /// A clip that ended at this second of sound was bad or good.
  Change take(bool bad, double at_s);
  /// Raised at once, whatever the clips.
  Change raise(double at_s);

  bool raised() const { return memory_.raised; }
  /// Of the last `rule.of` clips, so many were bad.
  int recent_bad() const;
  const AlarmRule& rule() const { return rule_; }
  const Memory& memory() const { return memory_; }
  void remember(const Memory& memory) { memory_ = memory; }

 private:
  AlarmRule rule_;
  Memory memory_;
};

}  // namespace evenflow::experiments::monitor
