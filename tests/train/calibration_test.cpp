// Calibrated scores of simulated clips: v tells the score's mean, and the estimate tells v with an error.
#include "train/detect/calibration.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "io/error.h"
#include "train/detect/score_set.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

using ::testing::HasSubstr;

const std::vector<flow::Score> scores_of_model = {{"score_zc", ""}, {"nll", ""}};
constexpr double no_figure = std::numeric_limits<double>::quiet_NaN();

struct World {
  std::vector<double> values = {100, 200, 300, 400, 500, 600, 700, 800};  ///< of recordings
  int64_t clips = 12;                                                     ///< at each
  double error = 10;                                                      ///< of estimates
  double spread = 20;                                                     ///< of nll at one v
  double copies_reach = 0;   ///< two copies of each clip, moved by this much at most
  double copies_spread = 0;  ///< of what a copy scores beside what its clip would
  double copies_apart = 0;   ///< the mean of that
  std::function<double(double)> mean = [](double v) { return 1000.0 + 400.0 * std::sin(v / 250.0); };
};

/// Clip number i at v, of this estimate error and score.
ReferenceClip clip_at(const World& world, double v, uint64_t seed, int64_t i) {
  const auto draw = [&](uint64_t stream) { return random_normal(seed, stream, static_cast<uint64_t>(i)); };
  const double nll = world.mean(v) + world.spread * draw(1);
  return {{v}, {v}, {v + world.error * draw(2)}, {2.0 * nll + 5.0, nll}, static_cast<size_t>(i), false};
}

std::vector<ReferenceClip> recorded(const World& world, uint64_t seed = 1) {
  std::vector<ReferenceClip> clips;
  int64_t next = 0;
  for (const double v : world.values) {
    for (int64_t i = 0; i < world.clips; ++i) {
      const int64_t number = next++;
      clips.push_back(clip_at(world, v, seed, number));
      for (int64_t copy = 0; copy < 2 && world.copies_reach > 0; ++copy) {
        const auto n = static_cast<uint64_t>(number * 2 + copy);
        const double turn = static_cast<double>(random_bits(seed, 9, n) >> 11U) * 0x1.0p-53 - (copy == 0 ? 1.0 : 0.0);
        ReferenceClip moved = clip_at(world, v + world.copies_reach * turn, seed + 1, static_cast<int64_t>(n));
        moved.recorded_at = {v};
        moved.clip = static_cast<size_t>(number);
        moved.copy = true;
        const double strange = world.copies_apart + world.copies_spread * random_normal(seed, 10, n);
        moved.scores = {moved.scores[0] + 2.0 * strange, moved.scores[1] + strange};
        clips.push_back(moved);
      }
    }
  }
  return clips;
}

io::CalibrationData fitted(std::span<const ReferenceClip> clips) {
  return fit_calibration(scores_of_model, {"speed"}, clips, {});
}

struct Moments {
  double mean = 0, spread = 0;
};

/// Of the calibrated nll over new clips at v.
Moments at(const Calibration& calibration, const World& world, double v, int64_t clips = 400) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < clips; ++i) {
    const ReferenceClip clip = clip_at(world, v, 77, i);
    const double score = calibration.of(clip.scores[1], clip.estimate).score;
    sum += score;
    squares += score * score;
  }
  const auto n = static_cast<double>(clips);
  return {sum / n, std::sqrt(squares / n - sum * sum / (n * n))};
}

const io::CalibrationData::Score& of_nll(const io::CalibrationData& data) {
  for (const io::CalibrationData::Score& score : data.scores) {
    if (score.score == "nll") {
      return score;
    }
  }
  throw std::out_of_range("nll");
}

/// What each recorded speed has of its own, beside a plain course: +60 and -60 in turn.
double with_its_own(double v) {
  const double turn = v / 100.0, nearest = std::round(turn);
  const double own = std::abs(turn - nearest) <= 1e-9 ? (static_cast<int64_t>(nearest) % 2 == 0 ? 60.0 : -60.0) : 0.0;
  return 1000.0 + 0.2 * v + own;
}

