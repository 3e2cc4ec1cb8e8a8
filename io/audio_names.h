// Which files are recordings, by the ending of their names: one list for arguments, folders and manifests.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

namespace evenflow::io {

/// The endings that are read, in lower case.
inline constexpr std::array<std::string_view, 3> audio_endings = {".wav", ".flac", ".ogg"};

/// A name's ending with its dot, in lower case: ".wav" of A.WAV, empty of "a" and of ".wav".
std::string ending_of(const std::filesystem::path& file);

/// True if the name has one of the endings above, in any case, and is not hidden.
bool is_audio(const std::filesystem::path& file);

/// The endings for a sentence: ".wav, .flac, .ogg".
std::string audio_endings_text();

}  // namespace evenflow::io
