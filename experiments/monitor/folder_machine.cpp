#include "experiments/monitor/folder_machine.h"

#include <fmt/format.h>

#include <limits>

#include "frontend/audio.h"
#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

namespace fs = std::filesystem;

std::optional<FolderPlace> place_of(const nlohmann::json& memory, bool existing) {
  if (!memory.is_null() && memory.contains("changed_ns")) {
    return FolderPlace{memory.at("changed_ns").get<int64_t>(), memory.at("name").get<std::string>()};
  }
  return existing ? std::optional(FolderPlace{}) : std::nullopt;
}

}  // namespace

FolderMachine::FolderMachine(const io::MonitorSource& source, const MonitorSettings& settings,
                             std::shared_ptr<LoadedModel> model, Listener& listener, const nlohmann::json& memory)
    : Machine(source, settings, listener),
      model_(std::move(model)),
      feed_(source.source, place_of(memory, settings.existing)) {
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

nlohmann::json FolderMachine::source_memory() const {
  return {{"clips", clips_},
          {"samples", samples_},
          {"start_s", start_s_},
          {"changed_ns", feed_.place().changed_ns},
          {"name", feed_.place().name}};
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
  const std::optional<fs::path> recording = feed_.next();
  if (!recording) {
    return false;
  }
  hear(*recording);
  feed_.heard(*recording);
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
