#include "frontend/sound_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "frontend/mpeg_audio.h"
#include "frontend/ogg_pages.h"
#include "io/audio_names.h"
#include "io/error.h"

namespace evenflow::frontend {
namespace {

namespace fs = std::filesystem;

// As what a recording is read: "1 recording ...: a.wav".
constexpr char without_length[] =
    "without a length in the header (streamed, or never finalised), read to the end of the file";
constexpr char goes_on[] = "with more after the sound that the header promises, which was not read";
constexpr char without_last_page[] =
    "without the last page of the Ogg stream (never finished, or cut short), read to the last whole page";

/// A sound file's bytes.
class Bytes {
 public:
  explicit Bytes(const fs::path& file) : in_(file, std::ios::binary) {
    if (!in_) {
      throw io::DataError(fmt::format("cannot read '{}': {}", file.string(), std::strerror(errno)));
    }
    std::error_code error;
    size_ = fs::file_size(file, error);
    if (error) {
      throw io::DataError(fmt::format("cannot read '{}': {}", file.string(), error.message()));
    }
  }

  uint64_t size() const { return size_; }

  /// Fewer than `count` where the file ends.
  std::string read(uint64_t at, uint64_t count) {
    std::string bytes(at < size_ ? std::min(count, size_ - at) : 0, '\0');
    in_.clear();
    in_.seekg(static_cast<std::streamoff>(at));
    in_.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<size_t>(std::max<std::streamsize>(in_.gcount(), 0)));
    return bytes;
  }

 private:
  std::ifstream in_;
  uint64_t size_ = 0;
};

uint64_t number_in(std::string_view bytes, bool big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[big_endian ? i : bytes.size() - 1 - i]);
  }
  return value;
}

std::string bytes_of(uint64_t value, size_t count, bool big_endian) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) {
    bytes[big_endian ? count - 1 - i : i] = static_cast<char>(value >> 8 * i & 0xff);
  }
  return bytes;
}

/// What it takes to have the library read sound of unknown length to its end.
enum class Mend { nothing, size_of_sound, whole_head };

/// How the files of one family are put together: chunks, each with name and size.
struct ChunkLayout {
  uint64_t first;       ///< where the first chunk begins
  uint64_t name, size;  ///< bytes of a chunk's name, and of its size
  bool big_endian;
  bool size_counts_head;
  uint64_t alignment;  ///< of chunks, counted from the beginning of the file
  const char* sound;   ///< name of the chunk that holds the sound
  uint64_t preface;    ///< bytes in that chunk before the sound
  Mend mend;
};

constexpr ChunkLayout riff{12, 4, 4, false, false, 2, "data", 0, Mend::whole_head};
constexpr ChunkLayout rifx{12, 4, 4, true, false, 2, "data", 0, Mend::whole_head};
constexpr ChunkLayout aiff{12, 4, 4, true, false, 2, "SSND", 8, Mend::nothing};
constexpr ChunkLayout caf{8, 4, 8, true, false, 1, "data", 4, Mend::size_of_sound};
constexpr ChunkLayout w64{40, 16, 8, false, true, 8, "data", 0, Mend::size_of_sound};

struct Chunk {
  std::string name;
  uint64_t begin = 0;  ///< of what it holds
  uint64_t size = 0;   ///< as its head has it
  uint64_t size_at = 0;
};

std::optional<Chunk> chunk_at(Bytes& bytes, const ChunkLayout& layout, uint64_t at) {
  const uint64_t length = layout.name + layout.size;
  const std::string head = bytes.read(at, length);
  if (head.size() < length) {
    return std::nullopt;
  }
  Chunk chunk{head.substr(0, 4), at + length, number_in(std::string_view(head).substr(layout.name), layout.big_endian),
              at + layout.name};
  if (layout.size_counts_head) {
    chunk.size = chunk.size < length ? 0 : chunk.size - length;
  }
  return chunk;
}

/// Where the chunk behind one that ends here begins.
uint64_t aligned(uint64_t end, uint64_t alignment) {
  return end > UINT64_MAX - alignment ? UINT64_MAX : (end + alignment - 1) / alignment * alignment;
}

uint64_t end_of(const Chunk& chunk, const ChunkLayout& layout) {
  return chunk.size > UINT64_MAX - chunk.begin ? UINT64_MAX : aligned(chunk.begin + chunk.size, layout.alignment);
}

/// True if nothing but whole chunks lies from `at` to the end of the file.
bool only_chunks_from(Bytes& bytes, const ChunkLayout& layout, uint64_t at) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  while (at < bytes.size()) {
    const std::optional<Chunk> chunk = chunk_at(bytes, layout, at);
    if (!chunk || !std::all_of(chunk->name.begin(), chunk->name.end(), printable)) {
      return false;
    }
    at = end_of(*chunk, layout);
  }
  return at - bytes.size() < layout.alignment;  // the last one's padding may be missing
}

