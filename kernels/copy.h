// Copies between host and device, in a stream's order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/check.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Bytes from one place to the other; either lies on the stream's device or on the host. Queued: host memory must stay
/// until the stream has come this far.
void copy_bytes(Stream& stream, const void* from, Device from_device, void* to, Device to_device, int64_t bytes);
/// Memory of the stream's device alone.
void zero_bytes(Stream& stream, void* data, Device device, int64_t bytes);

/// Sizes must agree (ShapeError).
template <class From, class T>
void copy(Stream& stream, Array<From> from, Array<T> to) {
  static_assert(std::is_same_v<std::remove_const_t<From>, T>);
  check(from.size == to.size, "copy", "two arrays of one size");
  copy_bytes(stream, from.data, from.device, to.data, to.device, from.size * static_cast<int64_t>(sizeof(T)));
}
template <class T>
void zero(Stream& stream, Array<T> data) {
  zero_bytes(stream, data.data, data.device, data.size * static_cast<int64_t>(sizeof(T)));
}

/// Waits for the stream, so that host memory may go.
template <class T>
void upload(Stream& stream, std::span<const T> from, Array<T> to) {
  copy(stream, Array<const T>{from.data(), static_cast<int64_t>(from.size()), {}}, to);
  stream.synchronise();
}
template <class T>
void download(Stream& stream, Array<const T> from, std::span<T> to) {
  copy(stream, from, Array<T>{to.data(), static_cast<int64_t>(to.size()), {}});
  stream.synchronise();
}
template <class T>
std::vector<std::remove_const_t<T>> to_host(Stream& stream, Array<T> from) {
  std::vector<std::remove_const_t<T>> out(static_cast<size_t>(from.size));
  download<std::remove_const_t<T>>(stream, from, out);
  return out;
}

}  // namespace evenflow::kernels
