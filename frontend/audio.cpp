#include "frontend/audio.h"

#include <fmt/format.h>
#include <sndfile.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "frontend/channels.h"
#include "frontend/resample.h"
#include "frontend/sound_header.h"
#include "frontend/spliced_file.h"
#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/error.h"
#include "io/sound_format.h"
#include "io/wrapped_file.h"

namespace evenflow::frontend {
namespace {

namespace fs = std::filesystem;

struct CloseSound {
  void operator()(SNDFILE* sound) const { sf_close(sound); }
};
using Sound = std::unique_ptr<SNDFILE, CloseSound>;

constexpr int mpeg = 0x230000;  // SF_FORMAT_MPEG, which older headers lack

/// Of the last failure, without a full stop.
std::string reason_of(SNDFILE* sound) {
  std::string reason = sf_strerror(sound);
  if (reason.ends_with('.')) {
    reason.pop_back();
  }
  return reason;
}

/// sf_open, one at a time: a failing one writes its reason into buffers that all threads share.
Sound open_sound(const fs::path& file, int mode, SF_INFO& info, SplicedFile* spliced, std::string& reason) {
  static std::mutex opening;
  const std::lock_guard lock(opening);
  SF_VIRTUAL_IO access = SplicedFile::access();
  Sound sound(spliced ? sf_open_virtual(&access, mode, &info, spliced) : sf_open(file.c_str(), mode, &info));
  if (!sound) {
    reason = reason_of(nullptr);
  }
  return sound;
}

/// Opened for reading, with what it may read through.
struct OpenSound {
  std::unique_ptr<SplicedFile> spliced;
  Sound sound;
  SF_INFO info{};
};

[[noreturn]] void not_decodable(const fs::path& file, const std::string& reason) {
  if (const std::string wrapping = io::wrapping_of(file); !wrapping.empty()) {
    throw io::DataError(fmt::format("'{}' {}", file.string(), wrapping));
  }
  const std::optional<io::SoundFormat> format = io::sound_format(file);
  if (!format) {
    throw io::DataError(
        fmt::format("'{}' is not a sound file that can be decoded; give {}", file.string(), io::audio_formats));
  }
  if (format->is_read) {
    throw io::DataError(
        fmt::format("'{}' is a {} file that cannot be decoded ({}): damaged, or of a coding that is not read; copy it "
                    "again, convert it to PCM, or leave it out",
                    file.string(), format->name, reason));
  }
  throw io::DataError(
      fmt::format("'{}' has a format ({}) that cannot be decoded here ({}); convert it to WAV or FLAC, or leave it out",
                  file.string(), format->name, reason));
}

OpenSound open_to_read(const fs::path& file, const SoundHeader& header) {
  OpenSound open;
  std::string reason;
  if (!header.head.empty()) {
    open.spliced = std::make_unique<SplicedFile>(file, header.head, header.begin, header.end);
  }
  open.sound = open_sound(file, SFM_READ, open.info, open.spliced.get(), reason);
  if (!open.sound) {
    not_decodable(file, reason);
  }
  require_believable_rate(file, static_cast<uint64_t>(std::max(open.info.samplerate, 0)));
  return open;
}

/// Frames to make room for at once, however many the header promises; few recordings have more in a byte.
int64_t believable_length(const fs::path& file) {
  constexpr int64_t frames_per_byte = 16, most = 1 << 24;
  std::error_code error;
  const uintmax_t bytes = fs::file_size(file, error);
  return error || bytes > most / frames_per_byte ? most : static_cast<int64_t>(bytes) * frames_per_byte;
}

bool all_finite(const float* samples, size_t count) {
  uint32_t bad = 0;
  for (size_t i = 0; i < count; ++i) {
    bad |= (std::bit_cast<uint32_t>(samples[i]) & 0x7f800000u) == 0x7f800000u;
  }
  return bad == 0;
}

/// Of a block of whole frames of which `first` is the first's index.
[[noreturn]] void not_finite(const fs::path& file, const Samples& block, int64_t first) {
  const auto bad = std::find_if(block.values.begin(), block.values.end(), [](float x) { return !std::isfinite(x); });
  const int64_t place = bad - block.values.begin(), index = first + place / block.channels;
  throw io::DataError(
      fmt::format("'{}' has a sample that is {}: index {} ({:.3f} s), channel {}; repair it or leave it out",
                  file.string(), std::isnan(*bad) ? "not a number" : "infinite", index,
                  static_cast<double>(index) / block.rate_hz, place % block.channels));
}

/// Is the wanted channel there?
void require_channel(const fs::path& file, std::optional<int> wanted, int channels) {
  if (wanted && *wanted >= channels) {
    throw io::DataError(fmt::format("'{}' has no channel {}: it has {}; set frontend.channel to \"mean\" or below {}",
                                    file.string(), *wanted, channels, channels));
  }
}

/// Of a sound that the library gave up after so many samples.
[[noreturn]] void not_whole(const fs::path& file, const OpenSound& open, int64_t samples) {
  const double second = static_cast<double>(samples) / open.info.samplerate;
  if (open.spliced && open.spliced->at_end()) {
    throw_truncated(file, fmt::format("it ends within a frame, {:.3f} s from its beginning", second));
  }
  throw io::DataError(
      fmt::format("'{}' is damaged about {:.3f} s from its beginning: {}; copy it again or leave it out", file.string(),
                  second, reason_of(open.sound.get())));
}

std::vector<float> resampled(const fs::path& file, std::span<const float> samples, int from_hz, int to_hz) {
  std::vector<float> out;
  out.reserve(static_cast<size_t>(std::ceil(static_cast<double>(samples.size()) * to_hz / from_hz)) + 1);
  try {
    Resampler resampler(from_hz, to_hz);
    resampler.push(samples, out);
    resampler.finish(out);
  } catch (const io::DataError& error) {
    throw io::DataError(fmt::format("'{}': {}", file.string(), error.what()));
  }
  return out;
}

void require_sound(const fs::path& file, std::span<const float> samples) {
  if (samples.empty()) {
    throw io::DataError(fmt::format("'{}' holds no samples; leave it out", file.string()));
  }
  if (!all_finite(samples.data(), samples.size())) {
    throw io::DataError(fmt::format(
        "'{}' has samples too large to be averaged or resampled; scale it down or leave it out", file.string()));
  }
}

}  // namespace

Audio read_audio(const fs::path& file, const io::FrontendSettings& settings) {
  const std::optional<int> channel = wanted_channel(settings.channel);
  const SoundHeader header = check_header(file);
  const OpenSound open = open_to_read(file, header);
  SNDFILE* const sound = open.sound.get();
  const SF_INFO& info = open.info;
  require_channel(file, channel, info.channels);

  constexpr int64_t block_values = 1 << 18, longest_block = 16384;
  constexpr int64_t believable_frames = int64_t{1} << 40;  // libsndfile: SF_COUNT_MAX for "unknown"
  const auto channels = static_cast<size_t>(info.channels);
  const int64_t block_frames = std::clamp<int64_t>(block_values / info.channels, 1, longest_block);
  std::vector<float> several, mono;
  if (channels > 1) {
    several.resize(static_cast<size_t>(block_frames) * channels);
  }
  mono.reserve(static_cast<size_t>(std::clamp<int64_t>(info.frames, 0, believable_length(file)) + block_frames));
  int64_t total = 0;
  for (;;) {
    mono.resize(static_cast<size_t>(total + block_frames));
    float* const out = mono.data() + total;
    float* const block = channels > 1 ? several.data() : out;
    const int64_t count = sf_readf_float(sound, block, block_frames);
    if (sf_error(sound) != SF_ERR_NO_ERROR) {
      const int64_t whole = total + std::max<int64_t>(count, 0);
      const bool is_said_below = header.promised_frames > 0 && open.spliced->at_end();
      if (!is_said_below && !(header.promised_frames > 0 && whole >= header.promised_frames)) {
        not_whole(file, open, whole);
      }
    }
    if (count <= 0) {
      break;
    }
    const size_t values = static_cast<size_t>(count) * channels;
    if (!all_finite(block, values)) {
      not_finite(file, {{block, values}, info.channels, info.samplerate}, total);
    }
    if (channels > 1) {
      to_mono(block, static_cast<size_t>(count), channels, channel, out);
    }
    total += count;
  }
  mono.resize(static_cast<size_t>(total));
  const bool is_estimate = (info.format & SF_FORMAT_TYPEMASK) == mpeg;  // without a header of its own, by the bit rate
  const int64_t promised = header.promised_frames > 0 ? header.promised_frames : info.frames;
  if (promised < believable_frames && total < promised && !is_estimate) {
    throw_truncated(file, fmt::format("its header promises {} samples, but {} could be decoded ({:.3f} s)", promised,
                                      total, static_cast<double>(total) / info.samplerate));
  }
  Audio audio{std::move(mono), {info.samplerate, info.channels, header.note, {}}};
  audio.source.clipping = clipping_of(audio.samples, info.samplerate);
  if (header.promised_frames > 0 && total > header.promised_frames) {
    audio.source.note = more_than_promised;
  }
  if (info.samplerate != settings.sample_rate_hz && !audio.samples.empty()) {
    audio.samples = resampled(file, audio.samples, info.samplerate, settings.sample_rate_hz);
  }
  require_sound(file, audio.samples);
  return audio;
}

namespace {

/// RIFF's name of the program that wrote the file, a text of ten bytes.
constexpr std::string_view software_chunk("LIST\x16\0\0\0INFOISFT\x0a\0\0\0evenflow\0\0", 30);

}  // namespace

std::string wav_bytes(std::span<const float> samples, int sample_rate_hz) {
  std::string out;
  const auto put = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      out += static_cast<char>(value >> (8 * i) & 0xffU);
    }
  };
  const auto rate = static_cast<uint32_t>(sample_rate_hz), size = static_cast<uint32_t>(2 * samples.size());
  out += "RIFF";
  put(36 + static_cast<uint32_t>(software_chunk.size()) + size, 4);
  out += "WAVEfmt ";
  put(16, 4);
  put(1, 2);  // PCM
  put(1, 2);
  put(rate, 4);
  put(2 * rate, 4);
  put(2, 2);
  put(16, 2);
  out += software_chunk;
  out += "data";
  put(size, 4);
  for (const float sample : samples) {
    const float scaled = std::isnan(sample) ? 0.0F : std::clamp(sample * 32768.0F, -32768.0F, 32767.0F);
    put(static_cast<uint32_t>(std::lrint(scaled)), 2);
  }
  return out;
}

