// A scatter plot as PNG bytes, for the event log and the report: what zd says of v against v.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace evenflow::train {

/// Points of one colour and one legend entry.
struct ScatterSeries {
  std::string name = {};
  std::array<uint8_t, 3> rgb = {31, 95, 191};
  std::vector<double> x = {}, y = {};  ///< same length; a point with a value that is not finite is left out
};

struct ScatterPlot {
  std::string title = {};                  ///< one line above the axes
  std::string x_label = {}, y_label = {};  ///< with the unit: "velocity_mm_s"
  std::vector<ScatterSeries> series = {};  ///< drawn in order
  bool identity_line = true;               ///< y = x, and the same range on both axes
  int width_px = 640, height_px = 640;
};

/// An RGB PNG of plot.width_px × plot.height_px: frame, ticks at round values with their numbers, grid, identity line,
/// points, legend. Text is ASCII; other characters show as a box. A plot without a finite point has axes from 0 to 1.
/// io::UsageError: a side below 160 or above 8192 pixels, x and y of different length.
std::vector<uint8_t> draw_scatter(const ScatterPlot& plot);

/// Round tick positions covering [low, high]: multiples of 1, 2 or 5 times a power of ten, about `wanted` of them.
std::vector<double> round_ticks(double low, double high, int wanted);

}  // namespace evenflow::train
