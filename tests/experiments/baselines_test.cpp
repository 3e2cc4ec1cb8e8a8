// What the study compares flows with: mixtures over another model's descriptors, features centred by value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "experiments/study/centring.h"
#include "experiments/study/clip_statistics.h"
#include "experiments/study/mixtures.h"
#include "flow/random.h"
#include "io/error.h"
#include "tests/train/train_fixture.h"
#include "train/loop/trainer.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

using ::testing::HasSubstr;
using train::testing::message_of;
using train::testing::TempFolder;

/// n draws about a centre, of a deviation for each element.
void draw(Descriptors& to, const std::string& condition, const std::vector<double>& centre,
          const std::vector<double>& deviation, int n, uint64_t seed) {
  flow::Random random = flow::stream_of(seed, 0);
  to.length = centre.size();
  for (int i = 0; i < n; ++i) {
    for (size_t j = 0; j < centre.size(); ++j) {
      to.values.push_back(static_cast<float>(centre[j] + deviation[j] * random.normal()));
    }
    to.conditions.push_back(condition);
  }
}

// One component is the Gaussian of the condition's mean and variances.
TEST(ConditionMixtures, OneComponentIsTheGaussianOfTheCondition) {
  Descriptors normal;
  draw(normal, "slow", {0, 5}, {1, 0.5}, 4000, 1);
  draw(normal, "fast", {20, -5}, {2, 0.5}, 4000, 2);
  const ConditionMixtures mixtures(normal, 1);
  // Variances over all windows, with which descriptors are standardised.
  const double wide = (1 + 4) / 2.0 + 100, high = 0.25 + 25;
  const auto expected = [&](double x, double y, double at_x, double at_y, double dx, double dy) {
    return 0.5 * (std::pow((x - at_x) / dx, 2) + std::pow((y - at_y) / dy, 2)) + std::log(2 * std::numbers::pi) +
           std::log(dx * dy / std::sqrt(wide * high));
  };
  for (const float x : {-1.0F, 0.0F, 1.5F}) {
    const double actual = mixtures.score(std::vector<float>{x, 5.2F});
    // Estimated from 4000 draws; a variance of slow's first element at its floor (0.01 of 102.5) is 1.025 instead of 1.
    EXPECT_TRUE(std::abs(actual - expected(x, 5.2, 0, 5, std::sqrt(0.01 * wide), 0.5)) <= 0.2) << x << " " << actual;
  }
  // The condition that fits best decides.
  const double between = mixtures.score(std::vector<float>{10, 0});
  EXPECT_GT(between, mixtures.score(std::vector<float>{20, -5}) + 10);
  EXPECT_GT(between, mixtures.score(std::vector<float>{0, 5}) + 10);
}

TEST(ConditionMixtures, MoreComponentsFindClusters) {
  Descriptors normal, held_out;
  for (Descriptors* one : {&normal, &held_out}) {
    const uint64_t seed = one == &normal ? 1 : 5;
    draw(*one, "on", {-4, -4}, {0.5, 0.5}, 100, seed);
    draw(*one, "on", {4, 4}, {0.5, 0.5}, 100, seed + 1);
  }
  const ConditionMixtures one(normal, 1), two(normal, 2);
  const std::vector<float> middle = {0, 0};
  EXPECT_GT(two.score(middle), one.score(middle) + 5);
  double gain = 0;
  for (size_t i = 0; i < held_out.size(); ++i) {
    gain += one.score(held_out[i]) - two.score(held_out[i]);
  }
  EXPECT_GT(gain / static_cast<double>(held_out.size()), 1.0);
  // A fit is a function of its data.
  EXPECT_EQ(ConditionMixtures(normal, 2).score(middle), two.score(middle));
}

TEST(ConditionMixtures, TakesFewWindowsAndConstantElementsButNothingInfinite) {
  Descriptors few;
  draw(few, "a", {1, 2}, {1, 0}, 2, 1);
  draw(few, "b", {3, 2}, {1, 0}, 3, 2);
  const ConditionMixtures mixtures(few, 4);
  const double usual = mixtures.score(std::vector<float>{1, 2}), changed = mixtures.score(std::vector<float>{1, 3});
  EXPECT_TRUE(std::isfinite(usual));
  EXPECT_GT(changed, usual + 10);
  few.values[3] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of<io::DataError>([&] { const ConditionMixtures refused(few, 1); }), HasSubstr("condition a"));
}

TEST(MixtureScores, TellAnomaliesOfEveryModel) {
  const TempFolder folder;
  train::testing::write_shard(folder / "shard.h5", {.train_clips = 24, .test_clips = 12});
  const io::Shard shard(folder / "shard.h5");
  for (const io::ModelKind kind : {io::ModelKind::vae, io::ModelKind::classifier, io::ModelKind::glow}) {
    const std::string name(io::name_of(kind));
    io::Config config = train::testing::tiny_config();
    config.model.kind = kind;
    config.vae = {.layers = 6, .hidden = 16, .latents = 4, .beta = 0.0, .gamma = 0.01};
    config.classifier = {.layers = 3, .hidden = 16, .embedding = 4};
    config.train.learning_rate = 3e-3;
    config.train.epochs = 10;
    train::train(train::testing::tiny_options(folder / "shard.h5", folder / name, config));
    train::Detector detector(folder / name / "model.h5", "cpu", 2);
    std::vector<double> score;
    std::vector<int> label;
    const train::ScoreTable table = mixture_scores(detector, shard, config.train.seed);
    ASSERT_EQ(table.clips.size(), shard.clips().size());
    EXPECT_EQ(table.score_names.back(), "score_gmm");
    for (const train::ClipScore& clip : table.clips) {
      EXPECT_EQ(clip.score, table.value(clip, "score_gmm"));
      if (clip.clip.split != io::Split::test) {
        continue;
      }
      score.push_back(clip.score);
      label.push_back(clip.clip.label);
    }
    EXPECT_TRUE(train::auc(score, label) >= 0.9) << name << " " << train::auc(score, label);
    write_scores(folder / "scores.csv", table);
    const train::ScoreTable read = train::read_scores(folder / "scores.csv");
    EXPECT_EQ(read.score_names, table.score_names);
    EXPECT_EQ(read.clips[3].scores, table.clips[3].scores);
  }
}

