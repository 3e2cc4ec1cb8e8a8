// The head of a classifier of parameter values: softmax over classes, and its cross-entropy.
//
// Classes are the cells of a grid: every parameter's values, each ascending; the last parameter's changes fastest.
#pragma once

#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

struct ClassGrid {
  Array<const double> values;   ///< all parameters' values, end to end
  Array<const int64_t> counts;  ///< [P] how many of them are each parameter's
  int64_t classes = 0;          ///< the product of the counts
};

/// The cell whose values are the nearest to v [P], the lower of two that are as near; -1 where one of v is NaN.
EVENFLOW_ANYWHERE inline int64_t class_of(const ClassGrid& grid, const double* v) {
  int64_t cell = 0;
  const double* values = grid.values.data;
  for (int64_t p = 0; p < grid.counts.size; ++p) {
    const int64_t count = grid.counts.data[p];
    if (v[p] != v[p]) return -1;
    int64_t nearest = 0;
    while (nearest + 1 < count && values[nearest + 1] - v[p] < v[p] - values[nearest]) ++nearest;
    cell = cell * count + nearest;
    values += count;
  }
  return cell;
}

struct ClassLoss {
  ClassGrid grid;
  Array<const float> logits;  ///< [n, classes]
  Array<const double> v;      ///< [n * P]; NaN = unknown; empty: none is known
  double weight = 1;
};
/// loss [n] = weight times -log p(the class of v), nats; 0 where it is unknown. float64.
void class_loss(Stream& stream, const ClassLoss& task, Array<double> loss);
/// dlogits [n, classes] of scale times the sum of the losses.
void class_backward(Stream& stream, const ClassLoss& task, double scale, Array<float> dlogits);

}  // namespace evenflow::kernels
