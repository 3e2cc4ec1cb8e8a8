#include "frontend/audio.h"

#include <fmt/format.h>
#include <sndfile.h>
#include <soxr.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::frontend {
namespace {

namespace fs = std::filesystem;

struct CloseSound {
  void operator()(SNDFILE* sound) const { sf_close(sound); }
};
using Sound = std::unique_ptr<SNDFILE, CloseSound>;

/// sf_open, one at a time: a failing one writes its reason into buffers that all threads share.
Sound open_sound(const fs::path& file, int mode, SF_INFO& info) {
  static std::mutex opening;
  const std::lock_guard lock(opening);
  return Sound(sf_open(file.c_str(), mode, &info));
}

/// Index of the channel to keep; none: the mean of all.
std::optional<int> wanted_channel(const std::string& channel) {
  if (channel == "mean") return std::nullopt;
  int index = -1;
  const char* end = channel.data() + channel.size();
  const auto [stop, error] = std::from_chars(channel.data(), end, index);
  if (error != std::errc() || stop != end || index < 0) {
    throw io::UsageError(
        fmt::format("frontend.channel = \"{}\" is neither \"mean\" nor the index of a channel, from \"0\"", channel));
  }
  return index;
}

uint64_t little_endian(const char* bytes, int count) {
  uint64_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

[[noreturn]] void truncated(const fs::path& file, const std::string& how) {
  throw io::DataError(fmt::format("'{}' is truncated: {}; copy it again or leave it out", file.string(), how));
}

/// libsndfile reads as much of a short WAV as there is, without a word.
void check_wav_complete(const fs::path& file, std::ifstream& in, uint64_t size) {
  constexpr uint64_t unknown = 0xffffffff;  // what a recorder writing to a pipe leaves
  uint64_t wide_data_size = unknown;
  uint64_t at = 12;
  std::array<char, 24> head{};
  while (at + 8 <= size) {
    in.clear();
    in.seekg(static_cast<std::streamoff>(at));
    in.read(head.data(), static_cast<std::streamsize>(head.size()));
    const std::string_view name(head.data(), 4);
    uint64_t length = little_endian(head.data() + 4, 4);
    if (name == "ds64" && at + 24 <= size) wide_data_size = little_endian(head.data() + 16, 8);
    if (name == "data") {
      if (length == unknown) length = wide_data_size;
      const uint64_t there = size - at - 8;
      if (length != unknown && length > there) {
        truncated(file, fmt::format("its header promises {} bytes of sound, {} are there", length, there));
      }
      return;
    }
    at += 8 + length + length % 2;
  }
}

/// libsndfile takes the last page it finds for the end of an Ogg stream; only a flag in the page tells whether it is.
void check_ogg_complete(const fs::path& file, std::ifstream& in, uint64_t size) {
  constexpr uint64_t longest_page = 27 + 255 + 255 * 255;
  std::string tail(std::min(size, longest_page), '\0');
  in.seekg(static_cast<std::streamoff>(size - tail.size()));
  in.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  const size_t page = tail.rfind("OggS");
  constexpr size_t flags = 5, segments = 26;
  constexpr int end_of_stream = 4;
  bool complete = page != std::string::npos && page + segments < tail.size() && (tail[page + flags] & end_of_stream);
  if (complete) {
    const size_t count = static_cast<unsigned char>(tail[page + segments]);
    size_t length = segments + 1 + count;
    for (size_t i = 0; i < count && page + segments + 1 + i < tail.size(); ++i) {
      length += static_cast<unsigned char>(tail[page + segments + 1 + i]);
    }
    complete = page + length <= tail.size();
  }
  if (!complete) truncated(file, "its Ogg stream has no last page");
}

void check_complete(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) {
    throw io::DataError(fmt::format("there is no file '{}'; mend the path or leave it out", file.string()));
  }
  if (!fs::is_regular_file(status)) throw io::DataError(fmt::format("'{}' is not a file", file.string()));
  std::ifstream in(file, std::ios::binary);
  if (!in) throw io::DataError(fmt::format("cannot read '{}': {}", file.string(), std::strerror(errno)));
  const uint64_t size = fs::file_size(file, error);
  if (error) throw io::DataError(fmt::format("cannot read '{}': {}", file.string(), error.message()));
  if (size == 0) {
    throw io::DataError(fmt::format("'{}' is an empty file; copy it again or leave it out", file.string()));
  }
  std::array<char, 12> head{};
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  const std::string_view magic(head.data(), 4), form(head.data() + 8, 4);
  if ((magic == "RIFF" || magic == "RF64" || magic == "BW64") && form == "WAVE") check_wav_complete(file, in, size);
  if (magic == "OggS") check_ogg_complete(file, in, size);
}

bool all_finite(const float* samples, size_t count) {
  uint32_t bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= (std::bit_cast<uint32_t>(samples[i]) & 0x7f800000u) == 0x7f800000u;
  return bad == 0;
}

[[noreturn]] void not_finite(const fs::path& file, const float* block, size_t count, int64_t first,
                             const SF_INFO& info) {
  const float* bad = std::find_if(block, block + count, [](float x) { return !std::isfinite(x); });
  const int64_t index = first + (bad - block) / info.channels;
  throw io::DataError(
      fmt::format("'{}' has a sample that is {}: index {} ({:.3f} s), channel {}; repair it or leave it out",
                  file.string(), std::isnan(*bad) ? "not a number" : "infinite", index,
                  static_cast<double>(index) / info.samplerate, (bad - block) % info.channels));
}

/// The channel, or the mean of all of them.
void to_mono(const float* block, size_t frames, size_t channels, std::optional<int> channel, float* out) {
  if (channel) {
    const auto index = static_cast<size_t>(*channel);
    for (size_t i = 0; i < frames; ++i) out[i] = block[i * channels + index];
    return;
  }
  for (size_t i = 0; i < frames; ++i) {
    float sum = 0.0f;
    for (size_t c = 0; c < channels; ++c) sum += block[i * channels + c];
    out[i] = sum / static_cast<float>(channels);
  }
}

std::vector<float> resampled(const fs::path& file, const std::vector<float>& samples, int from_hz, int to_hz) {
  const double ratio = static_cast<double>(to_hz) / from_hz;
  std::vector<float> out(static_cast<size_t>(std::ceil(static_cast<double>(samples.size()) * ratio)) + 1);
  const soxr_io_spec_t format = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
  size_t written = 0;
  const soxr_error_t error = soxr_oneshot(from_hz, to_hz, 1, samples.data(), samples.size(), nullptr, out.data(),
                                          out.size(), &written, &format, &quality, &runtime);
  if (error) {
    throw io::DataError(fmt::format("cannot resample '{}' from {} to {} Hz: {}", file.string(), from_hz, to_hz, error));
  }
  out.resize(written);
  return out;
}

}  // namespace

