#include "experiments/monitor/state_file.h"

#include <fmt/format.h>

#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

using nlohmann::json;

// 1 knew of a folder the last recording alone; FolderMachine still understands that.
constexpr int version = 2, oldest_version = 1;

}  // namespace

Memories read_state(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    return {};
  }
  const std::string text = io::read_text(file);
  if (text.empty()) {
    return {};
  }
  if (!text.starts_with(state_beginning)) {
    throw io::DataError(fmt::format(
        "'{}' is not the state of a monitor; name another file, or add --force to replace this one", file.string()));
  }
  try {
    const json state = json::parse(text);
    const int found = state.at("version").get<int>();
    if (found < oldest_version || found > version) {
      throw io::DataError(
          fmt::format("'{}' is the state of a newer evenflow's monitor (version {}, and this one reads up to {}); "
                      "monitor with that "
                      "evenflow, or move the state away to begin anew",
                      file.string(), found, version));
    }
    return state.at("machines").get<Memories>();
  } catch (const json::exception& error) {
    throw io::DataError(
        fmt::format("the state '{}' is damaged ({}); move it away to begin anew", file.string(), error.what()));
  }
}

std::vector<std::pair<std::string, std::string>> describe_state(const std::filesystem::path& file) {
  std::vector<std::pair<std::string, std::string>> lines;
  try {
    for (const auto& [name, memory] : read_state(file)) {
      const json& watch = memory.at("watch");
      std::string text = fmt::format("{} clips", watch.at("clips").get<int64_t>());
      for (const auto& [verdict, count] : watch.at("verdicts").items()) {
        text += fmt::format(", {} {}", count.get<int64_t>(), verdict);
      }
      for (const auto& [alarm, of_alarm] : watch.at("alarms").items()) {
        text += of_alarm.at("raised").get<bool>() ? fmt::format("; ALARM {}", alarm) : "";
      }
      lines.emplace_back(name, text);
    }
  } catch (const json::exception& error) {
    throw io::DataError(
        fmt::format("the state '{}' is damaged ({}); move it away to begin anew", file.string(), error.what()));
  }
  return lines;
}

void write_state(const std::filesystem::path& file, const Memories& memories) {
  nlohmann::ordered_json state = {{"evenflow", "monitor state"}, {"version", version}, {"machines", memories}};
  io::write_text(file, state.dump() + "\n");
}

}  // namespace evenflow::experiments::monitor
