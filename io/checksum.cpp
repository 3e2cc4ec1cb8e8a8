#include "io/checksum.h"

#include <zlib.h>

namespace evenflow::io {

void Crc32::add(const void* data, size_t bytes) {
  if (bytes > 0) {
    value_ = static_cast<uint32_t>(::crc32_z(value_, static_cast<const Bytef*>(data), bytes));
  }
}

void Fnv1a64::add(const void* data, size_t bytes) {
  const auto* all = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) {
    state_ = (state_ ^ all[i]) * 0x100000001b3;
  }
}

std::string Fnv1a64::hex() const {
  std::string out(16, '0');
  for (size_t i = 0; i < 16; ++i) {
    out[i] = "0123456789abcdef"[(state_ >> (60 - 4 * i)) & 15];
  }
  return out;
}

}  // namespace evenflow::io
