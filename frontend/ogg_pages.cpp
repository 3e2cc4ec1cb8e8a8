#include "frontend/ogg_pages.h"

#include <fmt/format.h>

#include <array>
#include <boost/crc.hpp>
#include <cstdint>
#include <map>
#include <optional>

namespace evenflow::frontend {
namespace {

// RFC 3533.
constexpr std::string_view magic = "OggS";
constexpr size_t flags_at = 5, position_at = 6, serial_at = 14, sequence_at = 18, checksum_at = 22, segments_at = 26;
constexpr uint8_t end_of_stream = 4;
constexpr uint64_t no_position = ~uint64_t{0};  // no packet ends on the page

struct Page {
  size_t size = 0;
  uint8_t flags = 0;
  uint64_t position = 0;
  uint32_t serial = 0, sequence = 0;
};

uint8_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

uint64_t number_at(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = count; i > 0; --i) {
    value = value << 8 | byte_at(bytes, at + i - 1);
  }
  return value;
}

/// Of a page, with zeros in the place of the checksum that it holds.
uint32_t page_checksum(std::string_view page) {
  constexpr std::array<char, sizeof(uint32_t)> zeros{};
  const std::string_view rest = page.substr(checksum_at + zeros.size());
  boost::crc_optimal<32, 0x04c11db7> sum;
  sum.process_bytes(page.data(), checksum_at);
  sum.process_bytes(zeros.data(), zeros.size());
  sum.process_bytes(rest.data(), rest.size());
  return sum.checksum();
}

/// The page at the beginning of `bytes`, if one is there, whole and undamaged.
std::optional<Page> first_page(std::string_view bytes) {
  if (!bytes.starts_with(magic) || bytes.size() <= segments_at) {
    return std::nullopt;
  }
  const size_t segments = byte_at(bytes, segments_at);
  size_t size = segments_at + 1 + segments;
  if (bytes.size() < size) {
    return std::nullopt;
  }
  for (size_t i = 0; i < segments; ++i) {
    size += byte_at(bytes, segments_at + 1 + i);
  }
  if (bytes.size() < size) {
    return std::nullopt;
  }
  if (page_checksum(bytes.substr(0, size)) != number_at(bytes, checksum_at, sizeof(uint32_t))) {
    return std::nullopt;
  }
  return Page{size, byte_at(bytes, flags_at), number_at(bytes, position_at, sizeof(uint64_t)),
              static_cast<uint32_t>(number_at(bytes, serial_at, sizeof(uint32_t))),
              static_cast<uint32_t>(number_at(bytes, sequence_at, sizeof(uint32_t)))};
}

/// Where a stream has come to.
struct Progress {
  uint32_t next_sequence;
  uint64_t position = 0;
};

}  // namespace

OggPages check_ogg_pages(std::string_view file) {
  OggPages pages;
  std::map<uint32_t, Progress> streams;
  for (size_t at = file.find(magic); at != std::string_view::npos; at = file.find(magic, at)) {
    const std::optional<Page> page = first_page(file.substr(at));
    if (!page) {
      at += magic.size();
      continue;
    }
    at += page->size;
    pages.finished = (page->flags & end_of_stream) != 0;
    Progress& stream = streams.try_emplace(page->serial, Progress{page->sequence}).first->second;
    if (page->sequence != stream.next_sequence) {
      pages.fault = fmt::format("page {} is missing, damaged or out of order", stream.next_sequence);
      return pages;
    }
    ++stream.next_sequence;
    if (page->position == no_position) {
      continue;
    }
    if (page->position < stream.position) {
      pages.fault = fmt::format("page {} goes back in time", page->sequence);
      return pages;
    }
    stream.position = page->position;
  }
  return pages;
}

}  // namespace evenflow::frontend