/// The end of sound of unknown length: of the file, or where a recorder's remarks begin behind it.
uint64_t end_of_sound(Bytes& bytes, const ChunkLayout& layout, uint64_t begin) {
  constexpr uint64_t longest = 64 * 1024;
  const uint64_t from = std::max(begin, bytes.size() - std::min(bytes.size(), longest));
  const std::string tail = bytes.read(from, longest);
  for (const std::string_view name : {"LIST", "id3 ", "ID3 ", "bext", "iXML", "cue "}) {
    for (size_t at = tail.find(name); at != std::string::npos; at = tail.find(name, at + 1)) {
      if (only_chunks_from(bytes, layout, from + at)) {
        return from + at;
      }
    }
  }
  return std::max(begin, bytes.size());
}

/// A RIFF header of the format and the length, or an RF64 header where RIFF can't count so far.
std::string riff_head(const std::string& format, uint64_t sound, bool big_endian) {
  constexpr uint64_t most = 0xffffffff - 1024;
  const auto u32 = [&](uint64_t value) { return bytes_of(value, 4, big_endian); };
  const std::string fmt_chunk = "fmt " + u32(format.size()) + format + std::string(format.size() % 2, '\0');
  const uint64_t length = 4 + fmt_chunk.size() + 8 + sound;
  if (big_endian || sound <= most) {
    return (big_endian ? "RIFX" : "RIFF") + u32(length) + "WAVE" + fmt_chunk + "data" + u32(sound);
  }
  const std::string sizes = bytes_of(length + 36, 8, false) + bytes_of(sound, 8, false) + std::string(12, '\0');
  return "RF64" + u32(0xffffffff) + "WAVE" + "ds64" + u32(28) + sizes + fmt_chunk + "data" + u32(0xffffffff);
}

/// The file's own bytes before the sound, with the size of its chunk put right.
std::string mended_head(Bytes& bytes, const ChunkLayout& layout, const Chunk& sound, uint64_t size) {
  std::string head = bytes.read(0, sound.begin + layout.preface);
  const uint64_t counted = size + layout.preface + (layout.size_counts_head ? layout.name + layout.size : 0);
  head.replace(sound.size_at, layout.size, bytes_of(counted, layout.size, layout.big_endian));
  return head;
}

/// The chunk with the sound, and what is said before it.
struct SoundChunk {
  Chunk chunk;
  std::string format;  ///< what the chunk "fmt " holds
  uint64_t frame = 1;  ///< bytes of a sample frame, where the format tells
  bool wide = false;   ///< its size is of 64 bits
  std::optional<uint64_t> rate_hz;
};

std::optional<SoundChunk> find_sound(Bytes& bytes, const ChunkLayout& layout) {
  constexpr uint64_t longest_format = 64 * 1024;
  SoundChunk found;
  std::optional<uint64_t> wide_size;  // RF64 has it in a chunk of its own
  for (uint64_t at = layout.first;;) {
    const std::optional<Chunk> chunk = chunk_at(bytes, layout, at);
    if (!chunk) {
      return std::nullopt;
    }
    if (chunk->name == "fmt ") {
      found.format = bytes.read(chunk->begin, std::min(chunk->size, longest_format));
      if (found.format.size() >= 14) {
        found.frame = std::max<uint64_t>(1, number_in(found.format.substr(12, 2), layout.big_endian));
        found.rate_hz = number_in(found.format.substr(4, 4), layout.big_endian);
      }
    } else if (chunk->name == "ds64" && chunk->size >= 16) {
      wide_size = number_in(bytes.read(chunk->begin + 8, 8), layout.big_endian);
    } else if (chunk->name == layout.sound) {
      found.chunk = *chunk;
      found.wide = layout.size == 8 || (chunk->size == 0xffffffff && wide_size);
      if (chunk->size == 0xffffffff && wide_size) {
        found.chunk.size = *wide_size;
      }
      return found;
    }
    at = end_of(*chunk, layout);
  }
}

SoundHeader check_chunks(const fs::path& file, Bytes& bytes, const ChunkLayout& layout) {
  constexpr uint64_t longest_head = uint64_t{16} << 20, worth_a_word = 8;
  SoundHeader header;
  const std::optional<SoundChunk> sound = find_sound(bytes, layout);
  if (!sound) {
    return header;  // the library says what is missing
  }
  if (sound->rate_hz) {
    require_believable_rate(file, *sound->rate_hz);
  }
  const uint64_t begin = sound->chunk.begin + layout.preface;
  const uint64_t size = sound->chunk.size < layout.preface ? 0 : sound->chunk.size - layout.preface;
  const uint64_t there = bytes.size() - std::min(bytes.size(), begin);
  if (size <= there && only_chunks_from(bytes, layout, end_of(sound->chunk, layout))) {
    return header;
  }
  if (!is_placeholder(size / sound->frame * sound->frame, sound->wide)) {
    if (size / sound->frame * sound->frame > there) {
      throw_truncated(file, fmt::format("its header promises {} bytes of sound, {} are there", size, there),
                      ", or repair its header if its recorder was stopped");
    }
    if (size + worth_a_word <= there) {
      header.note = goes_on;
    }
    return header;
  }
  header.note = without_length;
  const uint64_t length = (end_of_sound(bytes, layout, begin) - begin) / sound->frame * sound->frame;
  if (layout.mend == Mend::nothing || begin > longest_head) {
    return header;
  }
  if (layout.mend == Mend::size_of_sound) {
    header.head = mended_head(bytes, layout, sound->chunk, length);
  }
  if (layout.mend == Mend::whole_head) {
    header.head = riff_head(sound->format, length, layout.big_endian);
  }
  header.begin = begin;
  header.end = begin + length;
  return header;
}

