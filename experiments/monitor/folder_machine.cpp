#include "experiments/monitor/folder_machine.h"

#include <fmt/format.h>

#include <tuple>
#include <vector>

#include "frontend/audio.h"
#include "io/error.h"
#include "io/text.h"

namespace evenflow::experiments::monitor {
namespace {

namespace fs = std::filesystem;

using nlohmann::json;

/// JSON has no text for a name that is not UTF-8: its bytes.
json name_to_memory(const std::string& name) {
  return io::is_utf8(name) ? json(name) : json(std::vector<uint8_t>(name.begin(), name.end()));
}

std::string name_from_memory(const json& name) {
  if (name.is_string()) {
    return name.get<std::string>();
  }
  const auto bytes = name.get<std::vector<uint8_t>>();
  return {bytes.begin(), bytes.end()};
}

/// States of version 1 knew the last recording alone: those that were changed before it, or with it and stand in front
/// of it by name, were heard.
RecordingMarks heard_until(const fs::path& folder, int64_t changed_ns, const std::string& name) {
  RecordingMarks marks = recordings_in(folder);
  std::erase_if(marks, [&](const auto& entry) {
    return std::tie(changed_ns, name) < std::tie(entry.second.changed_ns, entry.first);
  });
  return marks;
}

std::optional<RecordingMarks> heard_before(const io::MonitorSource& source, bool existing, const json& memory) {
  if (!memory.is_null() && memory.contains("heard")) {
    RecordingMarks marks;
    for (const json& entry : memory.at("heard")) {
      marks[name_from_memory(entry.at(0))] = {entry.at(1).get<uint64_t>(), entry.at(2).get<uint64_t>(),
                                              entry.at(3).get<int64_t>()};
    }
    return marks;
  }
  if (!memory.is_null() && memory.contains("changed_ns")) {
    return heard_until(source.source, memory.at("changed_ns").get<int64_t>(), memory.at("name").get<std::string>());
  }
  return existing ? std::optional(RecordingMarks{}) : std::nullopt;
}

}  // namespace

FolderMachine::FolderMachine(const io::MonitorSource& source, const MonitorSettings& settings,
                             std::shared_ptr<LoadedModel> model, Listener& listener, const nlohmann::json& memory)
    : Machine(source, settings, listener),
      model_(std::move(model)),
      feed_(source.source, heard_before(source, settings.existing, memory)) {
  if (!source.format.empty() || source.rate_hz != 0 || source.channels != 0) {
    throw io::UsageError(
        fmt::format("'{}' is a folder: its recordings tell their own format; leave --format, --rate and --channels out",
                    source.source));
  }
  if (!memory.is_null()) {
    clips_ = memory.at("clips").get<int64_t>();
    samples_ = memory.at("samples").get<int64_t>();
    start_s_ = memory.at("start_s").get<double>();
  }
}

json FolderMachine::source_memory() const {
  json heard = json::array();
  for (const auto& [name, mark] : feed_.heard()) {
    heard.push_back({name_to_memory(name), mark.inode, mark.bytes, mark.changed_ns});
  }
  return {{"clips", clips_}, {"samples", samples_}, {"start_s", start_s_}, {"heard", std::move(heard)}};
}

bool FolderMachine::take() {
  if (feed_.descriptor() < 0) {
    if (!feed_.look_again()) {
      return false;
    }
    watch_.note(AlarmKind::sensor, fmt::format("the folder '{}' is there again", source_.source));
  } else if (!feed_.look()) {
    watch_.sensor_fault(fmt::format("the folder '{}' has gone; it is waited for", source_.source));
    return false;
  }
  if (const std::optional<std::string> subfolder = feed_.subfolder()) {
    watch_.note(AlarmKind::sensor,
                fmt::format("'{}' has subfolders, such as '{}', which are not heard; give each as a source of its own",
                            source_.source, *subfolder));
  }
  const std::optional<fs::path> recording = feed_.next();
  if (!recording) {
    return false;
  }
  hear(*recording);
  feed_.hear();
  return true;
}

void FolderMachine::hear(const fs::path& recording) {
  HeardClip heard;
  heard.number = ++clips_;
  heard.start_s = start_s_;
  try {
    const frontend::Audio audio = frontend::read_audio(recording, model_->frontend());
    heard.seconds = static_cast<double>(audio.samples.size()) / model_->frontend().sample_rate_hz;
    samples_ += static_cast<int64_t>(audio.samples.size());
    SoundCheck check(1.0f - 0x1p-15f);
    check.add(audio.samples);
    heard.sensor_fault = check.fault(settings_.sensor);
    io::Clip clip;
    clip.path = recording;
    heard.score = model_->detector.score(
        clip, frontend::clip_features(recording, audio.samples, model_->frontend(), model_->transform));
    if (heard.score->silent && heard.sensor_fault.empty()) {
      heard.sensor_fault = "silence: nothing in it varies";
    }
  } catch (const io::DataError& error) {
    heard.sensor_fault = error.what();
  }
  start_s_ += heard.seconds;
  watch_.hear(*model_, heard, recording.string());
}

}  // namespace evenflow::experiments::monitor
