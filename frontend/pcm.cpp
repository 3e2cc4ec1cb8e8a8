#include "frontend/pcm.h"

#include <fmt/format.h>

#include <bit>

#include "frontend/sound_header.h"
#include "io/error.h"

namespace evenflow::frontend {
namespace {

/// `count` bytes from `at` on, little-endian.
uint32_t little_endian(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

/// A whole number that fills the upper bits: over 2^31 it is the value.
float whole(uint32_t upper_bits) {
  return static_cast<float>(static_cast<int32_t>(upper_bits)) * 0x1p-31f;
}

constexpr uint32_t pcm_tag = 1, float_tag = 3, extensible_tag = 0xfffe;

SampleFormat coding(std::string_view format, const std::string& name) {
  uint32_t tag = little_endian(format, 0, 2);
  const uint32_t bits = little_endian(format, 14, 2);
  if (tag == extensible_tag && format.size() >= 26) {
    tag = little_endian(format, 24, 2);
  }
  if (tag == float_tag && bits == 32) {
    return SampleFormat::f32le;
  }
  if (tag == pcm_tag && (bits == 16 || bits == 24 || bits == 32)) {
    return bits == 16 ? SampleFormat::s16le : bits == 24 ? SampleFormat::s24le : SampleFormat::s32le;
  }
  throw io::DataError(
      fmt::format("{} is a WAV stream of coding {} with {} bits, which cannot be monitored; have it recorded as PCM of "
                  "16, 24 or 32 bits or as 32-bit floats",
                  name, tag, bits));
}

PcmFormat format_of(std::string_view format, const std::string& name) {
  const uint32_t channels = little_endian(format, 2, 2), rate = little_endian(format, 4, 4);
  const SampleFormat sample = coding(format, name);
  if (channels < 1 || little_endian(format, 12, 2) != channels * sample_bytes(sample)) {
    throw io::DataError(
        fmt::format("{} has a damaged WAV header: frames of {} bytes with {} channels; start the "
                    "recorder again",
                    name, little_endian(format, 12, 2), channels));
  }
  if (rate < least_rate_hz || rate > most_rate_hz || channels > most_channels) {
    throw io::DataError(
        fmt::format("{} has {} channels at {} Hz by its WAV header, and only 1 to {} at {} to {} Hz are believable; "
                    "correct the recorder's settings",
                    name, channels, rate, most_channels, least_rate_hz, most_rate_hz));
  }
  return {sample, static_cast<int>(rate), static_cast<int>(channels)};
}

}  // namespace

size_t sample_bytes(SampleFormat format) {
  return format == SampleFormat::s16le ? 2 : format == SampleFormat::s24le ? 3 : 4;
}

void decode_pcm(std::string_view bytes, SampleFormat format, std::vector<float>& out) {
  const size_t width = sample_bytes(format);
  for (size_t at = 0; at + width <= bytes.size(); at += width) {
    const uint32_t value = little_endian(bytes, at, width);
    out.push_back(format == SampleFormat::f32le ? std::bit_cast<float>(value) : whole(value << 8 * (4 - width)));
  }
}

float full_scale(SampleFormat format) {
  switch (format) {
    case SampleFormat::s16le:
      return 1.0f - 0x1p-15f;
    case SampleFormat::s24le:
      return 1.0f - 0x1p-23f;
    default:
      return 1.0f;
  }
}

bool begins_wav(std::string_view beginning) {
  return beginning.size() >= 12 && (beginning.starts_with("RIFF") || beginning.starts_with("RF64")) &&
         beginning.substr(8, 4) == "WAVE";
}

std::optional<WavHeader> parse_wav_header(std::string_view beginning, const std::string& name) {
  constexpr size_t first_chunk = 12, chunk_head = 8, longest = 64 * 1024, least_format = 16;
  if (beginning.size() < first_chunk) {
    return std::nullopt;
  }
  if (!begins_wav(beginning)) {
    throw io::DataError(fmt::format("{} does not begin with a WAV header", name));
  }
  std::optional<PcmFormat> format;
  std::optional<uint64_t> wide_size;
  for (size_t at = first_chunk; at + chunk_head <= beginning.size();) {
    const std::string_view chunk = beginning.substr(at, 4);
    const uint64_t size = little_endian(beginning, at + 4, 4);
    const size_t begin = at + chunk_head;
    if (chunk == "data") {
      if (!format) {
        throw io::DataError(fmt::format("{} has a WAV header that does not tell its format", name));
      }
      const bool wide = wide_size && size == 0xffffffff;
      const uint64_t said = wide ? *wide_size : size;
      const uint64_t frame = sample_bytes(format->sample) * static_cast<uint64_t>(format->channels);
      WavHeader header{*format, begin};
      if (!is_placeholder(said / frame * frame, wide)) {
        header.sound_bytes = said / frame * frame;
      }
      return header;
    }
    if (begin + size > longest) {
      throw io::DataError(fmt::format("{} has a WAV header without sound in its first 64 KiB", name));
    }
    if (begin + size > beginning.size()) {
      return std::nullopt;
    }
    if (chunk == "fmt " && size >= least_format) {
      format = format_of(beginning.substr(begin, size), name);
    } else if (chunk == "ds64" && size >= 16) {
      wide_size = uint64_t{little_endian(beginning, begin + 12, 4)} << 32 | little_endian(beginning, begin + 8, 4);
    }
    at = begin + size + size % 2;
  }
  return std::nullopt;
}

}  // namespace evenflow::frontend
