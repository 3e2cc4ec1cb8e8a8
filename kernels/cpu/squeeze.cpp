#include "kernels/squeeze.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {
namespace {

// One loop for both directions: `move(fine, coarse)` copies one element either way.
template <class Fine, class Coarse, class Move>
void for_each_pair(const Fine& fine, const Coarse& coarse, Move move) {
  for (int64_t n = 0; n < fine.n; ++n) {
    for (int64_t c = 0; c < fine.c; ++c) {
      for (int64_t dy = 0; dy < 2; ++dy) {
        auto* even = coarse.sample(n) + (4 * c + 2 * dy) * coarse.pixels();
        auto* odd = even + coarse.pixels();
        for (int64_t y = 0; y < coarse.h; ++y) {
          auto* row = fine.sample(n) + (c * fine.h + 2 * y + dy) * fine.w;
          for (int64_t x = 0; x < coarse.w; ++x) {
            move(row[2 * x], even[y * coarse.w + x]);
            move(row[2 * x + 1], odd[y * coarse.w + x]);
          }
        }
      }
    }
  }
}

}  // namespace

void run(Stream&, const Squeeze& task) {
  for_each_pair(task.x, task.y, [](const float& fine, float& coarse) { coarse = fine; });
}

void run(Stream&, const Unsqueeze& task) {
  for_each_pair(task.x, task.y, [](float& fine, const float& coarse) { fine = coarse; });
}

}  // namespace evenflow::kernels::cpu
