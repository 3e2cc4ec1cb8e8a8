// What is to be said of recordings that were read, in a few lines however many they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "frontend/audio.h"
#include "io/config.h"

namespace evenflow::frontend {

class SoundNotes {
 public:
  /// `of_model`: the settings are a trained model's, and no others can be chosen.
  explicit SoundNotes(const io::FrontendSettings& settings, bool of_model = false)
      : settings_(settings), of_model_(of_model) {}

  /// A recording that was decoded.
  void add(const std::filesystem::path& file, const SoundSource& source, bool silent);
  /// A clip of which only the frames are known.
  void add_frames(const std::filesystem::path& clip, bool silent);

  /// One line for each kind of thing there is to say, each beginning with "note: " or "warning: ": headers that lied,
  /// channels, rates that differ from the settings', silence.
  std::vector<std::string> lines() const;

 private:
  std::string channels_line() const;
  std::string rates_line(bool lower) const;

  io::FrontendSettings settings_;
  bool of_model_;
  std::map<std::string, std::vector<std::string>> by_note_;  // names of files
  std::map<int, std::vector<std::string>> by_rate_;
  std::map<int, int64_t> by_channels_;
  std::vector<std::string> silent_;
  bool dcase_ = false;  // several channels in a file named as in DCASE Task 2
};

}  // namespace evenflow::frontend
