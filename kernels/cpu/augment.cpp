#include "kernels/augment.h"

#include "kernels/operations.h"

namespace evenflow::kernels::cpu {

void run(Stream&, const DrawChanges& given) {
  DrawChanges task = given;
  use_own_draws(task);
  for (int64_t window = 0; window < task.changes.size; ++window) {
    draw_change_of(task, window);
  }
}

}  // namespace evenflow::kernels::cpu