TEST(Calibration, WhatARecordedSpeedHasOfItsOwnIsTakenOff) {
  World world;
  world.mean = with_its_own;
  const io::CalibrationData data = fitted(recorded(world));
  const io::CalibrationData::Score& nll = of_nll(data);
  ASSERT_EQ(data.point.size(), 8U);
  ASSERT_EQ(nll.effect.size(), 8U);
  EXPECT_TRUE(std::abs(data.point[2] - 300.0) <= 10.0) << data.point[2];
  EXPECT_TRUE(std::abs(data.reach[0] - 30.0) <= 6.0) << "three times the estimates' deviation: " << data.reach[0];
  io::CalibrationData without = data;
  without.point.clear();
  without.reach.clear();
  for (io::CalibrationData::Score& score : without.scores) {
    score.effect.clear();
    score.explained.clear();
  }
  const Calibration calibration(data, nll), plain(without, of_nll(without));
  for (const double v : {300.0, 400.0, 500.0, 600.0}) {
    const Moments own = at(calibration, world, v), apart = at(plain, world, v);
    EXPECT_TRUE(std::abs(own.mean) <= 0.5) << v << ": " << own.mean;
    EXPECT_TRUE(std::abs(apart.mean) >= 0.7) << v << ": " << apart.mean;
    EXPECT_TRUE(own.spread >= 0.7 && own.spread <= 1.6) << v << ": " << own.spread;
  }
  // Between two speeds, out of reach of both, nothing changes.
  for (const double estimate : {350.0, 450.0}) {
    const double score = 1000.0 + 0.2 * estimate;
    EXPECT_TRUE(std::abs(calibration.of(score, std::vector<double>{estimate}).score -
                         plain.of(score, std::vector<double>{estimate}).score) <= 0.25);
  }
}

TEST(Calibration, NothingIsTakenOffWhereEachClipHasAValueOfItsOwn) {
  World world;
  world.clips = 1;
  world.values.clear();
  for (int i = 0; i < 60; ++i) {
    world.values.push_back(100.0 + 13.0 * i);
  }
  const io::CalibrationData data = fitted(recorded(world));
  EXPECT_TRUE(data.point.empty());
  EXPECT_TRUE(data.reach.empty());
  EXPECT_TRUE(of_nll(data).effect.empty());
}

TEST(Calibration, NormalClipsScoreAboutNothingAtEverySpeed) {
  World world;
  world.copies_reach = 60;
  const io::CalibrationData data = fitted(recorded(world));
  EXPECT_EQ(data.clips, 96);
  EXPECT_EQ(data.estimate.size(), 288U);
  EXPECT_EQ(data.scores.size(), 2U);
  const Calibration calibration(data, of_nll(data));
  for (const double v : {100.0, 250.0, 400.0, 650.0, 800.0}) {
    const Moments found = at(calibration, world, v);
    EXPECT_TRUE(std::abs(found.mean) <= 0.6) << v << ": " << found.mean;
    EXPECT_TRUE(found.spread >= 0.6 && found.spread <= 1.5) << v << ": " << found.spread;
  }
  // Of 20 spreads above the normal ones, whatever the speed.
  const double fault = 20 * world.spread;
  EXPECT_GT(calibration.of(world.mean(250.0) + fault, std::vector<double>{250.0}).score, 8.0);
}