bool is_own_wav(std::string_view beginning) {
  return beginning.starts_with("RIFF") && beginning.substr(0, 256).find(software_chunk) != std::string_view::npos;
}

std::vector<float> within_full_scale(std::vector<float> samples) {
  constexpr float most = 0.98F;
  float peak = 0;
  for (const float sample : samples) {
    peak = std::max(peak, std::abs(sample));
  }
  if (peak > 1.0F) {
    for (float& sample : samples) {
      sample *= most / peak;
    }
  }
  return samples;
}

std::span<const float> one_channel(const std::string& name, const Samples& samples,
                                   const io::FrontendSettings& settings, std::vector<float>& room) {
  if (samples.rate_hz < least_rate_hz || samples.rate_hz > most_rate_hz) {
    throw io::UsageError(
        fmt::format("a sampling rate of {} Hz is not believable: only {} to {} Hz are; give the rate of the samples",
                    samples.rate_hz, least_rate_hz, most_rate_hz));
  }
  const std::optional<int> channel = wanted_channel(settings.channel);
  require_channel(name, channel, samples.channels);
  if (!all_finite(samples.values.data(), samples.values.size())) {
    not_finite(name, samples, 0);
  }
  std::span<const float> sound = samples.values;
  if (samples.channels > 1) {
    const auto channels = static_cast<size_t>(samples.channels);
    room.resize(samples.values.size() / channels);
    to_mono(samples.values.data(), room.size(), channels, channel, room.data());
    sound = room;
  }
  if (samples.rate_hz != settings.sample_rate_hz && !sound.empty()) {
    room = resampled(name, sound, samples.rate_hz, settings.sample_rate_hz);
    sound = room;
  }
  require_sound(name, sound);
  return sound;
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
  std::string reason;
  Sound sound = open_sound(atomic.temporary(), SFM_WRITE, info, nullptr, reason);
  if (!sound) {
    throw io::DataError(fmt::format("cannot write '{}': {}", file.string(), reason));
  }
  const auto count = static_cast<sf_count_t>(pcm.size());
  const bool written = sf_writef_short(sound.get(), pcm.data(), count) == count;
  if (sf_close(sound.release()) != 0 || !written) {
    throw io::DataError(fmt::format("cannot write '{}': is the disk full?", file.string()));
  }
  atomic.commit();
}

}  // namespace evenflow::frontend
