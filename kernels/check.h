// Argument checks of the operations. Kernels know neither files nor flags: errors name the operation and the shapes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/view.h"

namespace evenflow::kernels {

/// Wrong shapes, sizes or settings handed to an operation. Devices are checked where buffers are copied, and not here.
class ShapeError : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A matrix that cannot be inverted: a zero or non-finite pivot of an LU factorisation.
class SingularError : public std::runtime_error {
 public:
  SingularError(const std::string& what, int64_t step) : std::runtime_error(what), step_(step) {}
  /// Which of the operation's matrices.
  int64_t step() const { return step_; }

 private:
  int64_t step_;
};

/// A device that is not there or cannot be used. The text says what is missing and the cure.
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// No std::string on the way: what holds allocates nothing.
inline void check(bool ok, const char* operation, std::string_view expected) {
  if (!ok) {
    throw ShapeError(std::string(operation) + ": expected " + std::string(expected));
  }
}

// ---- for the operations' sources (check.cpp)

/// "[2, 4, 32, 64]"
std::string text(ConstMap m);
void check_same_shape(const char* operation, ConstMap a, ConstMap b);
void check_size(const char* operation, const char* what, int64_t actual, int64_t expected);
void check_at_least(const char* operation, const char* what, int64_t actual, int64_t needed);

template <class T>
void check_size(const char* operation, const char* what, const Array<T>& a, int64_t size) {
  check_size(operation, what, a.size, size);
}
template <class T>
void check_at_least(const char* operation, const char* what, const Array<T>& a, int64_t size) {
  check_at_least(operation, what, a.size, size);
}

}  // namespace evenflow::kernels