TEST(Calibration, WhatTheSpeedAloneTellsIsTakenOut) {
  World plain, drifting;
  plain.copies_reach = drifting.copies_reach = 60;
  plain.clips = drifting.clips = 40;
  plain.mean = [](double) { return 1000.0; };
  drifting.mean = [](double v) { return 1000.0 + 3.0 * v + 0.002 * v * v; };
  const io::CalibrationData a = fitted(recorded(plain)), b = fitted(recorded(drifting));
  const Calibration of_plain(a, of_nll(a)), of_drifting(b, of_nll(b));
  // The slope of 3 to 6 a unit times the error of 10 is more than the spread; without error nothing remains of it.
  double apart = 0;
  for (const double v : {150.0, 350.0, 550.0, 750.0}) {
    for (const double above : {0.0, 50.0, 200.0}) {
      const double x = of_plain.of(plain.mean(v) + above, std::vector<double>{v}).score;
      const Calibration::Value y = of_drifting.of(drifting.mean(v) + above, std::vector<double>{v});
      const double slope = 3.0 + 0.004 * v;
      const double widened = std::hypot(drifting.spread, slope * drifting.error) / drifting.spread;
      apart = std::max(apart, std::abs(x - y.score * widened) / (1.0 + std::abs(x)));
    }
  }
  EXPECT_TRUE(apart <= 0.4) << apart;
}

// y = m(v) + s g, estimate e = v + t h: given e, v is spread by t about e, so that the mean is m convolved with that
// and the variance s^2 + (m' t)^2.
TEST(Calibration, TheErrorOfEstimatesIsCarriedThrough) {
  World world;
  world.values.clear();
  for (int i = 0; i <= 40; ++i) {
    world.values.push_back(100.0 + 20.0 * i);
  }
  world.clips = 40;
  world.error = 40;
  world.spread = 10;
  world.mean = [](double v) { return 0.02 * (v - 500.0) * (v - 500.0); };
  std::vector<ReferenceClip> clips = recorded(world);
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed"}, clips, {25.0});
  const io::CalibrationData::Score& nll = of_nll(data);
  const LocalLinear line({1, data.estimate, nll.value, data.clips}, nll.bandwidth, nll.squared_residual);
  // At the bottom, m'' t^2 / 2 = 32; the smoother's own width does the same, 12.5.
  const double bottom = line.at(std::vector<double>{500.0}).mean;
  EXPECT_TRUE(std::abs(bottom - 0.02 * (40.0 * 40.0 + 25.0 * 25.0)) <= 10.0) << bottom;
  double ratio = 0, places = 0;
  for (double e = 200.0; e <= 800.0; e += 10.0) {
    const double slope = 0.04 * (e - 500.0);
    const double curve = 0.02 * std::sqrt(2.0) * 40.0 * 40.0;  // of the square's own spread
    const double kernel = 0.04 * 40.0 * 25.0;                  // (slope t)^2 once more over the smoother's width
    const double spread = std::sqrt(10.0 * 10.0 + std::pow(slope * 40.0, 2) + curve * curve + kernel * kernel);
    ratio += line.at(std::vector<double>{e}).spread / spread;
    ++places;
  }
  EXPECT_TRUE(std::abs(ratio / places - 1.0) <= 0.05) << ratio / places;
  EXPECT_TRUE(std::abs(estimate_errors(clips)[0] - 40.0) <= 2.0);
  EXPECT_TRUE(std::abs(at(Calibration(data, nll), world, 300.0).spread - 1.0) <= 0.15);
}

