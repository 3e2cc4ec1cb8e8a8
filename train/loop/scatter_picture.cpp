#include "train/loop/scatter_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "io/error.h"
#include "io/png.h"

namespace evenflow::train {
namespace {

using Rgb = std::array<uint8_t, 3>;
constexpr Rgb white = {255, 255, 255}, ink = {40, 40, 40}, grid = {228, 228, 228}, guide = {130, 130, 130};

// A 5 × 7 font: ASCII 32 to 126, five columns each, bit 0 at the top.
constexpr uint8_t font[95][5] = {
    {0x00, 0x00, 0x00, 0x00, 0x00}, {0x00, 0x00, 0x5F, 0x00, 0x00}, {0x00, 0x03, 0x00, 0x03, 0x00},
    {0x14, 0x7F, 0x14, 0x7F, 0x14}, {0x24, 0x2A, 0x7F, 0x2A, 0x12}, {0x23, 0x13, 0x08, 0x64, 0x62},
    {0x36, 0x49, 0x55, 0x22, 0x50}, {0x00, 0x00, 0x03, 0x00, 0x00}, {0x00, 0x1C, 0x22, 0x41, 0x00},
    {0x00, 0x41, 0x22, 0x1C, 0x00}, {0x14, 0x08, 0x3E, 0x08, 0x14}, {0x08, 0x08, 0x3E, 0x08, 0x08},
    {0x00, 0x50, 0x30, 0x00, 0x00}, {0x08, 0x08, 0x08, 0x08, 0x08}, {0x00, 0x60, 0x60, 0x00, 0x00},
    {0x20, 0x10, 0x08, 0x04, 0x02}, {0x3E, 0x51, 0x49, 0x45, 0x3E}, {0x00, 0x42, 0x7F, 0x40, 0x00},
    {0x42, 0x61, 0x51, 0x49, 0x46}, {0x21, 0x41, 0x45, 0x4B, 0x31}, {0x18, 0x14, 0x12, 0x7F, 0x10},
    {0x27, 0x45, 0x45, 0x45, 0x39}, {0x3C, 0x4A, 0x49, 0x49, 0x30}, {0x01, 0x71, 0x09, 0x05, 0x03},
    {0x36, 0x49, 0x49, 0x49, 0x36}, {0x06, 0x49, 0x49, 0x29, 0x1E}, {0x00, 0x36, 0x36, 0x00, 0x00},
    {0x00, 0x56, 0x36, 0x00, 0x00}, {0x08, 0x14, 0x22, 0x41, 0x00}, {0x14, 0x14, 0x14, 0x14, 0x14},
    {0x00, 0x41, 0x22, 0x14, 0x08}, {0x02, 0x01, 0x51, 0x09, 0x06}, {0x32, 0x49, 0x79, 0x41, 0x3E},
    {0x7E, 0x11, 0x11, 0x11, 0x7E}, {0x7F, 0x49, 0x49, 0x49, 0x36}, {0x3E, 0x41, 0x41, 0x41, 0x22},
    {0x7F, 0x41, 0x41, 0x22, 0x1C}, {0x7F, 0x49, 0x49, 0x49, 0x41}, {0x7F, 0x09, 0x09, 0x09, 0x01},
    {0x3E, 0x41, 0x49, 0x49, 0x7A}, {0x7F, 0x08, 0x08, 0x08, 0x7F}, {0x00, 0x41, 0x7F, 0x41, 0x00},
    {0x20, 0x40, 0x41, 0x3F, 0x01}, {0x7F, 0x08, 0x14, 0x22, 0x41}, {0x7F, 0x40, 0x40, 0x40, 0x40},
    {0x7F, 0x02, 0x0C, 0x02, 0x7F}, {0x7F, 0x04, 0x08, 0x10, 0x7F}, {0x3E, 0x41, 0x41, 0x41, 0x3E},
    {0x7F, 0x09, 0x09, 0x09, 0x06}, {0x3E, 0x41, 0x51, 0x21, 0x5E}, {0x7F, 0x09, 0x19, 0x29, 0x46},
    {0x46, 0x49, 0x49, 0x49, 0x31}, {0x01, 0x01, 0x7F, 0x01, 0x01}, {0x3F, 0x40, 0x40, 0x40, 0x3F},
    {0x1F, 0x20, 0x40, 0x20, 0x1F}, {0x3F, 0x40, 0x38, 0x40, 0x3F}, {0x63, 0x14, 0x08, 0x14, 0x63},
    {0x07, 0x08, 0x70, 0x08, 0x07}, {0x61, 0x51, 0x49, 0x45, 0x43}, {0x00, 0x7F, 0x41, 0x41, 0x00},
    {0x02, 0x04, 0x08, 0x10, 0x20}, {0x00, 0x41, 0x41, 0x7F, 0x00}, {0x04, 0x02, 0x01, 0x02, 0x04},
    {0x40, 0x40, 0x40, 0x40, 0x40}, {0x00, 0x01, 0x02, 0x04, 0x00}, {0x20, 0x54, 0x54, 0x54, 0x78},
    {0x7F, 0x48, 0x44, 0x44, 0x38}, {0x38, 0x44, 0x44, 0x44, 0x20}, {0x38, 0x44, 0x44, 0x48, 0x7F},
    {0x38, 0x54, 0x54, 0x54, 0x18}, {0x08, 0x7E, 0x09, 0x01, 0x02}, {0x0C, 0x52, 0x52, 0x52, 0x3E},
    {0x7F, 0x08, 0x04, 0x04, 0x78}, {0x00, 0x44, 0x7D, 0x40, 0x00}, {0x20, 0x40, 0x44, 0x3D, 0x00},
    {0x7F, 0x10, 0x28, 0x44, 0x00}, {0x00, 0x41, 0x7F, 0x40, 0x00}, {0x7C, 0x04, 0x18, 0x04, 0x78},
    {0x7C, 0x08, 0x04, 0x04, 0x78}, {0x38, 0x44, 0x44, 0x44, 0x38}, {0x7C, 0x14, 0x14, 0x14, 0x08},
    {0x08, 0x14, 0x14, 0x18, 0x7C}, {0x7C, 0x08, 0x04, 0x04, 0x08}, {0x48, 0x54, 0x54, 0x54, 0x20},
    {0x04, 0x3F, 0x44, 0x40, 0x20}, {0x3C, 0x40, 0x40, 0x20, 0x7C}, {0x1C, 0x20, 0x40, 0x20, 0x1C},
    {0x3C, 0x40, 0x30, 0x40, 0x3C}, {0x44, 0x28, 0x10, 0x28, 0x44}, {0x0C, 0x50, 0x50, 0x50, 0x3C},
    {0x44, 0x64, 0x54, 0x4C, 0x44}, {0x00, 0x08, 0x36, 0x41, 0x00}, {0x00, 0x00, 0x7F, 0x00, 0x00},
    {0x00, 0x41, 0x36, 0x08, 0x00}, {0x08, 0x04, 0x08, 0x10, 0x08},
};
constexpr uint8_t box[5] = {0x7F, 0x41, 0x41, 0x41, 0x7F};

class Canvas {
 public:
  Canvas(int width, int height) : width_(width), height_(height), pixels_(size_t{3} * width * height, 255) {}
  int width() const { return width_; }
  int height() const { return height_; }
  const std::vector<uint8_t>& pixels() const { return pixels_; }

