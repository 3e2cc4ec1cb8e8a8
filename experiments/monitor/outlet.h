// Where all that a monitor says goes: standard output, and commands on alarms.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "experiments/monitor/executor.h"
#include "experiments/monitor/watch.h"
#include "io/sources_file.h"

namespace evenflow::experiments::monitor {

/// Lines of several threads, whole. A reader that is slow holds the monitor up; one that has gone ends it.
class Outlet final : public Listener {
 public:
  Outlet(const MonitorSettings& settings, const std::vector<io::MonitorSource>& sources);

  /// io::DataError: standard output cannot be written.
  void say(const ClipRecord& record) override;
  void say(const WindowRecord& record) override;
  void say(const EventRecord& record) override;
  /// Of no machine in particular.
  void say(const std::string& sentence);

  /// Has standard output failed?
  bool is_gone() const { return gone_; }
  /// True once after an alarm was raised or cleared.
  bool alarm_changed() { return alarm_changed_.exchange(false); }

 private:
  void write(const std::string& line);
  void complain(const std::string& sentence);
  void run_command(const EventRecord& record);

  bool json_;
  std::mutex mutex_;
  std::atomic<bool> alarm_changed_{false}, gone_{false};
  std::map<std::string, std::string> commands_;  // by machine
  std::unique_ptr<Executor> executor_;           // last: it may still complain
};

}  // namespace evenflow::experiments::monitor
