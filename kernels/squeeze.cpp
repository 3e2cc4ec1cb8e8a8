#include "kernels/squeeze.h"

#include <fmt/format.h>

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

void check_maps(const char* operation, ConstMap fine, ConstMap coarse) {
  if (fine.h % 2 == 0 && fine.w % 2 == 0 && coarse.n == fine.n && coarse.c == 4 * fine.c && coarse.h == fine.h / 2 &&
      coarse.w == fine.w / 2) {
    return;
  }
  throw ShapeError(fmt::format("{}: expected [n, c, h, w] with even h, w and [n, 4c, h/2, w/2], got {} and {}",
                               operation, text(fine), text(coarse)));
}

}  // namespace

void squeeze(Stream& stream, const Squeeze& task) {
  check_maps("squeeze", task.x, task.y);
  check(task.y.data != task.x.data, "squeeze", "y in other memory than x");
  dispatch(stream, "squeeze", task);
}

void unsqueeze(Stream& stream, const Unsqueeze& task) {
  check_maps("unsqueeze", task.x, task.y);
  check(task.y.data != task.x.data, "unsqueeze", "y in other memory than x");
  dispatch(stream, "unsqueeze", task);
}

Cost cost(const Squeeze& task) {
  return {2 * bytes_of_floats(task.x.size()), 0};
}

Cost cost(const Unsqueeze& task) {
  return {2 * bytes_of_floats(task.y.size()), 0};
}

}  // namespace evenflow::kernels
