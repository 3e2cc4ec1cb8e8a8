#include "experiments/monitor/records.h"

#include <fmt/format.h>

#include <cmath>

#include "io/utc_time.h"

namespace evenflow::experiments::monitor {
namespace {

using nlohmann::ordered_json;

ordered_json by_name(const Estimates& estimates) {
  ordered_json out = ordered_json::object();
  for (const Estimate& estimate : estimates) {
    if (estimate.category.empty()) {
      out[estimate.parameter] = estimate.value;
    } else {
      out[estimate.parameter] = estimate.category;
    }
  }
  return out;
}

ordered_json by_name(const std::vector<std::pair<std::string, double>>& values) {
  ordered_json out = ordered_json::object();
  for (const auto& [name, value] : values) {
    out[name] = value;
  }
  return out;
}

std::string words(const Estimates& estimates) {
  std::string out;
  for (const Estimate& estimate : estimates) {
    out += fmt::format("  {} {}", estimate.parameter,
                       estimate.category.empty() ? fmt::format("{:.5g}", estimate.value) : estimate.category);
  }
  return out;
}

std::string words(const std::vector<std::pair<std::string, double>>& values) {
  std::string out;
  for (const auto& [name, value] : values) {
    out += fmt::format("  {} {:.5g}", name, value);
  }
  return out;
}

std::string clock_text() {
  return io::utc_now().substr(11, 8);
}

}  // namespace

ordered_json to_json(const ClipRecord& record) {
  ordered_json line = {{"type", "clip"}, {"time", io::utc_now_ms()}, {"machine", record.machine}};
  if (!record.recording.empty()) {
    line["recording"] = record.recording;
  }
  line["clip"] = record.clip;
  line["start_s"] = record.start_s;
  line["seconds"] = record.seconds;
  line["score_name"] = record.score_name;
  line["score"] = record.score;
  line["threshold"] = record.threshold;
  line["p_value"] = record.p_value;
  line["estimate"] = by_name(record.estimates);
  line["verdict"] = io::name_of(record.verdict);
  line["reason"] = record.reason;
  line["state"] = record.state;
  return line;
}

ordered_json to_json(const WindowRecord& record) {
  return {{"type", "window"},
          {"time", io::utc_now_ms()},
          {"machine", record.machine},
          {"clip", record.clip},
          {"window", record.window},
          {"start_s", record.start_s},
          {"scores", by_name(record.scores)},
          {"estimate", by_name(record.estimates)}};
}

ordered_json to_json(const EventRecord& record) {
  return {{"type", "event"},
          {"time", io::utc_now_ms()},
          {"machine", record.machine},
          {"event", io::name_of(record.event)},
          {"alarm", io::name_of(record.alarm)},
          {"at_s", record.at_s},
          {"text", record.text}};
}

std::string to_text(const ClipRecord& record) {
  std::string line = fmt::format("{}  {}  {}", clock_text(), record.machine,
                                 record.recording.empty() ? fmt::format("clip {}", record.clip) : record.recording);
  if (std::isfinite(record.score)) {
    line += fmt::format("  {} {:.6g} (threshold {:.6g}", record.score_name, record.score, record.threshold);
    line += std::isnan(record.p_value) ? ")" : fmt::format(", p {:.3g})", record.p_value);
  }
  line += words(record.estimates);
  line += fmt::format("  {}", io::name_of(record.verdict));
  return record.reason.empty() ? line : line + ": " + record.reason;
}

std::string to_text(const WindowRecord& record) {
  return fmt::format("{}  {}  clip {} window {}  at {:.2f} s{}{}", clock_text(), record.machine, record.clip,
                     record.window, record.start_s,
                     words(std::vector<std::pair<std::string, double>>{record.scores.front()}),
                     words(record.estimates));
}

std::string to_text(const EventRecord& record) {
  const std::string_view alarm = io::name_of(record.alarm);
  switch (record.event) {
    case EventKind::raised:
      return fmt::format("{}  {}  ALARM {}: {}", clock_text(), record.machine, alarm, record.text);
    case EventKind::cleared:
      return fmt::format("{}  {}  alarm {} cleared: {}", clock_text(), record.machine, alarm, record.text);
    default:
      return fmt::format("{}  {}  note: {}", clock_text(), record.machine, record.text);
  }
}

}  // namespace evenflow::experiments::monitor
