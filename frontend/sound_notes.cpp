#include "frontend/sound_notes.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/dcase.h"
#include "io/text.h"

namespace evenflow::frontend {
namespace {

std::string recordings(size_t count) {
  return count == 1 ? "1 recording" : fmt::format("{} recordings", count);
}

}  // namespace

void SoundNotes::add(const std::filesystem::path& file, const SoundSource& source, bool silent) {
  const std::string name = file.string();
  if (!source.note.empty()) {
    by_note_[source.note].push_back(name);
  }
  if (source.rate_hz != settings_.sample_rate_hz) {
    by_rate_[source.rate_hz].push_back(name);
  }
  ++by_channels_[source.channels];
  if (source.channels > 1 && io::parse_dcase_name(file.stem().string())) {
    dcase_ = true;
  }
  add_frames(file, silent);
}

void SoundNotes::add_frames(const std::filesystem::path& clip, bool silent) {
  if (silent) {
    silent_.push_back(clip.string());
  }
}

std::string SoundNotes::channels_line() const {
  if (by_channels_.empty() || by_channels_.rbegin()->first < 2) {
    return {};
  }
  std::string counts;
  for (const auto& [channels, count] : by_channels_) {
    const std::string files = recordings(static_cast<size_t>(count));
    counts += fmt::format("{}{} {} {}", counts.empty() ? "" : ", ", files, count == 1 ? "has" : "have",
                          channels == 1 ? "1 channel" : fmt::format("{} channels", channels));
  }
  const bool mean = settings_.channel == "mean";
  std::string text = fmt::format(
      "note: {}: {}", counts,
      mean ? "the mean of a recording's channels was taken" : "channel " + settings_.channel + " was taken");
  if (of_model_) {
    return text + ", as in the model's training";
  }
  text += mean ? "; --frontend.channel 0 takes the first alone" : "; --frontend.channel mean takes the mean of all";
  if (mean && dcase_) {
    text += ", as DCASE's baseline does (2026: the microphone near the machine)";
  }
  return text;
}

std::string SoundNotes::rates_line(bool lower) const {
  std::vector<std::string> names;
  std::vector<int> rates;
  for (const auto& [rate, files] : by_rate_) {
    if ((rate < settings_.sample_rate_hz) != lower) {
      continue;
    }
    names.insert(names.end(), files.begin(), files.end());
    rates.push_back(rate);
  }
  if (rates.empty()) {
    return {};
  }
  const std::string at =
      rates.size() == 1 ? fmt::format("{} Hz", rates.front()) : fmt::format("{} to {} Hz", rates.front(), rates.back());
  const std::string what = fmt::format("{} at {} {} resampled to {} Hz", recordings(names.size()), at,
                                       names.size() == 1 ? "was" : "were", settings_.sample_rate_hz);
  if (!lower) {
    return fmt::format("note: {}: {}", what, io::first_names(names));
  }
  return fmt::format("warning: {}, and bands above {:g} Hz are empty in {}: {}", what, rates.front() / 2.0,
                     names.size() == 1 ? "it" : "them", io::first_names(names));
}

std::vector<std::string> SoundNotes::lines() const {
  std::vector<std::string> lines;
  for (const auto& [note, names] : by_note_) {
    lines.push_back(fmt::format("note: {} {}: {}", recordings(names.size()), note, io::first_names(names)));
  }
  for (const std::string& line : {channels_line(), rates_line(false), rates_line(true)}) {
    if (!line.empty()) {
      lines.push_back(line);
    }
  }
  if (!silent_.empty()) {
    lines.push_back(fmt::format("warning: {} {} silent or never {}: {}", recordings(silent_.size()),
                                silent_.size() == 1 ? "is" : "are", silent_.size() == 1 ? "varies" : "vary",
                                io::first_names(silent_)));
  }
  return lines;
}

}  // namespace evenflow::frontend