/// The library stops where a FLAC header says, even if there is more, and not at all if it says nothing.
SoundHeader check_flac(const fs::path& file, Bytes& bytes) {
  constexpr size_t total_at = 21, length = 26;  // 4 bits, and 4 bytes more
  constexpr uint64_t all_bits = (uint64_t{1} << 36) - 1;
  std::string head = bytes.read(0, length);
  SoundHeader header;
  if (head.size() < length) {
    return header;
  }
  require_believable_rate(file, number_in(std::string_view(head).substr(18, 3), true) >> 4);
  const uint64_t frames = number_in(std::string_view(head).substr(total_at), true) & all_bits;
  header.promised_frames = frames == all_bits ? 0 : static_cast<int64_t>(frames);
  if (header.promised_frames == 0) {
    header.note = without_length;
  }
  head[total_at] = static_cast<char>(head[total_at] & 0xf0);
  head.replace(total_at + 1, 4, 4, '\0');
  header.head = head;
  constexpr uint64_t tag = 128;  // ID3v1, which some programs append; the library takes it for damage
  const uint64_t without_tag = bytes.size() - std::min(bytes.size(), tag);
  header.begin = length;
  header.end = bytes.read(without_tag, 3) == "TAG" ? without_tag : bytes.size();
  return header;
}

/// libsndfile takes the last page it finds for the end of an Ogg stream; only a flag in the page tells whether it is.
SoundHeader check_ogg(const fs::path& file, Bytes& bytes) {
  const OggPages pages = check_ogg_pages(bytes.read(0, bytes.size()));
  if (!pages.fault.empty()) {
    throw io::DataError(
        fmt::format("'{}' is damaged: {} in its Ogg stream; copy it again, or convert it to WAV to read "
                    "what is left of it",
                    file.string(), pages.fault));
  }
  SoundHeader header;
  if (!pages.finished) {
    header.note = without_last_page;
  }
  return header;
}

}  // namespace

bool is_placeholder(uint64_t size, bool wide) {
  constexpr uint64_t about = uint64_t{1} << 25, half = uint64_t{1} << 31, whole = uint64_t{1} << 32;
  const auto near = [=](uint64_t limit) { return !wide && size >= limit - about && size <= limit + about; };
  return size == 0 || near(half) || near(whole) || size >= uint64_t{1} << 62;
}

void throw_truncated(const fs::path& file, const std::string& how, const std::string& cure) {
  throw io::DataError(fmt::format("'{}' is truncated: {}; copy it again or leave it out{}", file.string(), how, cure));
}

void require_believable_rate(const fs::path& file, uint64_t rate_hz) {
  if (rate_hz >= least_rate_hz && rate_hz <= most_rate_hz) {
    return;
  }
  throw io::DataError(
      fmt::format("'{}' has a sampling rate of {} Hz in its header, and only {} to {} Hz are believable; correct the "
                  "header or leave it out",
                  file.string(), rate_hz, least_rate_hz, most_rate_hz));
}

SoundHeader check_header(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) {
    throw io::DataError(fmt::format("there is no file '{}'; correct the path or leave it out", file.string()));
  }
  if (!fs::is_regular_file(status)) {
    throw io::DataError(fmt::format("'{}' is not a file", file.string()));
  }
  Bytes bytes(file);
  if (bytes.size() == 0) {
    throw io::DataError(fmt::format("'{}' is an empty file; copy it again or leave it out", file.string()));
  }
  const std::string head = bytes.read(0, 28);
  const std::string_view magic = std::string_view(head).substr(0, 4);
  const std::string_view form = head.size() >= 12 ? std::string_view(head).substr(8, 4) : std::string_view();
  if ((magic == "RIFF" || magic == "RF64" || magic == "BW64") && form == "WAVE") {
    return check_chunks(file, bytes, riff);
  }
  if (magic == "RIFX" && form == "WAVE") {
    return check_chunks(file, bytes, rifx);
  }
  if (magic == "FORM" && (form == "AIFF" || form == "AIFC")) {
    return check_chunks(file, bytes, aiff);
  }
  if (magic == "riff" && head.size() == 28 && head.ends_with("wave")) {
    return check_chunks(file, bytes, w64);
  }
  if (magic == "caff") {
    return check_chunks(file, bytes, caf);
  }
  if (magic == "fLaC") {
    return check_flac(file, bytes);
  }
  if (magic == "OggS") {
    return check_ogg(file, bytes);
  }
  if (magic.starts_with("ID3") || magic.starts_with('\xff') || io::ending_of(file) == ".mp3") {
    return check_mpeg_audio(file);
  }
  return {};
}

}  // namespace evenflow::frontend
