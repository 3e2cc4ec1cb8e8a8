#include "experiments/sweep/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string_view>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array kinds = std::to_array<io::Choice<EventKind>>({{EventKind::trial, "trial"},
                                                                   {EventKind::start, "start"},
                                                                   {EventKind::done, "done"},
                                                                   {EventKind::ended, "ended"},
                                                                   {EventKind::failed, "failed"},
                                                                   {EventKind::retry, "retry"}});

std::string_view name_of_kind(EventKind kind) {
  return std::find_if(kinds.begin(), kinds.end(), [&](const auto& known) { return known.value == kind; })->name;
}

std::string to_line(const Event& event) {
  json line = {{"event", name_of_kind(event.kind)}, {"trial", event.trial}, {"time", event.time}};
  if (event.kind == EventKind::trial) {
    line["index"] = event.index;
    line["hash"] = event.hash;
    line["values"] = event.values;
    return line.dump() + "\n";
  }
  line["seed"] = event.seed;
  line["rung"] = event.rung;
  if (event.kind == EventKind::start) {
    line["attempt"] = event.attempt;
    line["where"] = event.where;
  } else if (event.kind == EventKind::done) {
    line["objectives"] = event.objectives;  // NaN is written as null
  } else {
    line["why"] = event.why;
  }
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Event parse(const json& line) {
  Event event;
  const auto name = line.at("event").get<std::string>();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& known) { return known.name == name; });
  if (kind == kinds.end()) {
    throw io::DataError("an event '" + name + "'");
  }
  event.kind = kind->value;
  event.trial = line.at("trial").get<int64_t>();
  event.time = line.at("time").get<double>();
  if (event.kind == EventKind::trial) {
    event.index = line.at("index").get<int64_t>();
    event.hash = line.at("hash").get<std::string>();
    event.values = line.at("values").get<Values>();
    return event;
  }
  event.seed = line.at("seed").get<uint64_t>();
  event.rung = line.at("rung").get<int64_t>();
  event.attempt = line.value("attempt", int64_t{0});
  event.where = line.value("where", "");
  event.why = line.value("why", "");
  if (const auto objectives = line.find("objectives"); objectives != line.end()) {
    for (const json& value : *objectives) {
      event.objectives.push_back(value.is_null() ? std::nan("") : value.get<double>());
    }
  }
  return event;
}

std::string contents(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw io::DataError("cannot read '" + file.string() + "': " + std::strerror(errno));
  }
  std::string text;
  std::array<char, 16384> buffer;
  ssize_t count = 0;
  while ((count = ::read(descriptor, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  ::close(descriptor);
  return text;
}

void read_lines(const fs::path& file, std::vector<Event>& events) {
  const std::string text = contents(file);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos || text[begin] == '\0') {
      return;
    }
    try {
      events.push_back(parse(json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                         text.begin() + static_cast<std::ptrdiff_t>(end))));
    } catch (const std::exception& error) {
      throw io::DataError(
          fmt::format("'{}' is no part of a sweep's journal ({}); move it away", file.string(), error.what()));
    }
    begin = end + 1;
  }
}

/// The number of a file of the journal; none of another file.
std::optional<int64_t> number_of(const fs::path& file) {
  const std::string stem = file.stem().string();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  if (file.extension() != ".jsonl" || error != std::errc() || end != stem.data() + stem.size()) {
    return std::nullopt;
  }
  return number;
}

[[noreturn]] void cannot_write(const fs::path& file, int error) {
  throw io::DataError(fmt::format("cannot write '{}': {}; free some space, and the same command goes on", file.string(),
                                  std::strerror(error)));
}

}  // namespace

void write_quickly(const fs::path& file, const std::string& text) {
  const fs::path next = file.parent_path() / (".next-" + file.filename().string());
  const int descriptor = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    cannot_write(file, errno);
  }
  int error = 0;
  for (size_t written = 0; written < text.size() && error == 0;) {
    const ssize_t count = ::write(descriptor, text.data() + written, text.size() - written);
    if (count < 0 && errno != EINTR) {
      error = errno;
    } else if (count > 0) {
      written += static_cast<size_t>(count);
    }
  }
  if (::close(descriptor) != 0 && error == 0) {
    error = errno;  // where a network file system tells of a full disk
  }
  if (error == 0 && ::rename(next.c_str(), file.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    ::unlink(next.c_str());
    cannot_write(file, error);
  }
}

std::vector<Event> Journal::read() {
  std::vector<std::pair<int64_t, fs::path>> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (const auto number = number_of(entry.path()); number && *number > last_) {
      files.emplace_back(*number, entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Event> events;
  for (const auto& [number, file] : files) {
    read_lines(file, events);
    last_ = number;
  }
  return events;
}

void Journal::flush() {
  if (unwritten_.empty()) {
    return;
  }
  io::make_folder(folder_);
  std::string text;
  for (const Event& event : unwritten_) {
    text += to_line(event);
  }
  write_quickly(folder_ / fmt::format("{:08}.jsonl", last_ + 1), text);
  ++last_;
  unwritten_.clear();
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace evenflow::experiments
