#include "tests/ptx/tile_products.h"

#include <array>
#include <bit>

#include "tests/ptx/interpreter.h"

namespace evenflow::ptx {
namespace {

constexpr int rows = 16, columns = 8;

/// Of A's columns, and of B's rows with columns one after the other.
template <int kDepth>
struct Tiles {
  std::array<std::array<float, rows>, kDepth> a;
  std::array<std::array<float, columns>, kDepth> b;
};

void check_whole(Warp& warp, const Instruction& in, uint32_t mask) {
  if (mask != all_lanes) {
    warp.fail(in, std::countr_zero(mask), "not all lanes of the warp come to the tile product together");
  }
}

/// Adds A's and B's products to C in the order of the tiles' depth, each rounded to float32, which holds a product of
/// tf32 or bf16 exactly. The hardware's order and roundings are not documented.
template <int kDepth>
void add_products(Warp& warp, const Instruction& in, const Tiles<kDepth>& tiles) {
  std::array<std::array<float, columns>, rows> sums;
  constexpr int first_c = 10;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int group = lane / 4, pair = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) {
      sums[group + i / 2 * 8][pair + i % 2] = warp.at<float>(in.operands[first_c + i])[lane];
    }
  }
  for (int k = 0; k < kDepth; ++k) {
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        sums[row][column] += tiles.a[k][row] * tiles.b[k][column];
      }
    }
  }
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int group = lane / 4, pair = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) {
      warp.at<float>(in.operands[i])[lane] = sums[group + i / 2 * 8][pair + i % 2];
    }
  }
}

}  // namespace

void multiply_tiles_tf32(Warp& warp, const Instruction& in, uint32_t mask) {
  check_whole(warp, in, mask);
  const auto tf32 = [&](int operand, int lane) {
    constexpr uint32_t kept = 0xffffe000U;
    return std::bit_cast<float>(warp.at<uint32_t>(in.operands[operand])[lane] & kept);
  };
  Tiles<8> tiles;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int group = lane / 4, place = lane % 4;
    tiles.a[place][group] = tf32(4, lane);
    tiles.a[place][group + 8] = tf32(5, lane);
    tiles.a[place + 4][group] = tf32(6, lane);
    tiles.a[place + 4][group + 8] = tf32(7, lane);
    tiles.b[place][group] = tf32(8, lane);
    tiles.b[place + 4][group] = tf32(9, lane);
  }
  add_products(warp, in, tiles);
}

void multiply_tiles_bf16(Warp& warp, const Instruction& in, uint32_t mask) {
  check_whole(warp, in, mask);
  const auto half = [&](int operand, int lane, bool high) {
    const uint32_t both = warp.at<uint32_t>(in.operands[operand])[lane];
    return std::bit_cast<float>(high ? both & 0xffff0000U : both << 16);
  };
  Tiles<16> tiles;
  for (int lane = 0; lane < warp_lanes; ++lane) {
    const int group = lane / 4, place = lane % 4;
    for (const bool high : {false, true}) {
      // Column 2 place + high of a tile's half. They are added in the order of the kernels' k: that is where it lies.
      const int first = place + (high ? 4 : 0), second = first + 8;
      tiles.a[first][group] = half(4, lane, high);
      tiles.a[first][group + 8] = half(5, lane, high);
      tiles.a[second][group] = half(6, lane, high);
      tiles.a[second][group + 8] = half(7, lane, high);
      tiles.b[first][group] = half(8, lane, high);
      tiles.b[second][group] = half(9, lane, high);
    }
  }
  add_products(warp, in, tiles);
}

}  // namespace evenflow::ptx
