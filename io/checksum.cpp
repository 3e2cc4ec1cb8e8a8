#include "io/checksum.h"

#include <zlib.h>

namespace evenflow::io {

void Crc32::add(const void* data, size_t bytes) {
  if (bytes > 0) {
    value_ = static_cast<uint32_t>(::crc32_z(value_, static_cast<const Bytef*>(data), bytes));
  }
}

}  // namespace evenflow::io
