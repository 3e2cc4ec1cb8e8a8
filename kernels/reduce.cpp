#include "kernels/reduce.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

void sum_rows(Stream& stream, const SumRows& task) {
  check(task.row_stride >= task.out.size, "sum_rows", "rows at least as far apart as out is long");
  check(task.rows == 0 || task.in.size >= (task.rows - 1) * task.row_stride + task.out.size, "sum_rows",
        "in of rows at their stride");
  dispatch(stream, "sum_rows", task);
}

void squared_norm(Stream& stream, const SquaredNorm& task) {
  check(task.out.size == 1, "squared_norm", "one element of output");
  dispatch(stream, "squared_norm", task);
}

Cost cost(const SumRows& task) {
  const auto columns = static_cast<double>(task.out.size), rows = static_cast<double>(task.rows);
  return {bytes_of_floats(columns) * (rows + 1), columns * rows};
}

Cost cost(const SquaredNorm& task) {
  return {bytes_of_floats(task.x.size), 2 * static_cast<double>(task.x.size)};
}

}  // namespace evenflow::kernels
