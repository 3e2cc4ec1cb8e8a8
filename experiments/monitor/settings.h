// What a monitor is told: how it decides, when an alarm is raised, and what it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "io/choice.h"
#include "train/detect/decision.h"

namespace evenflow::experiments::monitor {

/// When a row of clips is an alarm. Times are seconds of sound, so that a clock that is set changes nothing.
struct AlarmRule {
  int raise = 3, of = 5;    ///< raised when so many of the last so many clips are bad
  int clear = 5;            ///< cleared after so many good ones in a row
  double hold_off_s = 300;  ///< after it was raised it is not raised again for so long
};

/// What tells a faulty sensor.
struct SensorLimits {
  double clipped_share = 0.001;  ///< of a clip's values at full scale
  double gap_s = 5;              ///< a live source without sound for so long
  double rate_tolerance = 0.02;  ///< of a live source's rate, either way
};

/// What is reported as a change of the operating point.
enum class Shift { automatic, range, creep, off };

struct MonitorSettings {
  train::DecisionRequest decision;
  AlarmRule alarm;
  SensorLimits sensor;
  Shift shift = Shift::automatic;
  bool windows = false;   ///< a line for each window as well
  bool json = false;      ///< lines of JSON
  bool existing = false;  ///< recordings that lie in a folder at the start are clips too
  std::string exec;       ///< run by the shell on an alarm; empty: nothing
  double exec_limit_s = 30;
  std::optional<int> metrics_port;
  std::optional<std::filesystem::path> state;
  bool replace_state = false;  ///< a file that is there and is no state is replaced by one
  double save_s = 10;          ///< the state, at the latest
  int threads = 1;
  std::string device = "cpu";
};

}  // namespace evenflow::experiments::monitor

/// automatic: range, where the model estimates anything.
template <>
inline constexpr auto evenflow::io::choices<evenflow::experiments::monitor::Shift> =
    std::to_array<evenflow::io::Choice<evenflow::experiments::monitor::Shift>>(
        {{evenflow::experiments::monitor::Shift::automatic, "auto"},
         {evenflow::experiments::monitor::Shift::range, "range"},
         {evenflow::experiments::monitor::Shift::creep, "creep"},
         {evenflow::experiments::monitor::Shift::off, "off"}});
