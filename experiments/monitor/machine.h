// A machine that is monitored: its source, its model and what was heard of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "experiments/monitor/watch.h"
#include "io/sources_file.h"

namespace evenflow::experiments::monitor {

/// For metrics.
struct MachineStatus {
  std::string name;
  Counts counts;
  ClipRecord last;      ///< clip 0: none yet
  int64_t samples = 0;  ///< heard, per channel
  int64_t lost = 0;     ///< of clips that were broken off, and missing by the clock
  std::map<AlarmKind, Alarm::Memory> alarms;
  bool ended = false;
};

/// One thread steps a machine; others may ask for its memory and status at any time.
class Machine {
 public:
  virtual ~Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// A stream, or a folder of recordings. Throws what its source, Cutter and format throw. `memory`: of an earlier
  /// monitor; null: none. io::DataError: it is damaged.
  static std::unique_ptr<Machine> make(const io::MonitorSource& source, const MonitorSettings& settings,
                                       std::shared_ptr<LoadedModel> model, Listener& listener,
                                       const nlohmann::json& memory);

  /// To be polled; -1: step now and then.
  virtual int descriptor() const = 0;
  /// Takes what has come, a block or a recording at most; false if there was nothing. io::DataError: the stream cannot
  /// be understood.
  bool step();
  /// From the next clip on.
  void set_model(std::shared_ptr<LoadedModel> model);
  /// Ends it, for a reason that is said.
  void fail(const std::string& why);
  bool ended() const { return ended_; }
  const io::MonitorSource& source() const { return source_; }

  nlohmann::json memory() const;
  MachineStatus status() const;

 protected:
  Machine(const io::MonitorSource& source, const MonitorSettings& settings, Listener& listener);
  // All called with mutex_ held.
  virtual bool take() = 0;
  virtual void take_model(std::shared_ptr<LoadedModel> model) = 0;
  virtual nlohmann::json source_memory() const = 0;
  virtual int64_t samples() const = 0;

  io::MonitorSource source_;
  MonitorSettings settings_;
  Watch watch_;
  int64_t lost_ = 0;
  bool ended_ = false;

 private:
  static std::unique_ptr<Machine> make_with_memory(const io::MonitorSource& source, const MonitorSettings& settings,
                                                   std::shared_ptr<LoadedModel> model, Listener& listener,
                                                   const nlohmann::json& memory);
  mutable std::mutex mutex_;
};

}  // namespace evenflow::experiments::monitor
