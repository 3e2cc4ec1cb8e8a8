// Sums by which bytes are known again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace evenflow::io {

/// As in zlib and PNG: Python's zlib.crc32 gives the same.
class Crc32 {
 public:
  void add(const void* data, size_t bytes);
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

/// FNV-1a of 64 bits (Fowler, Noll and Vo): tells what was meant to be the same from what is not, and withstands no
/// forger.
class Fnv1a64 {
 public:
  void add(const void* data, size_t bytes);
  /// 16 hexadecimal digits.
  std::string hex() const;

 private:
  uint64_t state_ = 0xcbf29ce484222325;
};

}  // namespace evenflow::io