  void blend(int x, int y, const Rgb& colour, double coverage) {
    if (x < 0 || y < 0 || x >= width_ || y >= height_ || !(coverage > 0.0)) {
      return;
    }
    uint8_t* pixel = &pixels_[3 * (static_cast<size_t>(y) * width_ + x)];
    for (size_t i = 0; i < 3; ++i) {
      pixel[i] = static_cast<uint8_t>(std::lround(pixel[i] + (colour[i] - pixel[i]) * std::min(coverage, 1.0)));
    }
  }

  void fill(int left, int top, int width, int height, const Rgb& colour) {
    for (int y = top; y < top + height; ++y) {
      for (int x = left; x < left + width; ++x) {
        blend(x, y, colour, 1.0);
      }
    }
  }

  /// An anti-aliased disc; pixel centres lie at halves.
  void disc(double centre_x, double centre_y, double radius, const Rgb& colour, double opacity) {
    const int reach = static_cast<int>(std::ceil(radius)) + 1;
    const int at_x = static_cast<int>(std::floor(centre_x)), at_y = static_cast<int>(std::floor(centre_y));
    for (int y = at_y - reach; y <= at_y + reach; ++y) {
      for (int x = at_x - reach; x <= at_x + reach; ++x) {
        const double distance = std::hypot(x + 0.5 - centre_x, y + 0.5 - centre_y);
        blend(x, y, colour, opacity * std::clamp(radius + 0.5 - distance, 0.0, 1.0));
      }
    }
  }

