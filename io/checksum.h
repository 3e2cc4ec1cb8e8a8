// CRC-32 as in zlib and PNG: Python's zlib.crc32 gives the same.
#pragma once

#include <cstddef>
#include <cstdint>

namespace evenflow::io {

class Crc32 {
 public:
  void add(const void* data, size_t bytes);
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

}  // namespace evenflow::io
