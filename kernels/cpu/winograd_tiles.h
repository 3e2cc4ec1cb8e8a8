// Where Winograd's convolutions (winograd.h) keep tiles on the way, and the points at which they evaluate them.
#pragma once

#include <cstdint>

namespace evenflow::kernels::cpu::winograd {

/// 0, a, -a, b, -b and infinity, in this order.
inline constexpr int points = 6;
inline constexpr float a = 0.625F, b = 1.5F;
/// Their squares, and the coefficients of (x^2 - a^2)(x^2 - b^2): exact in float32.
inline constexpr float a2 = a * a, b2 = b * b;
inline constexpr float sum2 = a2 + b2, product2 = a2 * b2;
/// Lagrange's denominators at 0, +-a and +-b.
inline constexpr float at_0 = product2;
inline constexpr float at_a = 2.0F * a2 * (a2 - b2);
inline constexpr float at_b = 2.0F * b2 * (b2 - a2);

/// Floats to which rows are filled up: a vector, of narrow instruction sets two. A row of the paper's third block has
/// eight pixels.
inline constexpr int64_t narrow = 8, wide = 16;

constexpr int64_t whole_vectors(int64_t floats, int64_t vector) {
  return (floats + vector - 1) / vector * vector;
}

/// Some tiles of some channels, evaluated at the points, from a cache line on: of point k and channel c, tile t's row
/// of `width` values from at(k, c) + t * row on. An input's rows have a vector of zeros before, between and behind, for
/// the columns' taps to reach into; a gradient's follow one another. A row is filled up with zeros to whole vectors.
struct Transformed {
  float* data = nullptr;
  int64_t width = 0, tiles = 0;
  int64_t border = 0;                       ///< zeros before, between and behind rows
  int64_t row = 0, channel = 0, point = 0;  ///< floats from one to the next
  float* at(int64_t k, int64_t c) const { return data + k * point + c * channel + border; }
  int64_t size() const { return points * point; }
};

struct TileShape {
  int64_t width = 0;
  int64_t vector = narrow;
};

inline Transformed transformed(float* data, const TileShape& shape, int64_t tiles, int64_t channels, bool border) {
  Transformed u{.data = data, .width = shape.width, .tiles = tiles, .border = border ? shape.vector : 0};
  u.row = whole_vectors(shape.width, shape.vector) + u.border;
  u.channel = u.border + tiles * u.row;
  u.point = channels * u.channel + 3 * shape.vector;  // six streams are written at once: not to the same cache sets
  return u;
}

}  // namespace evenflow::kernels::cpu::winograd