TEST(Calibration, SeveralParameters) {
  std::vector<ReferenceClip> clips;
  const auto make = [](double speed, double load, uint64_t seed, int64_t i) {
    const auto draw = [&](uint64_t stream) { return random_normal(seed, stream, static_cast<uint64_t>(i)); };
    const double nll = 2.0 * speed + 300.0 * load + 10.0 * draw(1);
    return ReferenceClip{{speed, load}, {speed, load},          {speed + 2.0 * draw(2), load + 0.02 * draw(3)},
                         {nll, nll},    static_cast<size_t>(i), false};
  };
  clips.reserve(180);
  for (int i = 0; i < 180; ++i) {
    clips.push_back(make(100.0 + 100.0 * (i % 6), 0.5 * ((i / 6) % 3), 3, i));
  }
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed", "load"}, clips, {});
  EXPECT_EQ(data.scores[0].bandwidth.size(), 2U);
  const Calibration calibration(data, of_nll(data));
  double sum = 0, squares = 0;
  for (int i = 0; i < 300; ++i) {
    const ReferenceClip clip = make(100.0 + 50.0 * (i % 11), 0.25 * (i % 5), 4, i);
    const Calibration::Value value = calibration.of(clip.scores[1], clip.estimate);
    EXPECT_FALSE(value.outside) << i;
    sum += value.score;
    squares += value.score * value.score;
  }
  EXPECT_TRUE(std::abs(sum / 300.0) <= 0.3) << sum / 300.0;
  EXPECT_TRUE(std::abs(std::sqrt(squares / 300.0) - 1.0) <= 0.3) << squares / 300.0;
  EXPECT_TRUE(calibration.of(1000.0, std::vector<double>{300.0, 1.5}).outside);
}

TEST(Calibration, AnEstimateOutsideIsToldAndScoredAtTheNearest) {
  World world;
  world.clips = 20;
  const io::CalibrationData data = fitted(recorded(world));
  const Calibration calibration(data, of_nll(data));
  const auto [low, high] = std::minmax_element(data.estimate.begin(), data.estimate.end());
  const auto of = [&](double estimate) { return calibration.of(1200.0, std::vector<double>{estimate}); };
  EXPECT_FALSE(of(450.0).outside);
  EXPECT_FALSE(of(*high).outside && of(*low).outside);
  EXPECT_TRUE(of(*high + 0.11 * (*high - *low)).outside);
  EXPECT_TRUE(of(*low - 0.11 * (*high - *low)).outside);
  EXPECT_EQ(of(1e9).score, of(*high).score);
  EXPECT_EQ(of(-1e9).score, of(*low).score);
  for (const double bad : {no_figure, std::numeric_limits<double>::infinity()}) {
    EXPECT_TRUE(std::isnan(of(bad).score));
    EXPECT_TRUE(std::isnan(calibration.of(bad, std::vector<double>{450.0}).score));
  }
  // A gap as wide as the rest, which the bandwidth does not span.
  World gap;
  gap.values = {100, 120, 140, 160, 900, 920, 940, 960};
  gap.error = 2;
  const io::CalibrationData narrow = fit_calibration(scores_of_model, {"speed"}, recorded(gap), {20.0});
  const Calibration::Value between = Calibration(narrow, of_nll(narrow)).of(1200.0, std::vector<double>{530.0});
  EXPECT_TRUE(between.outside);
  EXPECT_TRUE(std::isfinite(between.score));
}

TEST(Calibration, CopiesAreLeftOutWithTheirClip) {
  // The copies are their clips over again: kept, they would tell all, and the narrowest bandwidth would win.
  World world;
  world.spread = 200;
  world.mean = [](double v) { return v; };
  std::vector<ReferenceClip> clips = recorded(world);
  const size_t count = clips.size();
  for (size_t i = 0; i < count; ++i) {
    clips.push_back(clips[i]);
    clips.back().copy = true;
  }
  EXPECT_GE(of_nll(fitted(clips)).bandwidth[0], 100.0);
}

TEST(Calibration, CopiesTellTheCourseAndClipsTheLevel) {
  // Warped sound scores lower and scatters more; a few copies are far off.
  World world;
  world.copies_reach = 60;
  world.copies_spread = 40;
  world.copies_apart = -300;
  std::vector<ReferenceClip> clips = recorded(world);
  for (size_t i = 0; i < clips.size(); i += 60) {
    clips[i + 1].scores = {1e5, 1e5};
  }
  const io::CalibrationData data = fitted(clips);
  EXPECT_EQ(data.clips, 96);
  EXPECT_EQ(data.estimate.size(), 288U - 5U);
  const Calibration calibration(data, of_nll(data));
  for (const double v : {200.0, 250.0, 400.0, 650.0, 700.0}) {
    const Moments found = at(calibration, world, v);
    EXPECT_TRUE(std::abs(found.mean) <= 0.9) << v << ": " << found.mean;
    EXPECT_TRUE(found.spread >= 0.6 && found.spread <= 1.6) << v << ": " << found.spread;
  }
}

