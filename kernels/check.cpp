#include "kernels/check.h"

#include <fmt/format.h>

namespace evenflow::kernels {

std::string text(ConstMap m) {
  return fmt::format("[{}, {}, {}, {}]", m.n, m.c, m.h, m.w);
}

void check_same_shape(const char* operation, ConstMap a, ConstMap b) {
  if (!same_shape(a, b)) {
    throw ShapeError(fmt::format("{}: shapes differ, {} and {}", operation, text(a), text(b)));
  }
}

void check_size(const char* operation, const char* what, int64_t actual, int64_t expected) {
  if (actual == expected) {
    return;
  }
  throw ShapeError(fmt::format("{}: {} has {} elements, expected {}", operation, what, actual, expected));
}

void check_at_least(const char* operation, const char* what, int64_t actual, int64_t needed) {
  if (actual >= needed) {
    return;
  }
  throw ShapeError(fmt::format("{}: {} has room for {}, needs {}", operation, what, actual, needed));
}

}  // namespace evenflow::kernels
