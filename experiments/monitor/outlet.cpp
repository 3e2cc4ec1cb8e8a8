#include "experiments/monitor/outlet.h"

#include <fmt/format.h>

#include "io/error.h"
#include "io/standard_output.h"
#include "io/text.h"
#include "io/utc_time.h"

namespace evenflow::experiments::monitor {
namespace {

std::string line_of(const nlohmann::ordered_json& record) {
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

Outlet::Outlet(const MonitorSettings& settings, const std::vector<io::MonitorSource>& sources) : json_(settings.json) {
  for (const io::MonitorSource& source : sources) {
    const std::string& command = source.exec.empty() ? settings.exec : source.exec;
    if (!command.empty()) {
      commands_[source.name] = command;
    }
  }
  if (!commands_.empty()) {
    executor_ =
        std::make_unique<Executor>(settings.exec_limit_s, [this](const std::string& sentence) { complain(sentence); });
  }
}

void Outlet::write(const std::string& line) {
  const std::lock_guard lock(mutex_);
  try {
    io::write_to_standard_output(line);
  } catch (const io::DataError&) {
    gone_ = true;
    throw;
  }
}

/// From the thread of the commands, where nobody could catch it that standard output is gone; the next line tells.
void Outlet::complain(const std::string& sentence) {
  try {
    say(sentence);
  } catch (const io::DataError&) {
    gone_ = true;
  }
}

void Outlet::say(const ClipRecord& record) {
  write(json_ ? line_of(to_json(record)) : io::escaped(to_text(record)) + "\n");
}

void Outlet::say(const WindowRecord& record) {
  write(json_ ? line_of(to_json(record)) : io::escaped(to_text(record)) + "\n");
}

void Outlet::say(const EventRecord& record) {
  write(json_ ? line_of(to_json(record)) : io::escaped(to_text(record)) + "\n");
  if (record.event == EventKind::note) {
    return;
  }
  alarm_changed_ = true;
  run_command(record);
}

void Outlet::say(const std::string& sentence) {
  const nlohmann::ordered_json line = {{"type", "note"}, {"time", io::utc_now_ms()}, {"text", sentence}};
  write(json_ ? line_of(line) : fmt::format("note: {}\n", io::escaped(sentence)));
}

void Outlet::run_command(const EventRecord& record) {
  const auto command = commands_.find(record.machine);
  if (command == commands_.end()) {
    return;
  }
  executor_->give({command->second,
                   {{"EVENFLOW_MACHINE", record.machine},
                    {"EVENFLOW_EVENT", std::string(io::name_of(record.event))},
                    {"EVENFLOW_ALARM", std::string(io::name_of(record.alarm))},
                    {"EVENFLOW_TEXT", record.text}},
                   line_of(to_json(record))});
}

}  // namespace evenflow::experiments::monitor
