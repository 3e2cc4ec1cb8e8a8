// Which files are recordings, by the ending of their names: one list for arguments, folders and manifests.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

namespace evenflow::io {

/// The endings that are read, in lower case.
inline constexpr std::array<std::string_view, 11> audio_endings = {".wav",  ".flac", ".ogg",  ".oga", ".opus", ".w64",
                                                                   ".aiff", ".aif",  ".aifc", ".caf", ".mp3"};

/// The formats behind them, for a sentence. libsndfile reads MP3 from 1.1, Opus from 1.0.29 on.
inline constexpr char audio_formats[] = "WAV, FLAC, OGG, Opus, W64, AIFF, CAF or MP3";

/// A name's ending with its dot, in lower case: ".wav" of A.WAV, empty of "a" and of ".wav".
std::string ending_of(const std::filesystem::path& file);

/// True if the name has one of the endings above, in any case, and is not hidden.
bool is_audio(const std::filesystem::path& file);

/// The endings for a sentence: ".wav, .flac, ...".
std::string audio_endings_text();

}  // namespace evenflow::io
