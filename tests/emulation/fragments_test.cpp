// The kernels' places in a warp's tile products are those of the ISA's figures: held at compile time.
#include "kernels/cuda/fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/fused.h"
#include "tests/emulation/mma_figures.h"

namespace evenflow::kernels::cuda {
namespace {

namespace figures = tests::mma_figures;

static_assert(figures::shows(figures::a_tf32, 4, of_a));
static_assert(figures::shows(figures::b_tf32, 2, of_b));
static_assert(figures::shows(figures::sums, 4, of_sums));

/// A k that different lanes and values agree on, for each k of the instruction.
template <size_t count>
class Agreed {
 public:
  constexpr bool set(int at, int k) {
    int& there = k_.at(static_cast<size_t>(at));
    const bool same = there == unknown || there == k;
    there = k;
    return same;
  }
  constexpr int operator[](int at) const { return k_.at(static_cast<size_t>(at)); }
  /// Whether every k is there once.
  constexpr bool whole() const {
    std::array<bool, count> there{};
    for (const int k : k_) {
      if (k < 0 || k >= static_cast<int>(count) || there.at(static_cast<size_t>(k))) {
        return false;
      }
      there.at(static_cast<size_t>(k)) = true;
    }
    return true;
  }

 private:
  static constexpr int unknown = -1;
  std::array<int, count> k_ = [] {
    std::array<int, count> all{};
    all.fill(unknown);
    return all;
  }();
};

/// mma_bf16's slices lie in the instruction's fragments, each in its own rows and columns, and the k in which A and B
/// meet there are the same.
constexpr bool slices_meet() {
  Agreed<16> k;
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 16; ++column) {
      const int owner = figures::a_bf16.at(row).at(column);
      const SliceValue from = bf16_of_a(owner % 10);
      const TileElement of_slice = of_a(owner / 10, from.i);
      if (of_slice.row != static_cast<int>(row) ||
          !k.set(static_cast<int>(column), tile_columns * from.slice + of_slice.column)) {
        return false;
      }
    }
  }
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      const int owner = figures::b_bf16.at(row).at(column);
      const SliceValue from = bf16_of_b(owner % 10);
      const TileElement of_slice = of_b(owner / 10, from.i);
      if (of_slice.column != static_cast<int>(column) ||
          k[static_cast<int>(row)] != tile_columns * from.slice + of_slice.row) {
        return false;
      }
    }
  }
  return k.whole();
}
static_assert(slices_meet());
// As mma_bf16 names them.
static_assert(bf16_of_a(0).slice == 0 && bf16_of_a(3).slice == 0 && bf16_of_a(4).slice == 1 && bf16_of_a(7).slice == 1);
static_assert(bf16_of_b(1).slice == 0 && bf16_of_b(2).slice == 1);

/// A's values as they are picked up from a map.
constexpr bool values_lie_in_rows() {
  for (int lane = 0; lane < warp_size; ++lane) {
    for (int r = 0; r < 2; ++r) {
      for (int which = 0; which < 2; ++which) {
        const TileElement place = of_a(lane, value_of_a(r, which));
        if (place.row != lane / 4 + tile_columns * r || place.column != lane % 4 + 4 * which) {
          return false;
        }
      }
    }
  }
  return true;
}
static_assert(values_lie_in_rows());

/// A packed weight [pair of k tiles][n tile][lane][4], against A: as values of a map, k by k, or as the sums that a
/// product before has left in the lanes, feature by feature.
constexpr bool weight_meets(bool chained) {
  const PackedWeight weight{.offset = 0, .k_tiles = 4, .n_tiles = 3, .chained = chained};
  Agreed<8> k;  // of a k tile, for each of the instruction's
  for (int lane = 0; lane < warp_size; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const TileElement place = of_a(lane, i);
      const TileElement sum = of_sums(lane, chained_sum(i));
      if (!k.set(place.column, chained ? sum.column : place.column) || (chained && sum.row != place.row)) {
        return false;
      }
    }
  }
  int at = 0;
  for (int pair = 0; pair < weight.k_tiles / 2; ++pair) {
    for (int n_tile = 0; n_tile < weight.n_tiles; ++n_tile) {
      for (int lane = 0; lane < warp_size; ++lane) {
        for (int of_pair = 0; of_pair < 2; ++of_pair) {
          for (int i = 0; i < 2; ++i, ++at) {
            const PackedPlace packed(weight, at);
            const TileElement place = of_b(lane, i);
            if (packed.k != (2 * pair + of_pair) * tile_columns + k[place.row] ||
                packed.n != n_tile * tile_columns + place.column) {
              return false;
            }
          }
        }
      }
    }
  }
  return k.whole() && at == weight.floats();
}
static_assert(weight_meets(false));
static_assert(weight_meets(true));

/// Every slot of a stage's 16 features has a place of its own, and a lane's two of a right one, 2t and 2t + 1, are 16
/// bytes together.
constexpr bool slots_are_apart() {
  std::array<bool, 2 * stage_tile_floats> left{}, right{};
  const auto take = [](auto& places, int first, int count) {
    for (int i = first; i < first + count; ++i) {
      if (places.at(static_cast<size_t>(i))) {
        return false;
      }
      places.at(static_cast<size_t>(i)) = true;
    }
    return first % count == 0;
  };
  for (int g = 0; g < 8; ++g) {
    for (int feature = 0; feature < 16; ++feature) {
      if (!take(right, right_slot(feature, g), 2) || (feature < 8 && !take(left, left_slot(feature, g), 4)) ||
          (g % 2 == 0 &&
           (right_slot(feature, g) % 4 != 0 || right_slot(feature, g + 1) != right_slot(feature, g) + 2))) {
        return false;
      }
    }
  }
  return true;
}
static_assert(slots_are_apart());

TEST(Fragments, AFigureIsToldFromAnother) {
  auto exchanged = figures::a_tf32;
  std::swap(exchanged[8][0], exchanged[0][4]);
  EXPECT_TRUE(figures::shows(figures::a_tf32, 4, of_a));
  EXPECT_FALSE(figures::shows(exchanged, 4, of_a));
  EXPECT_FALSE(figures::shows(figures::sums, 4, of_a));
  EXPECT_FALSE(figures::shows(figures::a_tf32, 2, of_a));
}

}  // namespace
}  // namespace evenflow::kernels::cuda
