// Where a score of a window comes from: shares that add up to it, by part of the model and by place in the window, and
// the score's gradient by the window (docs/method.md, "Explanations").
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace evenflow::flow {

/// Of one window [height, width] = [mel bands, frames] and one score.
struct Attribution {
  struct Part {
    std::string name;  ///< "z1", "zd", "log_det"; "reconstruction", "code"
    double share = 0;  ///< in the score's unit
    /// Of the part's values about what the model expects of them; 1: as it expects. NaN: it has no such values.
    double mean_square = std::numeric_limits<double>::quiet_NaN();
    int64_t bands = 0, frames = 0;  ///< what one of its values covers of the window; 0: it has no place
  };
  double score = 0;
  std::vector<Part> parts;      ///< add up to the score; empty of a score that is no sum over the window
  std::vector<double> shares;   ///< [height, width], add up to the score; empty likewise
  std::vector<float> gradient;  ///< [height, width] d score / d x, x normalised; empty of a score without
};

/// Adds `value` to the cells of a map [.., width] that pixel (i, j) of a map squeezed to cells of size by size stands
/// for, an equal part to each.
inline void spread(std::vector<double>& map, int64_t width, int64_t size, int64_t i, int64_t j, double value) {
  const double part = value / static_cast<double>(size * size);
  for (int64_t row = i * size; row < (i + 1) * size; ++row) {
    for (int64_t column = j * size; column < (j + 1) * size; ++column) {
      map[static_cast<size_t>(row * width + column)] += part;
    }
  }
}

/// Adds `value` to the whole map, an equal part to each cell: what has no place.
inline void spread_evenly(std::vector<double>& map, double value) {
  for (double& cell : map) {
    cell += value / static_cast<double>(map.size());
  }
}

}  // namespace evenflow::flow
