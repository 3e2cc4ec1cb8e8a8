#include "frontend/mpeg_audio.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/crc.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "frontend/sound_header.h"
#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/error.h"
#include "io/wrapped_file.h"

namespace evenflow::frontend {
namespace {

uint64_t big_endian(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

struct Frame {
  size_t length = 0;  ///< bytes
  int samples = 0, rate_hz = 0;
  uint32_t header = 0;
  uint32_t stream = 0;   ///< of the header, version, layer and rate: the same in all frames of a file
  uint32_t layer = 0;    ///< 1 to 3
  size_t side_info = 0;  ///< bytes behind the header, of layer III
};

/// kbit/s by index from 1: layers I, II and III of version 1, layer I and layers II and III of versions 2 and 2.5.
constexpr std::array<std::array<int, 14>, 5> bit_rates = {{
    {32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
    {32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
    {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
    {32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
    {8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}};

/// The frame whose header stands at `at`; its bytes may reach over the end.
std::optional<Frame> frame_at(std::string_view bytes, size_t at) {
  constexpr std::array<int, 3> rates_hz = {44100, 48000, 32000};
  if (at + 4 > bytes.size()) {
    return std::nullopt;
  }
  const auto header = static_cast<uint32_t>(big_endian(bytes, at, 4));
  const uint32_t version = header >> 19 & 3, layer_code = header >> 17 & 3, rate_code = header >> 12 & 15,
                 hertz_code = header >> 10 & 3;
  const bool is_header =
      header >> 21 == 0x7ff && version != 1 && layer_code != 0 && rate_code != 0 && rate_code != 15 && hertz_code != 3;
  if (!is_header) {
    return std::nullopt;
  }
  const uint32_t layer = 4 - layer_code;
  const bool first_version = version == 3, mono = (header >> 6 & 3) == 3;
  const size_t row = first_version ? layer - 1 : layer == 1 ? 3 : 4;
  const int bits_per_s = 1000 * bit_rates[row][rate_code - 1];
  const int padding = static_cast<int>(header >> 9 & 1);
  Frame frame;
  frame.rate_hz = rates_hz[hertz_code] >> (first_version ? 0 : version == 2 ? 1 : 2);
  frame.samples = layer == 1 ? 384 : layer == 3 && !first_version ? 576 : 1152;
  const int length = layer == 1 ? (12 * bits_per_s / frame.rate_hz + padding) * 4
                                : frame.samples / 8 * bits_per_s / frame.rate_hz + padding;
  frame.length = static_cast<size_t>(length);
  frame.header = header;
  frame.stream = header & 0xfffe0c00;
  frame.layer = layer;
  frame.side_info = first_version ? (mono ? 17 : 32) : (mono ? 9 : 17);
  return frame;
}

/// The beginning, without ID3v2 tags and zeros.
size_t behind_tags(std::string_view bytes) {
  size_t at = 0;
  while (bytes.size() - at >= 10 && bytes.substr(at, 3) == "ID3") {
    size_t length = 10;
    for (size_t i = 6; i < 10; ++i) {
      length += static_cast<size_t>(static_cast<unsigned char>(bytes[at + i]) & 0x7f) << 7 * (9 - i);
    }
    at = std::min(at + length, bytes.size());
  }
  return std::min(bytes.find_first_not_of('\0', at), bytes.size());
}

/// The first frame that another follows, or the file's end; a recording of a broadcast may begin within one.
std::optional<size_t> first_frame(std::string_view bytes) {
  constexpr size_t farthest = 64 * 1024;
  const size_t begin = behind_tags(bytes);
  for (size_t at = begin; at < std::min(bytes.size(), begin + farthest); ++at) {
    const std::optional<Frame> frame = frame_at(bytes, at);
    if (!frame) {
      continue;
    }
    const size_t end = at + frame->length;
    const std::optional<Frame> next = frame_at(bytes, end);
    if (end == bytes.size() || (next && next->stream == frame->stream)) {
      return at;
    }
  }
  return std::nullopt;
}

/// What may follow the last frame: tags, or a little padding.
bool is_tail(std::string_view rest) {
  constexpr size_t longest_padding = 4096;
  for (const std::string_view tag : {"TAG", "APETAGEX", "LYRICSBEGIN", "ID3", "3DI"}) {
    if (rest.starts_with(tag)) {
      return true;
    }
  }
  const size_t text = rest.find_first_not_of('\0');
  if (text == std::string_view::npos) {
    return rest.size() <= longest_padding;
  }
  return text > 0 && text <= longest_padding && is_tail(rest.substr(text));
}

/// What the first frame says of the others.
struct Promise {
  std::optional<uint64_t> frames;
  uint64_t bytes = 0;     ///< from this frame to the end of the last; 0: not said
  uint64_t checksum = 0;  ///< of all frames but this one; 0: not said
};

std::optional<Promise> promise_of(std::string_view frame, size_t side_info) {
  constexpr size_t vbri_at = 36;
  if (frame.size() >= vbri_at + 18 && frame.substr(vbri_at, 4) == "VBRI") {
    return Promise{big_endian(frame, vbri_at + 14, 4)};
  }
  size_t at = 4 + side_info;
  if (frame.size() < at + 8 || (frame.substr(at, 4) != "Xing" && frame.substr(at, 4) != "Info")) {
    return std::nullopt;
  }
  const uint64_t flags = big_endian(frame, at + 4, 4);
  at += 8;
  Promise promise;
  if ((flags & 1) && at + 4 <= frame.size()) {
    promise.frames = big_endian(frame, at, 4);
  }
  for (const auto& [flag, size] : {std::pair<uint64_t, size_t>{1, 4}, {2, 4}, {4, 100}, {8, 4}}) {
    if (flags & flag) {
      at += size;
    }
  }
  constexpr size_t length_at = 28, extension = 36;
  if (at + extension > frame.size() || !(frame.substr(at, 4) == "LAME" || frame.substr(at, 3) == "Lav")) {
    return promise;
  }
  promise.bytes = big_endian(frame, at + length_at, 4);
  promise.checksum = big_endian(frame, at + length_at + 4, 2);
  return promise;
}

/// As LAME counts it.
uint32_t checksum_of(std::string_view bytes) {
  boost::crc_16_type sum;
  sum.process_bytes(bytes.data(), bytes.size());
  return sum.checksum();
}

double seconds(uint64_t frames, const Frame& frame) {
  return static_cast<double>(frames) * frame.samples / frame.rate_hz;
}

/// A frame without sound, of the stream of `like`, that says how many follow.
std::string info_frame(const Frame& like, uint64_t frames) {
  constexpr uint32_t rate_of_160 = 14, all_rates = 15u << 12, protection = 1u << 16, padding = 1u << 9;
  const bool first_version = (like.header >> 19 & 3) == 3;
  const uint32_t rate = first_version ? 10 : rate_of_160;
  const uint32_t header = (like.header & ~(all_rates | padding)) | rate << 12 | protection;
  std::string frame;
  const auto add = [&](uint64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      frame += static_cast<char>(value >> shift & 0xff);
    }
  };
  add(header);
  frame.append(like.side_info, '\0');
  frame += "Info";
  add(1);
  add(frames);
  frame.resize(frame_at(frame, 0)->length, '\0');
  return frame;
}

/// The frames behind the first, which is one of Xing's if there is a promise.
struct Walk {
  uint64_t frames = 0;
  size_t end = 0;
};

Walk walk(const std::filesystem::path& file, std::string_view bytes, size_t begin, const Frame& first) {
  Walk done{0, begin};
  while (done.end < bytes.size() && !is_tail(bytes.substr(done.end))) {
    const std::optional<Frame> frame = frame_at(bytes, done.end);
    const size_t left = bytes.size() - done.end;
    if (left < 4 || (frame && frame->length > left)) {
      throw_truncated(file,
                      fmt::format("it ends within a frame, {:.2f} s from its beginning", seconds(done.frames, first)));
    }
    if (!frame || frame->stream != first.stream) {
      throw io::DataError(
          fmt::format("'{}' is damaged {:.2f} s from its beginning: no frame of its sound follows; copy it again or "
                      "leave it out",
                      file.string(), seconds(done.frames, first)));
    }
    done.end += frame->length;
    ++done.frames;
  }
  return done;
}

}  // namespace

SoundHeader check_mpeg_audio(const std::filesystem::path& file) {
  const std::string whole = io::read_text(file);
  const std::string_view bytes = whole;
  const std::optional<size_t> begin = first_frame(bytes);
  if (!begin) {
    const bool other = bytes.starts_with("ID3") || io::ending_of(file) != ".mp3";
    if (other) {
      return {};  // the library knows
    }
    const std::string wrapping = io::wrapping_of(file);
    throw io::DataError(fmt::format("'{}' {}", file.string(),
                                    wrapping.empty() ? "is not a sound file: it holds no frames of MPEG audio; copy it "
                                                       "again or leave it out"
                                                     : wrapping));
  }
  const Frame first = *frame_at(bytes, *begin);
  const std::optional<Promise> promise = promise_of(bytes.substr(*begin, first.length), first.side_info);
  const size_t sound = promise ? *begin + first.length : *begin;
  const auto [frames, end] = walk(file, bytes, sound, first);
  if (promise && promise->frames && frames < *promise->frames) {
    throw_truncated(file, fmt::format("its header promises {:.2f} s of sound, and it ends after {:.2f} s",
                                      seconds(*promise->frames, first), seconds(frames, first)));
  }
  if (promise && promise->checksum != 0 && promise->bytes == end - *begin &&
      checksum_of(bytes.substr(sound, end - sound)) != promise->checksum) {
    throw io::DataError(fmt::format(
        "'{}' is damaged somewhere from 0.00 to {:.2f} s: its sound does not match the checksum in its header; copy it "
        "again or, if a program has changed its volume, convert it to WAV",
        file.string(), seconds(frames, first)));
  }
  SoundHeader header;
  if (first.layer != 3 || (promise && promise->frames == frames)) {
    return header;
  }
  if (promise && promise->frames) {
    header.note = more_than_promised;
  }
  header.head = info_frame(first, frames);
  header.begin = sound;
  header.end = end;
  return header;
}

}  // namespace evenflow::frontend