// Copies score 300 too high under one load and 300 too low under the other. Levelled over both, they would draw the
// mean away from the recorded clips of each.
TEST(Calibration, CopiesAreLevelledForEachLoadByItself) {
  std::vector<ReferenceClip> clips;
  World heavy, light;
  heavy.copies_reach = light.copies_reach = 60;
  heavy.copies_apart = 300;
  light.copies_apart = -300;
  for (const auto& [load, world] : {std::pair(1.0, heavy), std::pair(2.0, light)}) {
    for (ReferenceClip clip : recorded(world, static_cast<uint64_t>(load))) {
      clip.clip += load == 1.0 ? 0 : 1000;
      for (std::vector<double>* values : {&clip.recorded_at, &clip.v, &clip.estimate}) {
        values->push_back(load);
      }
      clip.estimate[1] += 0.05 * random_normal(3, 4, clip.clip);
      clips.push_back(clip);
    }
  }
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed", "load"}, clips, {});
  const Calibration calibration(data, of_nll(data));
  for (const double load : {1.0, 2.0}) {
    for (const double v : {200.0, 450.0, 700.0}) {
      const double normal = calibration.of(heavy.mean(v), std::vector<double>{v, load}).score;
      const double fault = calibration.of(heavy.mean(v) + 10 * heavy.spread, std::vector<double>{v, load}).score;
      EXPECT_TRUE(std::abs(normal) <= 0.8) << load << " " << v << ": " << normal;
      EXPECT_TRUE(fault - normal >= 5) << load << " " << v << ": " << fault;
    }
  }
}

TEST(Calibration, TheSameClipsGiveTheSameBits) {
  World world;
  world.copies_reach = 60;
  EXPECT_EQ(fitted(recorded(world)), fitted(recorded(world)));
}

