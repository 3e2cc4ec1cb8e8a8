#include "experiments/monitor/stream_machine.h"

#include <fmt/format.h>

#include "io/error.h"

namespace evenflow::experiments::monitor {
namespace {

StreamFormat format_of(const io::MonitorSource& source) {
  StreamFormat format{source_name(source.source), std::nullopt, source.rate_hz, source.channels, source.follow};
  if (source.format.empty()) {
    return format;
  }
  format.sample = io::value_of<frontend::SampleFormat>(source.format);
  if (!format.sample) {
    throw io::UsageError(fmt::format("format = \"{}\" of {} is not allowed: it must be {}", source.format, source.name,
                                     io::names_text<frontend::SampleFormat>(", ")));
  }
  return format;
}

}  // namespace

StreamMachine::StreamMachine(const io::MonitorSource& source, const MonitorSettings& settings,
                             std::shared_ptr<LoadedModel> model, Listener& listener, const nlohmann::json& memory)
    : Machine(source, settings, listener),
      feed_(source.source, source.follow),
      cutter_(format_of(source), std::move(model), source.clip_s, settings.sensor) {
  visitor_.windows = [this](int64_t first) { watch_.hear_windows(cutter_.model(), cutter_, first); };
  visitor_.clip = [this](const HeardClip& clip) { watch_.hear(cutter_.model(), clip); };
  if (!memory.is_null()) {
    remember(memory);
  }
}

/// What a file gained since is heard; what a pipe carried meanwhile is gone.
void StreamMachine::remember(const nlohmann::json& memory) {
  samples_before_ = memory.at("samples").get<int64_t>();
  cutter_.count_on(memory.at("clips").get<int64_t>(), memory.at("start_s").get<double>(), samples_before_);
  if (!feed_.is_file() || !memory.contains("place")) {
    return;
  }
  const nlohmann::json& place = memory.at("place");
  const FilePlace left{place.at("device").get<uint64_t>(), place.at("inode").get<uint64_t>(),
                       place.at("position").get<uint64_t>()};
  if (!feed_.resume(left)) {
    watch_.note(AlarmKind::sensor, fmt::format("{} is another file than the state tells of; it is heard from its "
                                               "beginning",
                                               source_name(source_.source)));
    return;
  }
  const auto sample = io::value_of<frontend::SampleFormat>(place.at("format").get<std::string>());
  if (!sample) {
    throw io::DataError("the state names a format of samples that is not known");
  }
  const auto sound_left =
      place.contains("sound_left") ? std::optional(place.at("sound_left").get<uint64_t>()) : std::nullopt;
  goes_on_ = true;
  cutter_.skip_to({*sample, place.at("rate_hz").get<int>(), place.at("channels").get<int>()}, left.position,
                  sound_left);
}

nlohmann::json StreamMachine::source_memory() const {
  const int64_t unfinished = cutter_.unfinished_samples();
  nlohmann::json memory = {{"clips", cutter_.clip_number() - 1},
                           {"start_s", cutter_.clip_start_s()},
                           {"samples", cutter_.samples() - unfinished}};
  if (feed_.is_file() && cutter_.knows_format()) {
    const FilePlace place = feed_.place();
    memory["place"] = {{"device", place.device},
                       {"inode", place.inode},
                       {"position", cutter_.whole_bytes()},
                       {"format", io::name_of(cutter_.pcm().sample)},
                       {"rate_hz", cutter_.pcm().rate_hz},
                       {"channels", cutter_.pcm().channels}};
    if (const std::optional<uint64_t> left = cutter_.left_behind_whole()) {
      memory["place"]["sound_left"] = *left;
    }
  }
  return memory;
}

bool StreamMachine::take() {
  switch (feed_.read(bytes_)) {
    case ByteFeed::State::data:
      hear(bytes_);
      return true;
    case ByteFeed::State::waiting:
      watch_clock(0);
      return false;
    case ByteFeed::State::ended:
      end();
      return false;
    case ByteFeed::State::gone:
      note_unheard();
      lose(cutter_.begin_anew());
      clock_.reset();
      watch_.sensor_fault(fmt::format("{} has gone; it is waited for", source_name(source_.source)));
      return false;
    case ByteFeed::State::anew:
      note_unheard();
      lose(cutter_.begin_anew());
      watch_.note(AlarmKind::sensor, fmt::format("{} is there again", source_name(source_.source)));
      return true;
  }
  return false;
}

void StreamMachine::hear(const std::string& bytes) {
  if (clock_ && clock_->in_gap()) {
    lose(cutter_.drop_clip());  // what comes now does not join on to it
  }
  const int64_t before = cutter_.samples();
  cutter_.take(bytes, visitor_);
  watch_clock(cutter_.samples() - before);
  if (cutter_.at_end() && !feed_.goes_on()) {
    end();
  }
}

void StreamMachine::watch_clock(int64_t arrived) {
  if (!source_.live || !cutter_.knows_format()) {
    return;
  }
  if (!clock_) {
    clock_.emplace(cutter_.pcm().rate_hz, settings_.sensor);
  }
  const auto now = std::chrono::steady_clock::now();
  const int64_t missing = clock_->missing();
  const std::string fault = arrived > 0 ? clock_->arrived(arrived, now) : clock_->gap(now);
  lost_ += clock_->missing() - missing;
  if (!fault.empty()) {
    watch_.sensor_fault(fault);
  }
}

void StreamMachine::lose(int64_t samples) {
  lost_ += samples;
  if (samples > 0) {
    watch_.note(AlarmKind::sensor, fmt::format("{} samples of an unfinished clip were not scored", samples));
  }
}

/// Chunks of a few bytes may follow the sound of a WAV file; more is sound that its header did not tell of.
void StreamMachine::note_unheard() {
  constexpr uint64_t chunks = 4096;
  if (cutter_.bytes_behind() > chunks) {
    watch_.note(AlarmKind::sensor,
                fmt::format("at least {} bytes behind the sound that its WAV header tells of were not "
                            "heard; send recordings one by one, or one header without a length",
                            cutter_.bytes_behind()));
  }
}

void StreamMachine::end() {
  ended_ = true;
  note_unheard();
  if (cutter_.samples() == samples_before_ && !goes_on_) {
    throw io::DataError(
        fmt::format("{} ended before any sound came; look at what should write it", source_name(source_.source)));
  }
  const int64_t rest = cutter_.unfinished_samples();
  if (rest > 0) {
    watch_.note(AlarmKind::sensor, fmt::format("the last {:.2f} s are less than a clip and were not scored",
                                               static_cast<double>(rest) / cutter_.pcm().rate_hz));
  }
}

}  // namespace evenflow::experiments::monitor
