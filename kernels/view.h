// Views: pointers with shapes and a device. They own nothing and are passed by value.
//
// Every dimension is 1 or more. Where a contract says that one view may be another's memory, it means the same elements
// at the same places; views that overlap otherwise are never allowed.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/device.h"

namespace evenflow::kernels {

/// A one-dimensional view, contiguous.
template <class T>
struct Array {
  T* data = nullptr;
  int64_t size = 0;
  Device device{};

  operator Array<const T>() const  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<T>) {
    return {data, size, device};
  }
  Array slice(int64_t first, int64_t count) const { return {data + first, count, device}; }
  T& operator[](int64_t i) const { return data[i]; }
};

/// Feature maps [n, c, h, w]: each sample's planes are contiguous, samples lie `sample_stride` elements apart.
template <class T>
struct MapView {
  T* data = nullptr;
  int64_t n = 0, c = 0, h = 0, w = 0;
  int64_t sample_stride = 0;
  Device device{};

  operator MapView<const T>() const  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<T>) {
    return {data, n, c, h, w, sample_stride, device};
  }
  int64_t pixels() const { return h * w; }
  int64_t size() const { return n * c * h * w; }
  T* sample(int64_t i) const { return data + i * sample_stride; }
  /// Channels [first, first + count) of every sample.
  MapView channels(int64_t first, int64_t count) const {
    return {data + first * h * w, n, count, h, w, sample_stride, device};
  }
  /// Samples [first, first + count).
  MapView samples(int64_t first, int64_t count) const {
    return {data + first * sample_stride, count, c, h, w, sample_stride, device};
  }
};

using Map = MapView<float>;
using ConstMap = MapView<const float>;

/// Contiguous maps over `data`.
template <class T>
MapView<T> make_map(T* data, int64_t n, int64_t c, int64_t h, int64_t w, Device device = {}) {
  return {data, n, c, h, w, c * h * w, device};
}

template <class A, class B>
bool same_shape(const MapView<A>& a, const MapView<B>& b) {
  return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

/// Factoring out: the first half of the channels goes on, the second half is the block's latent. No bytes move.
template <class T>
struct SplitView {
  MapView<T> kept, factored;
};
template <class T>
SplitView<T> split(const MapView<T>& x) {
  return {x.channels(0, x.c / 2), x.channels(x.c / 2, x.c - x.c / 2)};
}

}  // namespace evenflow::kernels
