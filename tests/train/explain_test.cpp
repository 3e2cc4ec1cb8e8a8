// Explanations of clips by trained models: shares add up to the clip's score, and lie where a fault was put.
#include "train/detect/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "io/error.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"
#include "train/loop/trainer.h"

namespace evenflow::train {
namespace {

using testing::bands;
using ::testing::HasSubstr;
using testing::message_of;

struct Case {
  std::string name;
  std::string trained;  ///< the run of its training, which it may share with another
  std::function<void(io::Config&)> set;
};

/// A model of each kind, trained once.
class ExplainTest : public ::testing::TestWithParam<Case> {
 protected:
  /// One for all tests here, so that no model is trained twice.
  static const testing::TempFolder& folder() {
    static const testing::TempFolder made;
    return made;
  }
  static io::ModelData model(const Case& of) {
    const std::filesystem::path shard = folder() / "shard.h5", run = folder() / of.trained;
    if (!std::filesystem::exists(shard)) {
      testing::write_shard(shard, {.train_clips = 30, .test_clips = 2});
    }
    if (!std::filesystem::exists(run)) {
      io::Config config = testing::tiny_config();
      config.train.epochs = 8;
      config.train.learning_rate = 3e-3;
      of.set(config);
      train(testing::tiny_options(shard, run, config));
    }
    io::ModelData data = io::read_model(run / "model.h5");
    of.set(data.config);
    return data;
  }
  static io::Clip clip_at(double v) {
    io::Clip clip;
    clip.path = "clip.wav";
    clip.parameter = {v};
    return clip;
  }
  /// A normal clip at 300 of 24 frames, with a burst of 60 dB in four bands and two frames.
  static std::vector<float> with_burst() {
    std::vector<float> frames = testing::synthetic_frames(24, 300, false, 99);
    for (size_t t = 12; t < 14; ++t) {
      for (size_t b = 9; b < 13; ++b) {
        frames[t * bands + b] += 60.0F;
      }
    }
    return frames;
  }
};

const std::vector<Case> cases = {
    {"affine", "affine", [](io::Config&) {}},
    {"additive", "additive", [](io::Config& c) { c.model.coupling = io::CouplingKind::additive; }},
    {"loudest", "affine", [](io::Config& c) { c.score.aggregate = io::Aggregate::max; }},
    {"two", "affine",
     [](io::Config& c) {
       c.score.aggregate = io::Aggregate::top_k;
       c.score.top_k = 2;
     }},
    {"conventional", "conventional", [](io::Config& c) { c.condition.enabled = false; }},
    {"vae", "vae",
     [](io::Config& c) {
       c.model.kind = io::ModelKind::vae;
       c.vae = {.layers = 4, .hidden = 16, .latents = 4, .beta = 1.0, .gamma = 0.01};
     }},
    {"classifier", "classifier", [](io::Config& c) {
       c.model.kind = io::ModelKind::classifier;
       c.classifier = {.layers = 3, .hidden = 16, .embedding = 4};
     }}};
INSTANTIATE_TEST_SUITE_P(Models, ExplainTest, ::testing::ValuesIn(cases),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(ExplainTest, SharesAddUpToTheClipsScore) {
  Detector detector(model(GetParam()), "cpu", 1);
  const std::vector<float> frames = with_burst();
  const ClipScore scored = detector.score(clip_at(300), frames, {"velocity_mm_s"});
  for (const std::string& score : detector.score_names()) {
    SCOPED_TRACE(score);
    const Explanation found = detector.explain(clip_at(300), frames, {.score = score}, {"velocity_mm_s"});
    EXPECT_EQ(found.value, scored.scores[detector.table({}, {}).column(score)]);
    EXPECT_EQ(found.frames, 24);
    EXPECT_EQ(found.bands, bands);
    if (GetParam().name == "classifier") {
      EXPECT_TRUE(found.shares.empty() && found.divided.empty());
      continue;
    }
    if (score.starts_with("score_mahalanobis") || score.starts_with("score_nearest")) {
      EXPECT_TRUE(found.divided.empty() && found.shares.empty());
      continue;
    }
    double magnitude = 0, parts = 0;
    for (const flow::Attribution::Part& part : found.parts) {
      parts += part.share;
      magnitude += std::abs(part.share);
    }
    const auto sum = [](const std::vector<double>& values) {
      return std::accumulate(values.begin(), values.end(), 0.0);
    };
    ASSERT_EQ(found.shares.size(), frames.size());
    for (const double whole : {parts, sum(found.shares), sum(found.by_band), sum(found.by_frame)}) {
      EXPECT_TRUE(std::abs(whole - found.divided_value) <= 1e-6 * magnitude) << whole << " " << found.divided_value;
    }
    EXPECT_TRUE(std::abs(sum(found.coverage) - 8.0) <= 1e-9);  // frames of one window
    EXPECT_EQ(found.gradient_input.size(), frames.size());
  }
}

TEST_P(ExplainTest, ABurstIsWhereTheMapPeaks) {
  if (GetParam().name == "classifier") {
    GTEST_SKIP() << "a classifier's score has no shares";
  }
  Detector detector(model(GetParam()), "cpu", 1);
  const Explanation found = detector.explain(clip_at(300), with_burst());
  size_t peak = 0;
  double highest = -1e30;
  for (size_t i = 0; i < found.shares.size(); ++i) {
    const double coverage = found.coverage[i / bands];
    if (coverage > 0 && found.shares[i] / coverage > highest) {
      highest = found.shares[i] / coverage;
      peak = i;
    }
  }
  // Latents stand for 2 x 2 or 4 x 4 cells, and a coupling looks a cell of its map to either side.
  EXPECT_TRUE(peak / bands >= 10 && peak / bands < 16) << peak / bands;
  EXPECT_TRUE(peak % bands >= 8 && peak % bands < 14) << peak % bands;
}

TEST_P(ExplainTest, WordsNeighboursAndEstimates) {
  Detector detector(model(GetParam()), "cpu", 1);
  const Explanation found = detector.explain(clip_at(300), with_burst(), {}, {"velocity_mm_s"});
  EXPECT_EQ(found.score, detector.score_name());
  ASSERT_TRUE(found.expected.has_value());
  ASSERT_EQ(found.nearest.size(), 5U);
  EXPECT_TRUE(std::ranges::is_sorted(found.nearest, {}, &Explanation::Neighbour::distance));
  EXPECT_THAT(found.nearest.front().path, HasSubstr("clip_"));
  if (GetParam().name == "conventional") {
    EXPECT_TRUE(found.estimates.empty() && found.where.empty() && found.moved_db.empty());
    return;
  }
  EXPECT_EQ(found.where, " at velocity_mm_s = 300");
  ASSERT_EQ(found.estimates.size(), 1U);
  EXPECT_EQ(found.estimates[0].asked, 300);
  EXPECT_EQ(found.nearest.front().v.size(), 1U);
  const bool flow = GetParam().name != "vae" && GetParam().name != "classifier";
  EXPECT_EQ(found.moved_db.size(), flow ? found.shares.size() : 0U);
}

class ExplainFlow : public ExplainTest {};
INSTANTIATE_TEST_SUITE_P(Models, ExplainFlow, ::testing::Values(cases.front()),
                         [](const auto& tested) { return tested.param.name; });

// Of the model's own place, moving is what it is: the clip again.
TEST_P(ExplainFlow, MovedToItsOwnEstimateAWindowStaysAsItIs) {
  Detector detector(model(GetParam()), "cpu", 1);
  const std::vector<float> frames = testing::synthetic_frames(8, 300, false, 3);
  const double own = detector.score(clip_at(std::nan("")), frames).estimate[0];
  const std::vector<float> moved = detector.transfer_clip(frames, std::vector<double>{own});
  for (size_t i = 0; i < frames.size(); ++i) {
    ASSERT_TRUE(std::abs(moved[i] - frames[i]) <= 0.05F) << i;
  }
}

TEST_P(ExplainFlow, NormalClipsMayBeOthersThanTheModels) {
  io::ModelData data = model(GetParam());
  ASSERT_TRUE(data.normal.sound.has_value());
  EXPECT_EQ(data.normal.sound->paths.size(),
            data.normal.points->values.size() / static_cast<size_t>(data.normal.points->length));
  data.normal.sound.reset();
  data.normal.points.reset();
  Detector older(data, "cpu", 1);
  const Explanation without = older.explain(clip_at(300), with_burst());
  EXPECT_FALSE(without.expected.has_value());
  EXPECT_TRUE(without.nearest.empty());
  EXPECT_THAT(without.sentence(), HasSubstr("--normals"));
  NormalReference normals;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    older.add_normal(normals, clip_at(300), testing::synthetic_frames(24, 300, false, seed), {"velocity_mm_s"});
  }
  const Explanation with = older.explain(clip_at(300), with_burst(), {.at = {300}, .normals = &normals});
  ASSERT_EQ(with.findings.size(), 1U);
  EXPECT_EQ(with.nearest.size(), 5U);
}

TEST_P(ExplainFlow, WrongRequestsAreOneSentence) {
  Detector detector(model(GetParam()), "cpu", 1);
  EXPECT_THAT(message_of<io::UsageError>([&] { detector.explain(clip_at(300), with_burst(), {.score = "score_x"}); }),
              HasSubstr("no score 'score_x'; it has score_zc"));
  EXPECT_THAT(message_of<io::UsageError>([&] {
                detector.explain(clip_at(300), with_burst(), {.at = {1, 2}});
              }),
              HasSubstr("2 parameter values"));
  EXPECT_THAT(message_of<io::DataError>(
                  [&] { detector.explain(clip_at(std::nan("")), with_burst(), {.score = "nll_given_v"}); }),
              HasSubstr("nll_given_v is not finite; the score may need --at"));
  EXPECT_THAT(message_of<io::DataError>([&] { detector.explain(clip_at(300), std::vector<float>(5 * bands)); }),
              HasSubstr("clip.wav"));
}

// Two tools, of which B hums at the lowest bands.
TEST(ExplainNames, NormalIsWhatClipsOfThatNameHave) {
  constexpr size_t hum_bands = 4;
  const auto hum = [](std::vector<float>& frames) {
    for (size_t at = 0; at < frames.size(); at += bands) {
      for (size_t b = 0; b < hum_bands; ++b) {
        frames[at + b] += 25.0F;
      }
    }
  };
  const testing::TempFolder folder;
  testing::write_shard(folder / "tools.h5",
                       {.train_clips = 40,
                        .test_clips = 0,
                        .more_parameters = {"tool"},
                        .categories = {{}, {"A", "B"}},
                        .change =
                            [&](size_t clip, std::vector<float>& frames) {
                              if (clip % 2 == 1) {
                                hum(frames);
                              }
                            },
                        .change_clip = [](size_t i, io::Clip& out) { out.parameter[1] = static_cast<double>(i % 2); }});
  io::Config config = testing::tiny_config();
  config.train.epochs = 8;
  config.train.learning_rate = 3e-3;
  train(testing::tiny_options(folder / "tools.h5", folder / "run", config));
  Detector detector(folder / "run" / "model.h5", "cpu", 1);
  io::Clip clip;
  clip.path = "a.wav";
  const std::vector<float> frames = testing::synthetic_frames(24, 300, false, 99);

  const Explanation own = detector.explain(clip, frames);
  ASSERT_EQ(own.estimates.size(), 2U);
  const Explanation::Estimate& tool = own.estimates[1];
  EXPECT_EQ(tool.value, 0.0);
  EXPECT_TRUE(tool.probability > 0.5 && tool.probability <= 1.0);
  EXPECT_EQ(tool.categories, (std::vector<std::string>{"A", "B"}));
  EXPECT_TRUE(std::isnan(tool.asked) && std::isnan(tool.low));
  EXPECT_THAT(own.where, HasSubstr(", tool = A"));
  EXPECT_EQ(own.moved_db.size(), frames.size()) << "as of the likeliest name";
  double sum = 0, magnitude = 0;
  for (const double share : own.shares) {
    sum += share;
  }
  for (const flow::Attribution::Part& part : own.parts) {
    magnitude += std::abs(part.share);
  }
  EXPECT_TRUE(std::abs(sum - own.value) <= 1e-6 * magnitude);

  const Explanation as_b = detector.explain(clip, frames, {.at = {std::nan(""), 1.0}});
  EXPECT_THAT(as_b.where, HasSubstr(", tool = B"));
  EXPECT_EQ(as_b.estimates[1].asked, 1.0);
  for (size_t b = 0; b < hum_bands; ++b) {
    EXPECT_TRUE(as_b.expected->level_db[b] > own.expected->level_db[b] + 20.0) << b;
  }
  ASSERT_FALSE(as_b.findings.empty());
  EXPECT_EQ(as_b.findings.front().kind, FindingKind::level);
  EXPECT_TRUE(as_b.findings.front().above_db < -15.0) << "what a clip of B would have is missing";
  ASSERT_EQ(as_b.moved_db.size(), frames.size());
  EXPECT_EQ(detector.score(clip, as_b.moved_db).estimate[1], 1.0);

  // Clips to compare with may have their names in another order.
  NormalReference normals;
  for (uint64_t i = 0; i < 16; ++i) {
    std::vector<float> normal = testing::synthetic_frames(24, 300, false, i);
    io::Clip said = clip;
    said.parameter = {300.0, static_cast<double>(i % 2)};
    if (i % 2 == 0) {
      hum(normal);
    }
    detector.add_normal(normals, said, normal, {"velocity_mm_s", "tool"}, {{}, {"B", "A"}});
  }
  EXPECT_EQ(normals.sound.v[1], 1.0) << "B, in the model's order";
  const Explanation with = detector.explain(clip, frames, {.normals = &normals});
  EXPECT_EQ(with.nearest.front().v[1], 0.0);
  EXPECT_TRUE(std::abs(with.expected->level_db[0] - own.expected->level_db[0]) < 5.0);
}

}  // namespace
}  // namespace evenflow::train
