#include "experiments/report/picture_file.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "io/atomic_file.h"

namespace evenflow::experiments {
namespace {

constexpr size_t header_end = 33;  ///< of the signature and the IHDR chunk

/// PNG's CRC-32 of a chunk's type and data.
uint32_t chunk_crc(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    }
  }
  return ~crc;
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(value >> shift & 0xff);
  }
  return bytes;
}

std::string software_chunk() {
  constexpr std::string_view keyword = "Software", text = "evenflow";
  std::string chunk = std::string("tEXt").append(keyword).append(1, '\0').append(text);
  return big_endian(static_cast<uint32_t>(keyword.size() + 1 + text.size())) + chunk + big_endian(chunk_crc(chunk));
}

}  // namespace

void write_picture(const std::filesystem::path& file, std::span<const uint8_t> png) {
  const auto after_header = png.begin() + header_end;
  std::string bytes(png.begin(), after_header);
  bytes.append(software_chunk()).append(after_header, png.end());
  io::write_text(file, bytes);
}

bool is_own_picture(const std::filesystem::path& file) {
  const std::string mark = software_chunk();
  std::string begin(header_end + mark.size(), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return in && begin.ends_with(mark);
}

}  // namespace evenflow::experiments
