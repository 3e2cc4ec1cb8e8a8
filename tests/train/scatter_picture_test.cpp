// The scatter picture, decoded again: size, points where they belong, and odd input.
#include "train/loop/scatter_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <vector>

#include "io/error.h"

namespace evenflow::train {
namespace {

struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;
};

Picture decode(const std::vector<uint8_t>& png) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  Picture picture;
  if (png_image_begin_read_from_memory(&image, png.data(), png.size()) == 0) {
    ADD_FAILURE() << image.message;
    return picture;
  }
  image.format = PNG_FORMAT_RGB;
  picture.width = static_cast<int>(image.width);
  picture.height = static_cast<int>(image.height);
  picture.rgb.resize(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, picture.rgb.data(), 0, nullptr), 0) << image.message;
  return picture;
}

/// Mean position of reddish pixels, as fractions of the picture from the lower left.
std::pair<double, double> centre_of_red(const Picture& picture, int* count = nullptr) {
  double x = 0, y = 0;
  int n = 0;
  for (int row = 0; row < picture.height; ++row) {
    for (int column = 0; column < picture.width; ++column) {
      const uint8_t* p = &picture.rgb[3 * (static_cast<size_t>(row) * picture.width + column)];
      if (p[0] > p[1] + 100 && p[0] > p[2] + 100) {
        x += column;
        y += picture.height - 1 - row;
        ++n;
      }
    }
  }
  if (count != nullptr) {
    *count = n;
  }
  return {x / n / picture.width, y / n / picture.height};
}

TEST(ScatterPicture, PointsLieWhereTheyBelong) {
  ScatterPlot plot;
  const std::vector<double> corners = {0, 100};
  plot.series.push_back({.name = "", .rgb = {0, 0, 255}, .x = corners, .y = corners});
  plot.series.push_back({.name = "", .rgb = {255, 0, 0}, .x = {50}, .y = {50}});
  const auto middle = centre_of_red(decode(draw_scatter(plot)));
  plot.series[1].x = {90};
  plot.series[1].y = {20};
  const auto moved = centre_of_red(decode(draw_scatter(plot)));
  EXPECT_NEAR(moved.first - middle.first, 0.4 * 0.8, 0.05);
  EXPECT_NEAR(moved.second - middle.second, -0.3 * 0.8, 0.05);
}

TEST(ScatterPicture, HasTheAskedSize) {
  const auto picture = decode(draw_scatter({.title = "t", .width_px = 333, .height_px = 161}));
  EXPECT_EQ(picture.width, 333);
  EXPECT_EQ(picture.height, 161);
  EXPECT_THROW(draw_scatter({.width_px = 100}), io::UsageError);
  EXPECT_THROW(draw_scatter({.height_px = 100000}), io::UsageError);
}

TEST(ScatterPicture, OddInput) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  ScatterPlot plot;
  plot.title = "caf\xC3\xA9";
  plot.series.push_back({.name = "none", .rgb = {255, 0, 0}, .x = {nan, 1, INFINITY}, .y = {1, nan, 2}});
  int red = 0;
  plot.series[0].name.clear();
  centre_of_red(decode(draw_scatter(plot)), &red);
  EXPECT_EQ(red, 0);
  for (const double value : {0.0, 1e-300, 7.0, -1e12, 1e300}) {
    plot.series[0].x = {value, nan};
    plot.series[0].y = {value, nan};
    centre_of_red(decode(draw_scatter(plot)), &red);
    EXPECT_GT(red, 0) << value;
  }
  plot.series[0].y.pop_back();
  EXPECT_THROW(draw_scatter(plot), io::UsageError);
}

TEST(ScatterPicture, TicksAreRound) {
  EXPECT_THAT(round_ticks(21, 779, 7), testing::ElementsAre(200, 400, 600));
  EXPECT_THAT(round_ticks(0, 1, 5), testing::Pointwise(testing::DoubleNear(1e-12), {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}));
  EXPECT_THAT(round_ticks(-3, 3, 6), testing::ElementsAre(-3, -2, -1, 0, 1, 2, 3));
  EXPECT_THAT(round_ticks(5, 5, 6), testing::ElementsAre(5));
}

/// Not a check: EVENFLOW_TEST_PICTURE=file.png writes one to look at.
TEST(ScatterPicture, OneToLookAt) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> noise(0.0, 25.0);
  ScatterPlot plot;
  plot.title = "epoch 40: correlation 0.991, mean error 19.8";
  plot.x_label = "velocity_mm_s";
  plot.y_label = "estimate of velocity_mm_s";
  ScatterSeries seen{.name = "seen", .rgb = {31, 95, 191}, .x = {}, .y = {}};
  ScatterSeries unseen{.name = "unseen", .rgb = {214, 96, 20}, .x = {}, .y = {}};
  for (int v = 50; v <= 750; v += 50) {
    for (int i = 0; i < 10; ++i) {
      ScatterSeries& series = v % 100 == 0 ? seen : unseen;
      series.x.push_back(v);
      series.y.push_back(400 + 0.94 * (v - 400) + noise(random));
    }
  }
  plot.series = {seen, unseen};
  const auto png = draw_scatter(plot);
  EXPECT_LT(png.size(), 100'000u);
  if (const char* file = std::getenv("EVENFLOW_TEST_PICTURE")) {
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
  }
}

}  // namespace
}  // namespace evenflow::train