TEST(CentreByValue, MovesEveryValuesMeanToTheTrainingClips) {
  const TempFolder folder;
  io::FrontendSettings frontend;
  frontend.mel_bands = 2;
  const auto clip = [](const char* name, io::Split split, int label, double v) {
    return io::Clip{name, "rail", split, label, {v}, "", ""};
  };
  {
    io::ShardWriter writer(folder / "in.h5", frontend, {"velocity_mm_s"});
    const std::vector<float> slow = {0, 10, 2, 14}, fast = {11, 20, 11, 20}, unseen = {5, 5, 7, 9};
    writer.append(clip("a", io::Split::train, 0, 100), slow);               // means 1, 12
    writer.append(clip("b", io::Split::train, 0, 200), fast);               // means 11, 20; of all training: 6, 16
    writer.append(clip("c", io::Split::test, 1, 100), fast);                // by 100's training mean
    writer.append(clip("d", io::Split::test, 0, 150), unseen);              // means 6, 7
    writer.append(clip("e", io::Split::test, 1, 150), {unseen.data(), 2});  // with d: means 17/3, 19/3
    writer.finish();
  }
  centre_by_value(io::Shard(folder / "in.h5"), folder / "out.h5");
  const io::Shard out(folder / "out.h5");
  ASSERT_EQ(out.clips().size(), 5U);
  EXPECT_EQ(out.clips()[2].label, 1);
  EXPECT_EQ(out.clips()[3].parameter, std::vector<double>{150});
  std::vector<float> frames(static_cast<size_t>(out.frames() * 2));
  out.read_frames(0, out.frames(), frames.data());
  const std::vector<double> expected = {
      5,  14, 7,           18,           6,           16,           6,           16,          16, 24,
      16, 24, 5 + 1.0 / 3, 14 + 2.0 / 3, 7 + 1.0 / 3, 18 + 2.0 / 3, 5 + 1.0 / 3, 14 + 2.0 / 3};
  ASSERT_EQ(frames.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(std::abs(frames[i] - expected[i]) <= 1e-5) << i;
  }
}

// ---- clip statistics

TEST(ClipStatistics, AreBandByBandOverTime) {
  // Band 0: 0 to 4; band 1: a constant 7.
  std::vector<float> frames;
  for (int t = 0; t < 5; ++t) {
    frames.push_back(static_cast<float>(t));
    frames.push_back(7.0F);
  }
  EXPECT_EQ(clip_statistics(frames, 2, ClipStatistics::mean), (std::vector<float>{2, 7}));
  const std::vector<float> both = clip_statistics(frames, 2, ClipStatistics::mean_deviation);
  ASSERT_EQ(both.size(), 4U);
  EXPECT_NEAR(both[2], std::sqrt(2.0), 1e-6);
  EXPECT_EQ(both[3], 0);
  const std::vector<float> percentiles = clip_statistics(frames, 2, ClipStatistics::percentiles);
  ASSERT_EQ(percentiles.size(), 6U);
  EXPECT_NEAR(percentiles[0], 0.4, 1e-6);
  EXPECT_EQ(percentiles[2], 2);
  EXPECT_NEAR(percentiles[4], 3.6, 1e-6);
  EXPECT_EQ(percentiles[1], 7);
}

TEST(PrincipalComponents, LeaveOverWhatIsOutsideOfThem) {
  flow::Random random = flow::stream_of(5, 0);
  std::vector<float> normal(size_t{4} * 5);
  for (float& value : normal) {
    value = static_cast<float>(random.normal());
  }
  const PrincipalComponents components(normal, 5);
  for (size_t clip = 0; clip < 4; ++clip) {
    EXPECT_TRUE(components.residual(std::span(normal).subspan(5 * clip, 5)) <= 1e-18)
        << "three components hold four clips about their mean";
  }
  EXPECT_GT(components.residual(std::vector<float>{9, -9, 9, -9, 9}), 1.0);
}

TEST(StatisticsScores, RankAnomaliesOfALoudFault) {
  const TempFolder folder;
  train::testing::write_shard(folder / "a.h5", {.train_clips = 20, .test_clips = 10});
  const io::Shard shard(folder / "a.h5");
  const train::ScoreTable table = statistics_scores(shard, {}, ClipStatistics::percentiles);
  ASSERT_EQ(table.clips.size(), 30U);
  std::vector<double> scores;
  std::vector<int> labels;
  for (const train::ClipScore& clip : table.clips) {
    EXPECT_TRUE(std::isfinite(clip.score)) << clip.clip.path;
    if (clip.clip.split == io::Split::test) {
      scores.push_back(table.value(clip, "score_nearest"));
      labels.push_back(clip.clip.label);
    }
  }
  EXPECT_GE(train::auc(scores, labels), 0.9);
}

}  // namespace
}  // namespace evenflow::experiments
