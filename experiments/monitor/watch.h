// One machine's clips to verdicts and alarms.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/monitor/alarm.h"
#include "experiments/monitor/cutter.h"
#include "experiments/monitor/records.h"
#include "train/statistics/conformal_martingale.h"

namespace evenflow::experiments::monitor {

/// Where what is said of a machine goes.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void say(const ClipRecord& record) = 0;
  virtual void say(const WindowRecord& record) = 0;
  virtual void say(const EventRecord& record) = 0;
};

/// What was counted of a machine since its state began.
struct Counts {
  int64_t clips = 0, windows = 0;
  std::map<Verdict, int64_t> by_verdict;
};

/// A clip is judged in this order: a fault of the sensor, an operating point that the model was not trained at (shift),
/// a score above the threshold (fault). Only what was judged at a known operating point by a sound sensor counts for or
/// against a fault.
class Watch {
 public:
  Watch(std::string machine, const MonitorSettings& settings, Listener& listener);

  /// `recording`: its file, of a folder that is watched.
  void hear(const LoadedModel& model, const HeardClip& clip, const std::string& recording = "");
  void hear_windows(const LoadedModel& model, const Cutter& cutter, int64_t first);
  /// The sensor is faulty, by other signs than a clip's.
  void sensor_fault(const std::string& why);
  void note(AlarmKind about, const std::string& text);

  const std::string& machine() const { return machine_; }
  const Counts& counts() const { return counts_; }
  const ClipRecord& last() const { return last_; }
  const Alarm& alarm(AlarmKind kind) const { return alarms_.at(kind); }
  /// "sensor", "fault", "shift", or "normal": the first of these alarms that is raised.
  std::string state() const;

  nlohmann::json memory() const;
  /// Throws nlohmann::json::exception on what memory() did not give.
  void remember(const nlohmann::json& memory);

 private:
  ClipRecord judge(const LoadedModel& model, const HeardClip& clip) const;
  void update_alarms(const LoadedModel& model);
  void changed(AlarmKind kind, Change change, const std::string& raised, const std::string& cleared);
  void watch_creep(const LoadedModel& model);

  std::string machine_;
  MonitorSettings settings_;
  Listener* listener_;
  std::map<AlarmKind, Alarm> alarms_;
  std::vector<train::ConformalMartingale> creep_;  // of each estimate
  Counts counts_;
  ClipRecord last_;
  std::vector<EventRecord> events_;  // of the clip in hand: they follow its line
  double heard_s_ = 0;               // seconds of sound since the state began
};

}  // namespace evenflow::experiments::monitor