TEST(Calibration, WhatCannotBeCalibratedIsTold) {
  const auto error = [](const World& world, const std::vector<std::string>& parameters = {"speed"}) {
    try {
      fit_calibration(scores_of_model, parameters, recorded(world), {});
    } catch (const io::DataError& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  EXPECT_THAT(error({.clips = 1}), HasSubstr("8 normal training clips of known operating point, and it takes 10"));
  EXPECT_THAT(error({.values = {100, 200}}), HasSubstr("2 operating points, and it takes 3"));
  EXPECT_THAT(error({}, {}), HasSubstr("tied to no parameter"));
  World flat;
  flat.spread = 0;
  flat.mean = [](double) { return 3.0; };
  EXPECT_THAT(error(flat), HasSubstr("on one line"));
  // Clips without a finite score or estimate, or of unknown value, have no part in it.
  std::vector<ReferenceClip> clips = recorded({});
  const io::CalibrationData whole = fitted(clips);
  clips.insert(clips.begin(), {{{no_figure}, {no_figure}, {100.0}, {1.0, 1.0}, 1000, false},
                               {{100.0}, {100.0}, {no_figure}, {1.0, 1.0}, 1001, false},
                               {{100.0}, {100.0}, {100.0}, {no_figure, 1.0}, 1002, false}});
  EXPECT_EQ(fitted(clips), whole);
}

// ---- in the set of scores

TEST(Calibration, IsOneOfTheDerivedScores) {
  io::NormalData normal;
  normal.calibration = fitted(recorded({}));
  const ScoreSet set(scores_of_model, normal);
  EXPECT_THAT(set.names(), ::testing::ElementsAre("score_zc", "nll", "score_calibrated", "score_zc_calibrated"));
  ClipScore clip;
  clip.scores = {2405.0, 1200.0};
  clip.estimate = {450.0};
  set.derive(clip);
  const Calibration calibration(*normal.calibration, of_nll(*normal.calibration));
  ASSERT_EQ(clip.scores.size(), 4U);
  EXPECT_EQ(clip.scores[2], calibration.of(1200.0, clip.estimate).score);
  EXPECT_EQ(clip.outside_calibration, 0);
  clip.scores.resize(2);
  clip.estimate = {5000.0};
  set.derive(clip);
  EXPECT_EQ(clip.outside_calibration, 1);
  clip.scores.resize(2);
  ScoreSet(scores_of_model, {}).derive(clip);
  EXPECT_EQ(clip.scores.size(), 2U);
  EXPECT_EQ(clip.outside_calibration, -1);
}

// ---- learnt anew, where nobody knows the speeds

/// The world's clips as they are scored: without what they were recorded at.
std::vector<ClipScore> scored(const World& world) {
  std::vector<ClipScore> clips;
  for (const ReferenceClip& clip : recorded(world)) {
    clips.emplace_back().scores = clip.scores;
    clips.back().estimate = clip.estimate;
  }
  return clips;
}

TEST(Calibration, IsLearntFromEstimatesAlone) {
  World world;  // with enough clips at a speed to tell mean and spread there, a fifth and an eighth of a spread off
  world.values = {100, 300, 500, 700};
  world.clips = 30;
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed"}, scored(world), {});
  EXPECT_EQ(data.clips, 120);
  const Calibration calibration(data, of_nll(data));
  for (const double v : world.values) {
    const Moments found = at(calibration, world, v);
    EXPECT_TRUE(std::abs(found.mean) <= 0.6) << v << ": " << found.mean;
    EXPECT_TRUE(found.spread >= 0.6 && found.spread <= 1.5) << v << ": " << found.spread;
  }
}

TEST(Calibration, ABumpAtOneSpeedIsLearntWhereThatSpeedIsAmongTheClips) {
  World world;
  world.mean = [](double v) { return std::abs(v - 300.0) < 50.0 ? 1400.0 : 1000.0; };
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed"}, scored(world), {});
  const Calibration calibration(data, of_nll(data));
  for (const double v : {200.0, 300.0, 400.0}) {
    const Moments found = at(calibration, world, v);
    EXPECT_TRUE(std::abs(found.mean) <= 0.6) << v << ": " << found.mean;
  }
}

TEST(Calibration, WhatCannotBeLearntAnewIsTold) {
  const auto error = [](const World& world, const std::vector<std::string>& parameters = {"speed"}) {
    try {
      fit_calibration(scores_of_model, parameters, scored(world), {});
    } catch (const io::DataError& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  EXPECT_THAT(error({.clips = 1}), HasSubstr("8 clips to learn from what normal ones score"));
  EXPECT_THAT(error({}, {}), HasSubstr("tied to no parameter"));
  EXPECT_EQ(error({.values = {100, 200}}), "");  // nobody counts operating points that are not known
}

TEST(Calibration, TakesThePlaceOfAnother) {
  const io::CalibrationData data = fit_calibration(scores_of_model, {"speed"}, scored({}), {});
  ScoreTable table;
  table.score_names = {"score_zc", "nll", "score_calibrated"};
  ClipScore clip;
  clip.scores = {2405.0, 1200.0, 77.0};
  clip.estimate = {450.0};
  table.clips = {clip};
  set_calibrated(table, data);
  EXPECT_THAT(table.score_names, ::testing::ElementsAre("score_zc", "nll", "score_calibrated", "score_zc_calibrated"));
  const Calibration calibration(data, of_nll(data));
  EXPECT_EQ(table.value(table.clips[0], "score_calibrated"), calibration.of(1200.0, clip.estimate).score);
  EXPECT_TRUE(std::isfinite(table.value(table.clips[0], "score_zc_calibrated")));
  EXPECT_EQ(table.clips[0].outside_calibration, 0);
}

}  // namespace
}  // namespace evenflow::train
