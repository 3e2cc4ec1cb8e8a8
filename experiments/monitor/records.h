// What a monitor says: of clips, of windows, of events; as lines for people or as JSON (docs/formats.md, "Monitor").
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "io/choice.h"

namespace evenflow::experiments::monitor {

/// What a clip was. Undecided: it has no finite score.
enum class Verdict { normal, fault, shift, sensor, undecided };

enum class AlarmKind { fault, shift, sensor };

enum class EventKind { raised, cleared, note };

struct Estimate {
  std::string parameter;
  double value = 0;
  std::string category = {};  ///< what the value stands for, of a parameter whose values are names
};
using Estimates = std::vector<Estimate>;

struct ClipRecord {
  std::string machine;
  std::string recording;  ///< its file, of a folder that is watched
  int64_t clip = 0;       ///< from 1
  double start_s = 0;     ///< of the source's sound
  double seconds = 0;
  std::string score_name;
  double score = 0, threshold = 0, p_value = 0;  ///< NaN: none
  Estimates estimates;
  Verdict verdict = Verdict::normal;
  std::string reason;  ///< why it is not normal
  std::string state;   ///< the machine's, with this clip: the first alarm that is raised, or "normal"
};

struct WindowRecord {
  std::string machine;
  int64_t clip = 0, window = 0;  ///< from 1; of the clip, from 1
  double start_s = 0;
  std::vector<std::pair<std::string, double>> scores;  ///< all that windows have
  Estimates estimates;
};

struct EventRecord {
  std::string machine;
  EventKind event = EventKind::note;
  AlarmKind alarm = AlarmKind::fault;  ///< of a note, what it is about
  double at_s = 0;                     ///< of the source's sound
  std::string text;
};

/// One line each, told at this moment, without its end. A figure that is not finite is null.
nlohmann::ordered_json to_json(const ClipRecord& record);
nlohmann::ordered_json to_json(const WindowRecord& record);
nlohmann::ordered_json to_json(const EventRecord& record);
std::string to_text(const ClipRecord& record);
std::string to_text(const WindowRecord& record);
std::string to_text(const EventRecord& record);

}  // namespace evenflow::experiments::monitor

template <>
inline constexpr auto evenflow::io::choices<evenflow::experiments::monitor::Verdict> =
    std::to_array<evenflow::io::Choice<evenflow::experiments::monitor::Verdict>>(
        {{evenflow::experiments::monitor::Verdict::normal, "normal"},
         {evenflow::experiments::monitor::Verdict::fault, "fault"},
         {evenflow::experiments::monitor::Verdict::shift, "shift"},
         {evenflow::experiments::monitor::Verdict::sensor, "sensor"},
         {evenflow::experiments::monitor::Verdict::undecided, "undecided"}});
template <>
inline constexpr auto evenflow::io::choices<evenflow::experiments::monitor::AlarmKind> =
    std::to_array<evenflow::io::Choice<evenflow::experiments::monitor::AlarmKind>>(
        {{evenflow::experiments::monitor::AlarmKind::sensor, "sensor"},
         {evenflow::experiments::monitor::AlarmKind::fault, "fault"},
         {evenflow::experiments::monitor::AlarmKind::shift, "shift"}});
template <>
inline constexpr auto evenflow::io::choices<evenflow::experiments::monitor::EventKind> =
    std::to_array<evenflow::io::Choice<evenflow::experiments::monitor::EventKind>>(
        {{evenflow::experiments::monitor::EventKind::raised, "raised"},
         {evenflow::experiments::monitor::EventKind::cleared, "cleared"},
         {evenflow::experiments::monitor::EventKind::note, "note"}});