  /// A dashed anti-aliased line.
  void dashes(double x0, double y0, double x1, double y1, double width, const Rgb& colour) {
    constexpr double dash = 9.0, period = 15.0;
    const double length = std::hypot(x1 - x0, y1 - y0);
    const double along_x = (x1 - x0) / length, along_y = (y1 - y0) / length;
    const auto [left, right] = std::minmax(x0, x1);
    const auto [top, bottom] = std::minmax(y0, y1);
    for (int y = static_cast<int>(top) - 2; y <= static_cast<int>(bottom) + 2; ++y) {
      for (int x = static_cast<int>(left) - 2; x <= static_cast<int>(right) + 2; ++x) {
        const double dx = x + 0.5 - x0, dy = y + 0.5 - y0;
        const double along = dx * along_x + dy * along_y;
        if (along < 0.0 || along > length || std::fmod(along, period) > dash) {
          continue;
        }
        blend(x, y, colour, std::clamp(width / 2 + 0.5 - std::abs(dx * along_y - dy * along_x), 0.0, 1.0));
      }
    }
  }

  static int text_width(std::string_view text, int scale) {
    return text.empty() ? 0 : (6 * static_cast<int>(text.size()) - 1) * scale;
  }

  /// Text with its upper left corner at (left, top); turned: reading upwards, with its lower left corner there.
  void text(int left, int top, std::string_view text, int scale, bool turned = false) {
    for (size_t i = 0; i < text.size(); ++i) {
      const unsigned code = static_cast<unsigned char>(text[i]);
      const uint8_t* columns = code >= 32 && code < 127 ? font[code - 32] : box;
      for (int x = 0; x < 5; ++x) {
        for (int y = 0; y < 7; ++y) {
          if ((columns[x] >> y & 1) == 0) {
            continue;
          }
          const int along = (6 * static_cast<int>(i) + x) * scale;
          if (turned) {
            fill(left + y * scale, top - along - scale, scale, scale, ink);
          } else {
            fill(left + along, top + y * scale, scale, scale, ink);
          }
        }
      }
    }
  }

