#include "frontend/normaliser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using testing::Each;
using testing::HasSubstr;

/// Feeds `frames` in pieces of the given numbers of frames, the last as often as needed.
io::NormaliserData fit(const std::vector<float>& frames, int bands, io::Normalisation mode,
                       std::vector<size_t> pieces = {1000000}) {
  return fit_normaliser(bands, mode, [&](auto&& sink) {
    size_t at = 0;
    for (size_t piece = 0; at < frames.size(); ++piece) {
      const size_t count = pieces[std::min(piece, pieces.size() - 1)] * static_cast<size_t>(bands);
      sink(std::span(frames).subspan(at, std::min(count, frames.size() - at)));
      at += count;
    }
  });
}

/// 1000 frames of 3 bands: about -60 dB, about 10 dB, and constant.
std::vector<float> three_bands() {
  const std::vector<float> random = test::noise(1.0, 2000);
  std::vector<float> frames;
  for (size_t i = 0; i < 1000; ++i) {
    frames.insert(frames.end(), {-60.0f + 5.0f * random[2 * i], 10.0f + random[2 * i + 1], -156.5356f});
  }
  return frames;
}

void expect_near(double came, double expected, double bound) {
  EXPECT_TRUE(std::abs(came - expected) <= bound) << came << ", expected " << expected;
}

TEST(Normaliser, PerBandIsTheMeanAndBiasedDeviation) {
  const std::vector<float> frames = three_bands();
  const io::NormaliserData data = fit(frames, 3, io::Normalisation::per_band);
  for (size_t band = 0; band < 2; ++band) {
    long double mean = 0, squares = 0;
    for (size_t i = band; i < frames.size(); i += 3) {
      mean += frames[i];
    }
    mean /= 1000;
    for (size_t i = band; i < frames.size(); i += 3) {
      squares += (frames[i] - mean) * (frames[i] - mean);
    }
    const auto expected_mean = static_cast<double>(mean);
    const auto expected_std = static_cast<double>(std::sqrt(squares / 1000));
    expect_near(static_cast<double>(data.mean[band]), expected_mean, std::abs(expected_mean) * 0x1p-24);
    expect_near(static_cast<double>(data.std[band]), expected_std, expected_std * 0x1p-24 + 1e-12);
  }
}

TEST(Normaliser, AConstantBandGetsTheFloor) {
  const io::NormaliserData data = fit(three_bands(), 3, io::Normalisation::per_band);
  EXPECT_EQ(data.mean[2], -156.5356f);
  EXPECT_EQ(data.std[2], 1e-3f);
}

TEST(Normaliser, TwoPassesSurviveALargeMean) {
  std::vector<float> frames;
  frames.reserve(4096);
  for (int i = 0; i < 4096; ++i) {
    frames.push_back(i % 2 ? 65536.0f : 65536.0078125f);
  }
  const io::NormaliserData data = fit(frames, 1, io::Normalisation::per_band);
  EXPECT_EQ(data.std[0], 0.00390625f);
}

TEST(Normaliser, PiecesDoNotMatter) {
  const std::vector<float> frames = three_bands();
  for (const io::Normalisation mode : {io::Normalisation::per_band, io::Normalisation::global}) {
    const io::NormaliserData whole = fit(frames, 3, mode), pieces = fit(frames, 3, mode, {1, 0, 31, 7});
    EXPECT_EQ(whole.mean, pieces.mean);
    EXPECT_EQ(whole.std, pieces.std);
  }
}

TEST(Normaliser, GlobalIsOneMeanAndDeviation) {
  const io::NormaliserData data = fit({0.0f, 2.0f, 4.0f, 6.0f}, 2, io::Normalisation::global);
  EXPECT_THAT(data.mean, Each(3.0f));
  EXPECT_THAT(data.std, Each(static_cast<float>(std::sqrt(5.0))));
}

TEST(Normaliser, NoneChangesNothing) {
  const io::NormaliserData data = fit(three_bands(), 3, io::Normalisation::none);
  EXPECT_THAT(data.mean, Each(0.0f));
  EXPECT_THAT(data.std, Each(1.0f));
  EXPECT_EQ(data.mean.size(), 3u);
}

TEST(Normaliser, Misuse) {
  using test::error_of;
  EXPECT_THAT(error_of<std::invalid_argument>([] { NormaliserFit(0, io::Normalisation::none); }),
              HasSubstr("at least one band"));
  EXPECT_THAT(error_of<io::DataError>([] { fit({}, 3, io::Normalisation::per_band); }),
              HasSubstr("no training frames"));
  const std::vector<float> frames(6, 1.0f);
  EXPECT_THAT(error_of<std::invalid_argument>([&] { NormaliserFit(4, io::Normalisation::none).add_mean(frames); }),
              HasSubstr("whole frames"));
  EXPECT_THAT(error_of<std::logic_error>([&] {
                NormaliserFit fit(3, io::Normalisation::per_band);
                fit.add_mean(frames);
                fit.add_deviation(std::span(frames).first(3));
                fit.finish();
              }),
              HasSubstr("different numbers of frames"));
}

}  // namespace
}  // namespace evenflow::frontend
