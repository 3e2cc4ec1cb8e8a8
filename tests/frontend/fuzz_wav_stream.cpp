// Any bytes as the beginning of a WAV stream are a header that is believed, a wait for more, or a DataError; and what a
// header's sound decodes to lies within full scale.
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "frontend/pcm.h"
#include "frontend/sound_header.h"
#include "io/error.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void require_believable(const frontend::WavHeader& header, size_t bytes) {
  const frontend::PcmFormat& format = header.format;
  require(header.bytes <= bytes && format.channels >= 1 && format.channels <= frontend::most_channels);
  require(format.rate_hz >= frontend::least_rate_hz && format.rate_hz <= frontend::most_rate_hz);
  const uint64_t frame = frontend::sample_bytes(format.sample) * static_cast<uint64_t>(format.channels);
  require(header.sound_bytes.value_or(0) % frame == 0);
}

void require_within_full_scale(std::string_view sound, frontend::SampleFormat format) {
  std::vector<float> values;
  frontend::decode_pcm(sound, format, values);
  require(values.size() == sound.size() / frontend::sample_bytes(format));
  for (const float value : values) {
    require(format == frontend::SampleFormat::f32le || (value >= -1.0f && value <= frontend::full_scale(format)));
  }
}

}  // namespace

bool reads(std::string_view input) {
  try {
    const std::optional<frontend::WavHeader> header = frontend::parse_wav_header(input, "stream");
    if (!header) {
      return false;
    }
    require_believable(*header, input.size());
    require_within_full_scale(input.substr(header->bytes), header->format.sample);
    // A stream comes in pieces: the header alone says the same, and a byte less asks for more.
    const std::optional<frontend::WavHeader> alone =
        frontend::parse_wav_header(input.substr(0, header->bytes), "stream");
    require(alone && alone->format == header->format && alone->bytes == header->bytes &&
            alone->sound_bytes == header->sound_bytes);
    require(!frontend::parse_wav_header(input.substr(0, header->bytes - 1), "stream"));
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
