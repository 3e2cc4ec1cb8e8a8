#include "kernels/gaussian.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {

namespace {

template <class Task>
int64_t sums_of(const Task& task) {
  return task.by_channel ? task.z.n * task.z.c : task.z.n;
}

}  // namespace

void gaussian_moments(Stream& stream, const GaussianMoments& task) {
  check_at_least("gaussian_moments", "sum", task.sum, sums_of(task));
  check_at_least("gaussian_moments", "centred_squares", task.centred_squares, sums_of(task));
  dispatch(stream, "gaussian_moments", task);
}

void gaussian_squares(Stream& stream, const GaussianSquares& task) {
  check_at_least("gaussian_squares", "squares", task.squares, task.z.n);
  dispatch(stream, "gaussian_squares", task);
}

void gaussian_backward(Stream& stream, const GaussianBackward& task) {
  check_same_shape("gaussian_backward", task.z, task.dz);
  check_at_least("gaussian_backward", "shift", task.shift, sums_of(task));
  dispatch(stream, "gaussian_backward", task);
}

Cost cost(const GaussianMoments& task) {
  const auto elements = static_cast<double>(task.z.size());
  return {bytes_of_floats(elements) + 4 * bytes_of_doubles(sums_of(task)), 4 * elements};
}

Cost cost(const GaussianSquares& task) {
  const auto elements = static_cast<double>(task.z.size());
  return {bytes_of_floats(elements) + 2 * bytes_of_doubles(task.z.n), 2 * elements};
}

Cost cost(const GaussianBackward& task) {
  const auto elements = static_cast<double>(task.z.size());
  return {2 * bytes_of_floats(elements) + bytes_of_doubles(sums_of(task)), 2 * elements};
}

}  // namespace evenflow::kernels
