// The head of a classifier of parameter values: softmax over classes, and its cross-entropy.
//
// Classes are the cells of a grid: every parameter's values, each ascending; the last parameter's changes fastest.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
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
    if (v[p] != v[p]) {
      return -1;
    }
    int64_t nearest = 0;
    while (nearest + 1 < count && values[nearest + 1] - v[p] < v[p] - values[nearest]) {
      ++nearest;
    }
    cell = cell * count + nearest;
    values += count;
  }
  return cell;
}

/// What is classified, and what it is.
struct ClassifiedWindows {
  ClassGrid grid;
  Array<const float> logits;  ///< [n, classes]
  Array<const double> v;      ///< [n * P]; NaN = unknown; empty: none is known
  double weight = 1;
};

/// loss = weight times -log p(the class of v), nats; 0 where it is unknown. Float64: within 1e-12 (1 + loss). A NaN
/// among a window's logits makes its loss NaN. ShapeError.
struct CrossEntropy {
  ClassifiedWindows windows;
  Array<double> loss;  ///< [n]
};
void cross_entropy(Stream& stream, const CrossEntropy& task);
Cost cost(const CrossEntropy& task);

/// dlogits of scale times the sum of the losses. Within 2^-22 of itself and 1e-16.
struct CrossEntropyBackward {
  ClassifiedWindows windows;
  double scale = 1;
  Array<float> dlogits;  ///< [n, classes]
};
void cross_entropy_backward(Stream& stream, const CrossEntropyBackward& task);
Cost cost(const CrossEntropyBackward& task);

// ---- of one window, for the backends

/// log of the sum of the exponentials.
EVENFLOW_ANYWHERE inline double log_sum_exp(const float* logits, int64_t classes) {
  double top = logits[0];
  for (int64_t c = 1; c < classes; ++c) {
    top = fmax(top, static_cast<double>(logits[c]));
  }
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) {
    sum += exp(logits[c] - top);
  }
  return top + log(sum);
}

/// -1: unknown.
EVENFLOW_ANYWHERE inline int64_t class_of_window(const ClassifiedWindows& w, int64_t window) {
  return w.v.size == 0 ? -1 : class_of(w.grid, w.v.data + window * w.grid.counts.size);
}

EVENFLOW_ANYWHERE inline double cross_entropy_of(const ClassifiedWindows& w, int64_t window) {
  const float* logits = w.logits.data + window * w.grid.classes;
  const int64_t own = class_of_window(w, window);
  return own < 0 ? 0.0 : w.weight * (log_sum_exp(logits, w.grid.classes) - logits[own]);
}

/// dlogits [n, classes] of the whole; writes the window's row.
EVENFLOW_ANYWHERE inline void cross_entropy_backward_of(const ClassifiedWindows& w, int64_t window, double scale,
                                                        float* dlogits) {
  const int64_t classes = w.grid.classes;
  const float* logits = w.logits.data + window * classes;
  const double normaliser = log_sum_exp(logits, classes);
  const int64_t own = class_of_window(w, window);
  for (int64_t c = 0; c < classes; ++c) {
    const double off = exp(logits[c] - normaliser) - (c == own ? 1.0 : 0.0);
    dlogits[window * classes + c] = own < 0 ? 0.0F : static_cast<float>(scale * w.weight * off);
  }
}

}  // namespace evenflow::kernels
