// What a monitor remembers when it is started again.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/atomic_file.h"

namespace evenflow::experiments::monitor {

/// By the machine's name.
using Memories = std::map<std::string, nlohmann::json>;

/// Empty if there is no such file, or nothing in it. io::DataError: it is no state of a monitor's, damaged, or of a
/// newer version.
Memories read_state(const std::filesystem::path& file);
/// Atomically; io::DataError names the system's reason.
void write_state(const std::filesystem::path& file, const Memories& memories);
/// What stands in it, a line for each machine: its name, and what was heard of it. io::DataError as read_state.
std::vector<std::pair<std::string, std::string>> describe_state(const std::filesystem::path& file);
inline constexpr std::string_view state_beginning = "{\"evenflow\":\"monitor state\"";
/// Is it a state by its first bytes?
inline bool is_state(const std::filesystem::path& file) {
  return io::read_beginning(file).starts_with(state_beginning);
}

}  // namespace evenflow::experiments::monitor
