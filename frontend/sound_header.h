// How long a sound file says it is, against what it holds. Recorders that write to a pipe, or were stopped, leave
// headers that lie; libsndfile reads too little of some such files, and too little of truncated ones without a word.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace evenflow::frontend {

inline constexpr char more_than_promised[] = "with more sound than the header promises, all of which was read";

struct SoundHeader {
  std::string note;             ///< "without a length ..., read to the end of the file"; empty: nothing to say
  std::string head;             ///< what to read in place of the bytes before `begin`; empty: the file as it is
  uint64_t begin = 0, end = 0;  ///< the bytes to read behind `head`
  int64_t promised_frames = 0;  ///< by a header that `head` leaves them out of; 0: the library knows
};

/// Looks at the headers of WAV (RIFF, RIFX, RF64), W64, AIFF, CAF, FLAC and OGG, and at the frames of MP3
/// (mpeg_audio.h); what else there is, the library knows. docs/formats.md, "Recordings", says which sizes are taken for
/// a recorder's placeholder. io::DataError: no such file, not readable, empty, or truncated (the header promises a
/// plausible size that is not there).
SoundHeader check_header(const std::filesystem::path& file);

/// Is it one of the sizes that recorders write before they know better? 0, or what a signed or an unsigned number can
/// just hold, less their headers and roundings. A field of 64 bits (`wide`) holds about 2^31 or 2^32 as readily as any
/// other size.
bool is_placeholder(uint64_t size, bool wide);

/// `cure`: what else may help, behind "copy it again or leave it out".
[[noreturn]] void throw_truncated(const std::filesystem::path& file, const std::string& how,
                                  const std::string& cure = {});

/// Of sound that is believed: resampled from a smaller rate, a small file would take gigabytes.
inline constexpr int least_rate_hz = 1000, most_rate_hz = 1'000'000;
/// io::DataError unless the rate lies between them.
void require_believable_rate(const std::filesystem::path& file, uint64_t rate_hz);

}  // namespace evenflow::frontend
