// Where a lane's values of a warp's tile products lie: mma.sync's fragments (PTX ISA, Matrix Fragments for mma.m16n8k8
// and mma.m16n8k16), and what the kernels make of them. tests/emulation/fragments_test.cpp holds them against the
// figures there.
#pragma once

namespace evenflow::kernels::cuda {

/// A number that is there before the compiler optimises, so that its work is as with the number itself.
template <int kValue>
inline constexpr int constant = kValue;

struct TileElement {
  int row, column;
};

/// Value i of a lane's four of A [16, 8], two of B [8, 8] and four sums [16, 8] in mma_tf32, and in each of mma_bf16's
/// two slices.
constexpr TileElement of_a(int lane, int i) {
  return {lane / 4 + 8 * (i % 2), lane % 4 + 4 * (i / 2)};
}
constexpr TileElement of_b(int lane, int i) {
  return {lane % 4 + 4 * i, lane / 4};
}
constexpr TileElement of_sums(int lane, int i) {
  return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2};
}

/// Which of A's values is of row lane / 4 + 8 r and column lane % 4 + 4 which.
constexpr int value_of_a(int r, int which) {
  return 2 * which + r;
}

/// Which value of which slice mma_bf16 hands in as element i of the instruction's eight of A, and four of B. Which k
/// that is there does not matter to a sum over k, as long as A and B agree.
struct SliceValue {
  int slice, i;
};
constexpr SliceValue bf16_of_a(int i) {
  return {i / 4, i / 2 % 2 + 2 * (i % 2)};
}
constexpr SliceValue bf16_of_b(int i) {
  return {i / 2, i % 2};
}

/// Which of a product's sums is value i of A in the next product. That one's k are then the sums' columns.
constexpr int chained_sum(int i) {
  return 2 * (i % 2) + i / 2;
}

}  // namespace evenflow::kernels::cuda