std::vector<float> read_audio(const fs::path& file, const io::FrontendSettings& settings) {
  const std::optional<int> channel = wanted_channel(settings.channel);
  check_complete(file);
  SF_INFO info{};
  const Sound sound = open_sound(file, SFM_READ, info);
  if (!sound) {
    throw io::DataError(
        fmt::format("'{}' is not a sound file that can be decoded; WAV, FLAC or OGG expected", file.string()));
  }
  if (channel && *channel >= info.channels) {
    throw io::DataError(fmt::format("'{}' has no channel {}: it has {}; set frontend.channel to \"mean\" or below {}",
                                    file.string(), *channel, info.channels, info.channels));
  }

  constexpr int64_t block_frames = 16384;
  constexpr int64_t believable_frames = int64_t{1} << 40;  // libsndfile: SF_COUNT_MAX for "unknown"
  const auto channels = static_cast<size_t>(info.channels);
  std::vector<float> several, mono;
  if (channels > 1) several.resize(static_cast<size_t>(block_frames) * channels);
  mono.reserve(static_cast<size_t>(std::clamp<int64_t>(info.frames, 0, 1 << 24) + block_frames));
  int64_t total = 0;
  for (;;) {
    mono.resize(static_cast<size_t>(total + block_frames));
    float* const out = mono.data() + total;
    float* const block = channels > 1 ? several.data() : out;
    const int64_t count = sf_readf_float(sound.get(), block, block_frames);
    if (count <= 0) break;
    const size_t values = static_cast<size_t>(count) * channels;
    if (!all_finite(block, values)) not_finite(file, block, values, total, info);
    if (channels > 1) to_mono(block, static_cast<size_t>(count), channels, channel, out);
    total += count;
  }
  mono.resize(static_cast<size_t>(total));
  if (info.frames > 0 && info.frames < believable_frames && total < info.frames) {
    truncated(file, fmt::format("its header promises {} samples, {} could be decoded", info.frames, total));
  }
  if (sf_error(sound.get()) != SF_ERR_NO_ERROR) {
    throw io::DataError(fmt::format("'{}' is damaged after sample {}: {} copy it again or leave it out", file.string(),
                                    total, sf_strerror(sound.get())));
  }
  if (info.samplerate != settings.sample_rate_hz && !mono.empty()) {
    mono = resampled(file, mono, info.samplerate, settings.sample_rate_hz);
  }
  if (mono.empty()) throw io::DataError(fmt::format("'{}' holds no samples; leave it out", file.string()));
  return mono;
}

void write_wav(const fs::path& file, const std::vector<float>& samples, int sample_rate_hz) {
  constexpr size_t most_samples = (0xffffffff - 64) / 2;  // RIFF counts bytes in 32 bits
  if (samples.size() > most_samples) {
    throw io::DataError(
        fmt::format("cannot write '{}': {} samples are too many for one WAV file", file.string(), samples.size()));
  }
  std::vector<int16_t> pcm(samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    if (std::isnan(samples[i])) {
      throw io::DataError(fmt::format("cannot write '{}': sample {} is not a number", file.string(), i));
    }
    pcm[i] = static_cast<int16_t>(std::lrint(std::clamp(samples[i] * 32768.0f, -32768.0f, 32767.0f)));
  }
  io::AtomicFile atomic(file);
  SF_INFO info{};
  info.samplerate = sample_rate_hz;
  info.channels = 1;
  info.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  Sound sound = open_sound(atomic.temporary(), SFM_WRITE, info);
  if (!sound) throw io::DataError(fmt::format("cannot write '{}'", file.string()));
  const auto count = static_cast<sf_count_t>(pcm.size());
  const bool written = sf_writef_short(sound.get(), pcm.data(), count) == count;
  if (sf_close(sound.release()) != 0 || !written) {
    throw io::DataError(fmt::format("cannot write '{}': is the disk full?", file.string()));
  }
  atomic.commit();
}

}  // namespace evenflow::frontend
