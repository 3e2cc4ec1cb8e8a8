// A page of an Ogg stream that is damaged or out of order is refused: most mutations get right checksums and numbers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/frontend/fuzzed_sound.h"

namespace evenflow::fuzz {
namespace {

constexpr size_t sequence_at = 18, checksum_at = 22, segments_at = 26;

/// The bytes from `page` to the end of its last segment, or of the input.
size_t page_size(std::string_view page) {
  if (page.size() <= segments_at) {
    return page.size();
  }
  const size_t segments = static_cast<uint8_t>(page[segments_at]);
  size_t size = segments_at + 1 + segments;
  for (size_t i = 0; i < segments && segments_at + 1 + i < page.size(); ++i) {
    size += static_cast<uint8_t>(page[segments_at + 1 + i]);
  }
  return std::min(size, page.size());
}

uint32_t ogg_checksum(std::string_view bytes) {
  uint32_t sum = 0;
  for (const char byte : bytes) {
    sum ^= static_cast<uint32_t>(static_cast<uint8_t>(byte)) << 24;
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum << 1) ^ (sum >> 31 != 0 ? 0x04c11db7u : 0u);
    }
  }
  return sum;
}

void write_number(char* at, uint32_t number) {
  for (int i = 0; i < 4; ++i) {
    at[i] = static_cast<char>(number >> 8 * i);
  }
}

void seal_pages(char* data, size_t size, bool numbered) {
  const std::string_view all(data, size);
  uint32_t sequence = 0;
  for (size_t at = all.find("OggS"); at != std::string_view::npos; at = all.find("OggS", at + 4)) {
    if (size - at <= segments_at) {
      return;
    }
    if (numbered) {
      write_number(data + at + sequence_at, sequence++);
    }
    write_number(data + at + checksum_at, 0);
    write_number(data + at + checksum_at, ogg_checksum(all.substr(at, page_size(all.substr(at)))));
  }
}

}  // namespace

bool reads(std::string_view input) {
  return reads_sound(input, "sound.ogg");
}

}  // namespace evenflow::fuzz

// NOLINTBEGIN(readability-identifier-naming): the names are libFuzzer's and the sanitizer's
// libsndfile 1.2.0 loses memory of libvorbis where it refuses a damaged stream.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libvorbis";
}
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0) {
    evenflow::fuzz::seal_pages(reinterpret_cast<char*>(data), size, seed % 8 > 1);
  }
  return size;
}
// NOLINTEND(readability-identifier-naming)
