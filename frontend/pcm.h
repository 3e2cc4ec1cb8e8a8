// Sound as bytes without a file around it: raw PCM, and the header of a WAV stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/choice.h"

namespace evenflow::frontend {

/// Of a stream that is believed; libsndfile reads files of as many.
inline constexpr int most_channels = 1024;

/// Of one value, little-endian; whole numbers are signed.
enum class SampleFormat { s16le, s24le, s32le, f32le };

/// What the bytes of a stream are: frames of one value per channel.
struct PcmFormat {
  SampleFormat sample = SampleFormat::s16le;
  int rate_hz = 0;
  int channels = 1;
  bool operator==(const PcmFormat&) const = default;
};

/// Bytes of one value.
size_t sample_bytes(SampleFormat format);

/// Appends the values of `bytes`, as many as are whole, as read_audio gives them: whole numbers over 2^(bits - 1), so
/// in [-1, 1); floats as they are.
void decode_pcm(std::string_view bytes, SampleFormat format, std::vector<float>& out);

/// The largest value that a recorder can give: 1 - 2^(1 - bits), and 1 of floats. The smallest is -1.
float full_scale(SampleFormat format);

struct WavHeader {
  PcmFormat format;
  size_t bytes = 0;                          ///< of the header: sound begins behind them
  std::optional<uint64_t> sound_bytes = {};  ///< none: the recorder did not know
};

/// Do these first bytes, 12 or more, begin a WAV stream (RIFF or RF64)?
bool begins_wav(std::string_view beginning);

/// Of a stream's first bytes; none: more of them are needed. `name`: of the stream, for errors. io::DataError: not a
/// WAV header, one of a coding that is no format above, a rate or a number of channels beyond belief, or more than 64
/// KiB without sound.
std::optional<WavHeader> parse_wav_header(std::string_view beginning, const std::string& name);

}  // namespace evenflow::frontend

template <>
inline constexpr auto evenflow::io::choices<evenflow::frontend::SampleFormat> =
    std::to_array<evenflow::io::Choice<evenflow::frontend::SampleFormat>>(
        {{evenflow::frontend::SampleFormat::s16le, "s16le"},
         {evenflow::frontend::SampleFormat::s24le, "s24le"},
         {evenflow::frontend::SampleFormat::s32le, "s32le"},
         {evenflow::frontend::SampleFormat::f32le, "f32le"}});