 private:
  int width_, height_;
  std::vector<uint8_t> pixels_;
};

struct Axis {
  double low = 0.0, high = 1.0;
  std::vector<double> ticks;
  int decimals = 0;
  double place(double value) const { return (value - low) / (high - low); }
  std::string label(double tick) const {
    // Avoids "-0".
    const double value = std::abs(tick) < 1e-9 * (high - low) ? 0.0 : tick;
    if (std::max(std::abs(low), std::abs(high)) >= 1e6 || decimals > 4) {
      return fmt::format("{:.4g}", value);
    }
    return fmt::format("{:.{}f}", value, decimals);
  }
};

Axis make_axis(double low, double high) {
  Axis axis;
  if (low <= high) {
    // A single value, or a spread below rounding, still needs an axis.
    const double least = std::max(1e-9 * std::max(std::abs(low), std::abs(high)), 1e-300);
    const double margin = high - low > least ? 0.04 * (high - low) : std::max(0.5 * std::abs(low), 0.5);
    axis.low = low - margin;
    axis.high = high + margin;
  }
  axis.ticks = round_ticks(axis.low, axis.high, 7);
  const double step = axis.ticks.size() > 1 ? axis.ticks[1] - axis.ticks[0] : 1.0;
  axis.decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  return axis;
}

bool is_drawn(const ScatterSeries& series, size_t i) {
  return std::isfinite(series.x[i]) && std::isfinite(series.y[i]);
}

/// The points' bounds, and how many there are.
struct Extent {
  explicit Extent(const ScatterPlot& plot) {
    for (const ScatterSeries& series : plot.series) {
      for (size_t i = 0; i < series.x.size(); ++i) {
        if (!is_drawn(series, i)) {
          continue;
        }
        ++points;
        low_x = std::min(low_x, series.x[i]);
        high_x = std::max(high_x, series.x[i]);
        low_y = std::min(low_y, series.y[i]);
        high_y = std::max(high_y, series.y[i]);
      }
    }
    if (plot.identity_line) {
      low_x = low_y = std::min(low_x, low_y);
      high_x = high_y = std::max(high_x, high_y);
    }
  }
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  double low_x = infinity, high_x = -infinity, low_y = infinity, high_y = -infinity;
  size_t points = 0;
};

/// A plot on its canvas, drawn from the back to the front.
class Drawing {
 public:
  explicit Drawing(const ScatterPlot& plot)
      : plot_(plot),
        extent_(plot),
        x_axis_(make_axis(extent_.low_x, extent_.high_x)),
        y_axis_(make_axis(extent_.low_y, extent_.high_y)),
        canvas_(plot.width_px, plot.height_px),
        scale_(std::max(1, std::min(plot.width_px, plot.height_px) / 320)),
        line_(10 * scale_) {
    int number_width = 0;
    for (const double tick : y_axis_.ticks) {
      number_width = std::max(number_width, Canvas::text_width(y_axis_.label(tick), scale_));
    }
    left_ = 2 * line_ + line_ / 2 + number_width;
    right_ = plot.width_px - line_;
    top_ = plot.title.empty() ? line_ : 2 * line_;
    bottom_ = plot.height_px - 3 * line_ - line_ / 2;
  }

  std::vector<uint8_t> png() {
    x_ticks();
    y_ticks();
    if (plot_.identity_line) {
      canvas_.dashes(to_x(x_axis_.low), to_y(x_axis_.low), to_x(x_axis_.high), to_y(x_axis_.high), 0.75 * scale_,
                     guide);
    }
    points();
    frame();
    titles();
    legend();
    return io::encode_png(canvas_.width(), canvas_.height(), canvas_.pixels());
  }

 private:
  double to_x(double value) const { return left_ + x_axis_.place(value) * (right_ - left_); }
  double to_y(double value) const { return bottom_ - y_axis_.place(value) * (bottom_ - top_); }

  void x_ticks() {
    int labelled_to = std::numeric_limits<int>::min();
    for (const double tick : x_axis_.ticks) {
      const int x = static_cast<int>(std::lround(to_x(tick)));
      canvas_.fill(x, top_, 1, bottom_ - top_, grid);
      canvas_.fill(x, bottom_, 1, line_ / 2, ink);
      const std::string label = x_axis_.label(tick);
      const int width = Canvas::text_width(label, scale_);
      if (x - width / 2 < labelled_to) {
        continue;
      }
      canvas_.text(x - width / 2, bottom_ + line_ / 2 + 2 * scale_, label, scale_);
      labelled_to = x + width / 2 + 6 * scale_;
    }
  }

