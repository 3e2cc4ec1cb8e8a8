// Buffers between canaries: a write outside of a view fails the test, a read outside of it yields NaN.
//
// Everything is filled with the canary first, a quiet NaN for floating types, the buffer itself too: an operation that
// counts on what a workspace held before gives itself away.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/buffer.h"
#include "kernels/copy.h"
#include "tests/support/reference.h"

namespace evenflow::tests {

template <class T>
T canary() {
  T value{};
  if constexpr (std::is_same_v<T, float>) {
    const uint32_t bits = 0x7FC0DEADU;
    std::memcpy(&value, &bits, sizeof bits);
  } else if constexpr (std::is_same_v<T, double>) {
    const uint64_t bits = 0x7FF8DEADBEEF0001ULL;
    std::memcpy(&value, &bits, sizeof bits);
  } else if constexpr (std::is_integral_v<T>) {
    value = static_cast<T>(0x5A5A5A5A);
  } else {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memset(static_cast<void*>(&value), 0x5A, sizeof value);
  }
  return value;
}

template <class T>
bool is_canary(const T& value) {
  const T expected = canary<T>();
  return std::memcmp(&value, &expected, sizeof(T)) == 0;  // NOLINT(bugprone-suspicious-memory-comparison): untouched
}

/// `size` elements between two bands of 64, on a device. The host sees a copy: values() and at() fetch what is there
/// now.
template <class T>
class GuardedBuffer {
 public:
  explicit GuardedBuffer(int64_t size, kernels::Device device = {})
      : size_(size), stream_(device), memory_(size + 2 * band, device) {
    put(0, std::vector<T>(static_cast<size_t>(memory_.size()), canary<T>()));
  }
  GuardedBuffer(const std::vector<T>& values, kernels::Device device)
      : GuardedBuffer(static_cast<int64_t>(values.size()), device) {
    set(values);
  }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  ~GuardedBuffer() { check(); }

  void check() const {
    const std::vector<T> all = fetch(memory_.view());
    for (int64_t i = 0; i < band; ++i) {
      EXPECT_TRUE(is_canary(all[static_cast<size_t>(i)])) << "written " << band - i << " elements before a buffer";
      EXPECT_TRUE(is_canary(all[static_cast<size_t>(band + size_ + i)]))
          << "written " << i + 1 << " elements after a buffer";
    }
  }
  int64_t size() const { return size_; }
  kernels::Array<T> view() const { return memory_.slice(band, size_); }
  void set(const std::vector<T>& values) const { put(band, values); }
  void set(int64_t i, T value) const { put(band + i, {value}); }
  std::vector<T> elements() const { return fetch(view()); }
  T operator[](int64_t i) const { return fetch(view().slice(i, 1))[0]; }
  reference::Vector values() const {
    const std::vector<T> all = elements();
    return {all.begin(), all.end()};
  }

 private:
  static constexpr int64_t band = 64;
  void put(int64_t first, const std::vector<T>& values) const {
    kernels::upload<T>(stream_, values, memory_.slice(first, static_cast<int64_t>(values.size())));
  }
  std::vector<T> fetch(kernels::Array<T> from) const { return kernels::to_host(stream_, from); }

  int64_t size_;
  mutable kernels::Stream stream_;
  kernels::Buffer<T> memory_;
};

/// What lies between the samples of a map: channels of the same tensor before and after, then a gap of odd length.
struct Surroundings {
  int64_t channels_before = 0, channels_after = 0, gap = 0;
};

/// A map view inside a larger tensor. Nothing outside of the view may change.
class GuardedMap {
 public:
  GuardedMap(int64_t n, int64_t c, int64_t h, int64_t w, Surroundings around, kernels::Device device);
  GuardedMap(const reference::Maps& values, Surroundings around, kernels::Device device);
  GuardedMap(const GuardedMap&) = delete;
  GuardedMap& operator=(const GuardedMap&) = delete;
  ~GuardedMap() { check(); }

  kernels::Map view() const { return view_; }
  kernels::ConstMap const_view() const { return view_; }
  void set(const reference::Maps& values) const;
  reference::Maps values() const;
  void check() const;

 private:
  int64_t first_;
  GuardedBuffer<float> memory_;
  kernels::Map view_;
};

using Rng = std::mt19937_64;

/// The arguments one after the other: names of test cases.
template <class... Parts>
std::string text_of(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Uniform in [-scale, scale], float32 values.
std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1.0);
reference::Vector widen(const std::vector<float>& values);
std::vector<float> narrow(const reference::Vector& values);
/// Float32 values, stored in float64.
reference::Vector random_vector(Rng& rng, int64_t count, double scale = 1.0);
reference::Maps random_maps(Rng& rng, int64_t n, int64_t c, int64_t h, int64_t w, double scale = 1.0);
/// Multiples of 1/denominator in [-limit/denominator, limit/denominator].
reference::Vector dyadic_vector(Rng& rng, int64_t count, int limit, int denominator);

/// |actual - expected| <= bound, element by element; NaN fails. Reports the worst element.
void expect_close(const reference::Vector& actual, const reference::Vector& expected, const reference::Vector& bound,
                  const std::string& what);

/// Rounding of a float32 sum of `length` products whose absolute values add up to `magnitude`, in any order: errors add
/// up as a random walk (Higham & Mary 2019), twice that, and a few roundings before and after.
inline double sum_bound(int64_t length, double magnitude, double epsilon = std::numeric_limits<float>::epsilon()) {
  return epsilon * (4.0 + 2.0 * std::sqrt(static_cast<double>(length))) * magnitude;
}
reference::Vector sum_bounds(int64_t length, const reference::Vector& magnitude);

inline constexpr double eps32 = std::numeric_limits<float>::epsilon();
inline constexpr double eps64 = std::numeric_limits<double>::epsilon();

}  // namespace evenflow::tests
