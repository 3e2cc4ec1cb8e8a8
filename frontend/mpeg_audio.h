// MP3 by its frames: libmpg123 reads what a file has of them, and says nothing of what is missing.
#pragma once

#include <filesystem>

#include "frontend/sound_header.h"

namespace evenflow::frontend {

/// Walks the frames of MPEG audio (layers I to III; ISO 11172-3, 13818-3) from the first to the tags at the end. Says
/// nothing of bytes that are no MPEG audio (unless the file is named .mp3), nor of a stream without a fixed bit rate.
/// The library guesses the length of a layer III stream that does not say it, and reads no further: such a one gets a
/// head that does.
///
/// io::DataError with file and second: the file ends within a frame, has fewer frames than its Xing, Info or VBRI
/// header says, something else lies between two frames, or the sound does not match the checksum that LAME and FFmpeg
/// leave in that header. A file without it that is cut between two frames, or changed within one, does not show it.
SoundHeader check_mpeg_audio(const std::filesystem::path& file);

}  // namespace evenflow::frontend