  void y_ticks() {
    for (const double tick : y_axis_.ticks) {
      const int y = static_cast<int>(std::lround(to_y(tick)));
      canvas_.fill(left_, y, right_ - left_, 1, grid);
      canvas_.fill(left_ - line_ / 2, y, line_ / 2, 1, ink);
      const std::string label = y_axis_.label(tick);
      canvas_.text(left_ - line_ / 2 - 2 * scale_ - Canvas::text_width(label, scale_), y - 3 * scale_, label, scale_);
    }
  }

  /// Many points overlap: the more there are, the fainter and smaller each.
  void points() {
    const bool few = extent_.points <= 300;
    const double radius = scale_ * (few ? 1.8 : 1.3), opacity = few ? 0.75 : 0.5;
    for (const ScatterSeries& series : plot_.series) {
      for (size_t i = 0; i < series.x.size(); ++i) {
        if (is_drawn(series, i)) {
          canvas_.disc(to_x(series.x[i]), to_y(series.y[i]), radius, series.rgb, opacity);
        }
      }
    }
  }

  void frame() {
    canvas_.fill(left_, top_, right_ - left_, 1, ink);
    canvas_.fill(left_, bottom_, right_ - left_ + 1, 1, ink);
    canvas_.fill(left_, top_, 1, bottom_ - top_, ink);
    canvas_.fill(right_, top_, 1, bottom_ - top_, ink);
  }

  void titles() {
    const int title_x = (left_ + right_ - Canvas::text_width(plot_.title, scale_)) / 2;
    canvas_.text(std::max(0, title_x), line_ / 2, plot_.title, scale_);
    const int label_x = (left_ + right_ - Canvas::text_width(plot_.x_label, scale_)) / 2;
    canvas_.text(label_x, plot_.height_px - line_ - line_ / 4, plot_.x_label, scale_);
    const int label_y = (top_ + bottom_ + Canvas::text_width(plot_.y_label, scale_)) / 2;
    canvas_.text(line_ / 2, label_y, plot_.y_label, scale_, true);
  }

  void legend() {
    int y = top_ + line_ / 2;
    for (const ScatterSeries& series : plot_.series) {
      if (series.name.empty()) {
        continue;
      }
      const int width = Canvas::text_width(series.name, scale_);
      canvas_.fill(left_ + line_ / 2, y - 2 * scale_, width + 2 * line_, line_ + scale_, white);
      canvas_.disc(left_ + line_, y + 3.5 * scale_, 2.5 * scale_, series.rgb, 1.0);
      canvas_.text(left_ + line_ + 6 * scale_, y, series.name, scale_);
      y += line_ + 2 * scale_;
    }
  }

  const ScatterPlot& plot_;
  Extent extent_;
  Axis x_axis_, y_axis_;
  Canvas canvas_;
  int scale_, line_;
  int left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;  // of the frame
};

void require_drawable(const ScatterPlot& plot) {
  constexpr int least_px = 160, most_px = 8192;
  if (std::min(plot.width_px, plot.height_px) < least_px || std::max(plot.width_px, plot.height_px) > most_px) {
    throw io::UsageError(fmt::format("scatter plot: {} x {} pixels; each side must lie in {} to {}", plot.width_px,
                                     plot.height_px, least_px, most_px));
  }
  for (const ScatterSeries& series : plot.series) {
    if (series.x.size() != series.y.size()) {
      throw io::UsageError(fmt::format("scatter plot: series '{}' has {} x and {} y; give one y per x", series.name,
                                       series.x.size(), series.y.size()));
    }
  }
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int wanted) {
  const double raw = (high - low) / std::max(wanted, 1);
  if (!(raw > 0.0) || !std::isfinite(raw)) {
    return {low};
  }
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10.0 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1.0 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) {
    ticks.push_back(i * step);
  }
  return ticks;
}

std::vector<uint8_t> draw_scatter(const ScatterPlot& plot) {
  require_drawable(plot);
  return Drawing(plot).png();
}

}  // namespace evenflow::train
