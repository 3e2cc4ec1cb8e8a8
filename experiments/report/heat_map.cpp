#include "experiments/report/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "experiments/report/picture_file.h"
#include "io/png.h"

namespace evenflow::experiments {

Image::Image(int width_px, int height_px, uint8_t grey)
    : width(width_px),
      height(height_px),
      rgb(static_cast<size_t>(width_px) * static_cast<size_t>(height_px) * 3, grey) {}

void viridis(double x, uint8_t rgb[3]) {
  constexpr std::array<std::array<double, 3>, 9> anchors = {{{68, 1, 84},
                                                             {71, 44, 122},
                                                             {59, 81, 139},
                                                             {44, 113, 142},
                                                             {33, 144, 141},
                                                             {39, 173, 129},
                                                             {92, 200, 99},
                                                             {170, 220, 50},
                                                             {253, 231, 37}}};
  if (std::isnan(x)) {
    std::fill_n(rgb, 3, uint8_t{128});
    return;
  }
  const double place = std::clamp(x, 0.0, 1.0) * static_cast<double>(anchors.size() - 1);
  const size_t i = std::min(static_cast<size_t>(place), anchors.size() - 2);
  const double part = place - static_cast<double>(i);
  for (size_t c = 0; c < 3; ++c) {
    rgb[c] = static_cast<uint8_t>(std::lround(anchors[i][c] + part * (anchors[i + 1][c] - anchors[i][c])));
  }
}

void draw_matrix(Image& image, std::span<const float> values, int rows, int columns, int scale, int x, int y,
                 double low, double high) {
  for (int row = 0; row < rows * scale; ++row) {
    for (int column = 0; column < columns * scale; ++column) {
      const int r = rows - 1 - row / scale;
      const double value =
          values[static_cast<size_t>(r) * static_cast<size_t>(columns) + static_cast<size_t>(column / scale)];
      const size_t pixel =
          static_cast<size_t>(y + row) * static_cast<size_t>(image.width) + static_cast<size_t>(x + column);
      viridis((value - low) / (high - low), image.rgb.data() + 3 * pixel);
    }
  }
}

void write_png(const std::filesystem::path& file, const Image& image) {
  write_picture(file, io::encode_png(image.width, image.height, image.rgb));
}

}  // namespace evenflow::experiments
