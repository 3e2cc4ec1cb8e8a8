// Matrices as pictures: log-mel windows in a perceptually uniform colour map, as PNG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace evenflow::experiments {

/// A picture of 8-bit RGB pixels, rows from the top.
struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  ///< [height, width, 3]
  Image() = default;
  Image(int width_px, int height_px, uint8_t grey);
};

/// Colour of x in [0, 1] (clamped; NaN: grey): dark violet over green to yellow, after matplotlib's viridis.
void viridis(double x, uint8_t rgb[3]);

/// Draws values [rows, columns] with row 0 at the bottom (low frequencies), each value `scale` by `scale` pixels, its
/// top left corner at (x, y). `low` and `high` are the values at the ends of the colours.
void draw_matrix(Image& image, std::span<const float> values, int rows, int columns, int scale, int x, int y,
                 double low, double high);

/// Writes the picture atomically. io::DataError names file and reason.
void write_png(const std::filesystem::path& file, const Image& image);

}  // namespace evenflow::experiments
