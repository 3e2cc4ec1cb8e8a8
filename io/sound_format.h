// What a file's first bytes say it is, whatever its name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace evenflow::io {

struct SoundFormat {
  std::string name;      ///< "WAV", "MP4 (M4A, AAC)"
  bool is_read = false;  ///< evenflow reads such files (MP3 and Opus: where libsndfile does)
};

/// None if the bytes are of no format of sound or film that is known here, or if this is no file that can be read.
std::optional<SoundFormat> sound_format(const std::filesystem::path& file);

/// True if a file is a recording by its name (audio_names.h), or by its bytes, whatever its name. DataError if by its
/// bytes it is one of a format that is not read.
bool is_recording(const std::filesystem::path& file);

}  // namespace evenflow::io
