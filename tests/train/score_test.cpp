#include "train/detect/score.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "flow/factory.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "tests/train/train_fixture.h"
#include "train/detect/calibration.h"
#include "train/detect/score_clips.h"
#include "train/detect/score_set.h"
#include "train/detect/speeds.h"
#include "train/loop/normal_clips.h"
#include "train/statistics/conformal.h"

namespace evenflow::train {
namespace {

using ::testing::AllOf;
using testing::bands;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;
using testing::tiny_options;

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// One trained model for all of these tests.
class ScoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TempFolder;
    testing::write_shard(shard(), {.train_clips = 30, .test_clips = 10});
    io::Config config = tiny_config();
    config.train.epochs = 10;
    train(tiny_options(shard(), *folder_ / "run", config));
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::filesystem::path shard() { return *folder_ / "shard.h5"; }
  static std::filesystem::path model() { return *folder_ / "run" / "model.h5"; }
  static testing::TempFolder* folder_;
};
testing::TempFolder* ScoreTest::folder_ = nullptr;

TEST_F(ScoreTest, AModelThatCannotScoreIsRefused) {
  const auto refusal = [](const io::ModelData& data) {
    return message_of<io::DataError>([&] { const Detector detector(data, "cpu", 1); });
  };
  io::ModelData singular = io::read_model(model());
  for (io::Tensor& tensor : singular.parameters) {
    if (tensor.name.ends_with("invconv.log_s")) {
      std::fill(tensor.values.begin(), tensor.values.end(), -1000.0f);
    }
  }
  EXPECT_THAT(refusal(singular), HasSubstr("block1.step1.invconv"));
  io::ModelData shapeless = io::read_model(model());
  shapeless.config.window.window_frames = 7;
  EXPECT_THAT(refusal(shapeless), HasSubstr("the model cannot be used"));
}

TEST_F(ScoreTest, AClipScoresTheSameAloneAndInAShard) {
  const io::Shard data(shard());
  Detector detector(model(), "cpu", 2);
  int64_t done = 0, total = 0;
  const std::vector<ClipScore> all = detector.score(data, {}, [&](int64_t d, int64_t t) {
    done = d;
    total = t;
  });
  EXPECT_EQ(done, 40);
  EXPECT_EQ(total, 40);
  ASSERT_EQ(all.size(), 40U);
  for (size_t i = 0; i < all.size(); ++i) {
    const int64_t first = data.offsets()[i], count = data.offsets()[i + 1] - first;
    std::vector<float> frames(static_cast<size_t>(count * bands));
    data.read_frames(first, count, frames.data());
    const ClipScore alone = detector.score(data.clips()[i], frames);
    EXPECT_EQ(alone.windows, all[i].windows);
    EXPECT_EQ(alone.windows, (count - 8) / 4 + 1);
    EXPECT_EQ(alone.score, all[i].score);
    EXPECT_EQ(alone.scores, all[i].scores);
    EXPECT_EQ(alone.estimate, all[i].estimate);
    EXPECT_EQ(alone.decision, all[i].decision);
    EXPECT_EQ(all[i].clip.path, data.clips()[i].path);
  }
}

TEST_F(ScoreTest, ThreadsChangeNoBit) {
  Detector one(model(), "cpu", 1), three(model(), "cpu", 3);
  const io::Shard data(shard());
  const std::vector<ClipScore> a = one.score(data), b = three.score(data);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].score, b[i].score);
    EXPECT_EQ(a[i].scores, b[i].scores);
  }
}

// ---- clips at other speeds

class OtherSpeedsTest : public ScoreTest {
 protected:
  std::vector<ClipScore> at(const std::vector<double>& speeds, const std::string& parameter = "velocity_mm_s") {
    return score_clips_at({.parameter = parameter, .speeds = speeds}, scoring_, data_, clips_);
  }
  io::ModelData model_ = io::read_model(model());
  std::unique_ptr<flow::Model> network_ = loaded(model_);
  std::unique_ptr<Engine> engine_ = make_engine(*network_, model_.normaliser, {});
  ScoreSet set_{network_->scores(), model_.normal};
  ClipScoring scoring_{.engine = *engine_,
                       .model = *network_,
                       .condition = model_.condition,
                       .window = model_.config.window,
                       .score = model_.config.score,
                       .scores = set_,
                       .score_name = "nll"};
  io::Shard data_{shard()};
  std::vector<int32_t> clips_{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

 private:
  static std::unique_ptr<flow::Model> loaded(const io::ModelData& model) {
    auto network = flow::make_scoring_model(model.config, model.condition, {});
    network->load(model.parameters);
    kernels::Stream stream;
    network->assemble(stream);
    return network;
  }
};

// Too few clips only where the training ends: the model then decides by what it has.
TEST_F(OtherSpeedsTest, AreReachedByMovesWhereTheseAreGiven) {
  const auto width = static_cast<size_t>(data_.mel_bands());
  std::vector<float> factor(2 * width, 1.0F), offset(2 * width, 0.0F), error(width, 0.0F);
  offset[width + 3] = 5.0F;
  const kernels::BandMoves moves{{factor.data(), std::ssize(factor), {}},
                                 {offset.data(), std::ssize(offset), {}},
                                 {error.data(), std::ssize(error), {}}};
  const std::vector<ClipScore> plain = score_clips(scoring_, data_, clips_);
  std::vector<double> speeds;
  std::vector<kernels::WindowChange> changes;
  for (const ClipScore& clip : plain) {
    speeds.push_back(clip.clip.parameter[0]);
    changes.push_back({.move = static_cast<int32_t>(changes.size() % 2)});
  }
  const std::vector<ClipScore> moved = score_clips_at(
      {.parameter = "velocity_mm_s", .speeds = speeds, .changes = changes, .moves = moves}, scoring_, data_, clips_);
  ASSERT_EQ(moved.size(), plain.size());
  for (size_t c = 0; c < plain.size(); ++c) {
    if (c % 2 == 1) {
      EXPECT_NE(moved[c].scores, plain[c].scores);
      continue;
    }
    for (size_t i = 0; i < plain[c].scores.size(); ++i) {
      EXPECT_TRUE(std::abs(moved[c].scores[i] - plain[c].scores[i]) <= 1e-4 * (1 + std::abs(plain[c].scores[i])));
    }
  }
}

TEST_F(OtherSpeedsTest, AScoreThatCannotBeHadLeavesTheDecisionToTheUsualOne) {
  HeldOut clips{{{&data_}, {}}, {{&data_}, {}}, {}};
  for (const int32_t clip : std::span(clips_).first(6)) {
    clips.train.clips.emplace_back(0, clip);
  }
  const ScoreSet own(network_->scores(), {});
  const ClipScoring asked{.engine = *engine_,
                          .model = *network_,
                          .condition = model_.condition,
                          .window = model_.config.window,
                          .score = model_.config.score,
                          .scores = own,
                          .score_name = "score_calibrated"};
  const NormalClips normal = score_normal_clips(asked, clips, model_.config);
  EXPECT_EQ(normal.score_name, "nll");
  EXPECT_FALSE(normal.normal.calibration.has_value());
  EXPECT_THAT(normal.calibration, HasSubstr("no calibrated score"));
  EXPECT_EQ(normal.scores.training.size(), 6U);
}

TEST_F(OtherSpeedsTest, AsItIsAClipScoresAsEver) {
  const std::vector<ClipScore> plain = score_clips(scoring_, data_, clips_);
  std::vector<double> own;
  own.reserve(plain.size());
  for (const ClipScore& clip : plain) {
    own.push_back(clip.clip.parameter[0]);
  }
  for (const std::vector<ClipScore>& other : {at(std::vector<double>(clips_.size(), std::nan(""))), at(own)}) {
    ASSERT_EQ(other.size(), plain.size());
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_EQ(other[i].scores, plain[i].scores);
      EXPECT_EQ(other[i].estimate, plain[i].estimate);
      EXPECT_EQ(other[i].clip.parameter, plain[i].clip.parameter);
    }
  }
}

TEST_F(OtherSpeedsTest, AClipIsScoredAsTheWarpedWindowsWithTheOtherValue) {
  const std::vector<ClipScore> plain = score_clips(scoring_, data_, clips_);
  std::vector<double> speeds;
  speeds.reserve(plain.size());
  for (const ClipScore& clip : plain) {
    speeds.push_back(clip.clip.parameter[0] * (speeds.size() % 2 == 0 ? 1.2 : 0.9));
  }
  const std::vector<ClipScore> other = at(speeds);
  ASSERT_EQ(other.size(), plain.size());
  for_each_group(data_, clips_, scoring_.condition, scoring_.window, 1 << 20, [&](ClipGroup& group) {
    for (size_t c = 0; c < group.clips.size(); ++c) {
      for (int64_t w = group.first[c]; w < group.first[c + 1]; ++w) {
        group.changes.push_back({.warp = static_cast<float>(speeds[c] / plain[c].clip.parameter[0])});
        group.v[static_cast<size_t>(w)] = speeds[c];
      }
    }
    group.mels_per_band = mels_per_band(data_.frontend());
    flow::WindowScores windows(*network_, static_cast<int64_t>(group.start.size()));
    engine_->score(group.batch(), windows);
    const std::vector<ClipScore> expected = aggregate(scoring_, group, windows);
    for (size_t c = 0; c < expected.size(); ++c) {
      EXPECT_EQ(other[c].scores, expected[c].scores);
      EXPECT_EQ(other[c].clip.parameter[0], speeds[c]);
      EXPECT_NE(other[c].scores, plain[c].scores);
    }
  });
}

TEST_F(OtherSpeedsTest, WhatCannotBeHeardIsRefused) {
  const std::vector<double> slow(clips_.size(), 10.0);
  EXPECT_THAT(message_of<io::DataError>([&] { at(slow); }), HasSubstr("speed 100 cannot be heard as at 10"));
  EXPECT_THAT(message_of<io::UsageError>([&] { at(slow, "load"); }),
              AllOf(HasSubstr("does not have the parameter 'load'"), HasSubstr("[velocity_mm_s]")));
}

TEST_F(ScoreTest, KeepsOnlyWhatItIsAskedFor) {
  Detector detector(model(), "cpu", 1);
  const std::vector<ClipScore> kept =
      detector.score(io::Shard(shard()), [](const io::Clip& clip) { return clip.label == 1; });
  EXPECT_EQ(kept.size(), 5U);
}

TEST_F(ScoreTest, WithoutItsParameterAClipHasNoConditionalLikelihood) {
  testing::write_shard(*folder_ / "plain.h5", {.parameter = false});
  Detector detector(model(), "cpu", 1);
  const ScoreTable table = detector.table({}, detector.score(io::Shard(*folder_ / "plain.h5")));
  for (const ClipScore& clip : table.clips) {
    EXPECT_TRUE(std::isnan(table.value(clip, "nll_given_v")));
    EXPECT_TRUE(std::isfinite(table.value(clip, "nll")));
  }
}

TEST_F(ScoreTest, AggregatesOrderAsTheirNamesSay) {
  io::ModelData data = io::read_model(model());
  std::map<io::Aggregate, std::vector<ClipScore>> by;
  for (const io::Aggregate aggregate : {io::Aggregate::mean, io::Aggregate::max, io::Aggregate::top_k}) {
    data.config.score.aggregate = aggregate;
    data.config.score.top_k = 2;
    by[aggregate] = Detector(data, "cpu", 1).score(io::Shard(shard()));
  }
  const size_t of_model = flow::factory_of(data.config).scores().size();
  for (size_t i = 0; i < by[io::Aggregate::mean].size(); ++i) {
    for (size_t s = 0; s < of_model; ++s) {
      EXPECT_LE(by[io::Aggregate::mean][i].scores[s], by[io::Aggregate::top_k][i].scores[s]);
      EXPECT_LT(by[io::Aggregate::top_k][i].scores[s], by[io::Aggregate::max][i].scores[s]);
    }
  }
}

TEST_F(ScoreTest, AModelWithoutAThresholdDecidesNothing) {
  io::ModelData data = io::read_model(model());
  data.threshold.value = std::nan("");
  for (const ClipScore& clip : Detector(data, "cpu", 1).score(io::Shard(shard()))) {
    EXPECT_EQ(clip.decision, -1);
  }
}

TEST_F(ScoreTest, AScoreThatIsNotFiniteDecidesNothing) {
  Detector detector(model(), "cpu", 1);
  ASSERT_TRUE(std::isfinite(detector.model().threshold.value));
  io::Clip clip;
  clip.parameter = {300.0};
  std::vector<float> frames = testing::synthetic_frames(24, 300, false, 5);
  EXPECT_EQ(detector.score(clip, frames).fault, "");
  for (const float bad : {std::nanf(""), INFINITY}) {
    std::vector<float> spoilt = frames;
    spoilt[20 * bands] = bad;  // in the last window alone
    const ClipScore score = detector.score(clip, spoilt);
    EXPECT_FALSE(std::isfinite(score.score)) << bad;
    EXPECT_EQ(score.decision, -1) << bad;
    EXPECT_THAT(score.fault, HasSubstr("its features hold values that are not finite")) << bad;
  }
}

TEST_F(ScoreTest, SaysWhichLatentOverflows) {
  io::ModelData data = io::read_model(model());
  for (io::Tensor& tensor : data.parameters) {
    if (tensor.name.ends_with("actnorm.log_scale")) {
      std::fill(tensor.values.begin(), tensor.values.end(), 60.0F);
    }
  }
  const ClipScore score = Detector(data, "cpu", 1).score(io::Clip{}, testing::synthetic_frames(24, 300, false, 5));
  EXPECT_EQ(score.decision, -1);
  EXPECT_THAT(score.fault, HasSubstr("overflows in window 1 of 5"));
}

TEST_F(ScoreTest, RefusesAModelWhoseKCannotBe) {
  io::ModelData data = io::read_model(model());
  data.condition.k[0] = 0.0;
  EXPECT_THAT(message_of<io::DataError>([&] { Detector(data, "cpu", 1); }), HasSubstr("velocity_mm_s"));
}

TEST_F(ScoreTest, NamesAClipTooShort) {
  Detector detector(model(), "cpu", 1);
  io::Clip clip;
  clip.path = "brief.wav";
  const std::vector<float> frames(7 * bands);
  EXPECT_THAT(message_of<io::DataError>([&] { detector.score(clip, frames); }),
              AllOf(HasSubstr("brief.wav"), HasSubstr("7 frames")));
}

TEST_F(ScoreTest, NamesTheFrontendSettingThatDiffers) {
  io::ModelData data = io::read_model(model());
  data.config.frontend.pad_mode = io::PadMode::zero;
  Detector detector(data, "cpu", 1);
  const io::Shard shard_file(shard());
  EXPECT_THAT(message_of<io::DataError>([&] { detector.score(shard_file); }),
              AllOf(HasSubstr("frontend.pad_mode"), HasSubstr("the model")));
}

TEST_F(ScoreTest, ResolvesTheScore) {
  io::Config config;
  EXPECT_EQ(resolve_score(config), "nll");
  config.score.score = "score_scatter";
  EXPECT_EQ(resolve_score(config), "score_scatter");
  config.score.score = "auto";
  config.model.kind = io::ModelKind::vae;
  EXPECT_EQ(resolve_score(config), "score_reconstruction");
}

TEST_F(ScoreTest, AScoreThatTheKindOfModelLacksIsRefused) {
  io::Config config;
  for (const char* name : {"auto", "nll", "score_zc", "score_scatter"}) {
    config.score.score = name;
    EXPECT_NO_THROW(require_score(config)) << name;
  }
  for (const char* name : {"nll_given_v", "score_kld", "score_none"}) {
    config.score.score = name;
    EXPECT_THAT(message_of<io::UsageError>([&] { require_score(config); }),
                AllOf(HasSubstr(name), HasSubstr("model.kind = glow"), HasSubstr("score_zc or score_zc_logdet or"),
                      HasSubstr("nll")));
  }
  io::ModelData data = io::read_model(model());
  data.threshold.score = "score_kld";
  EXPECT_THAT(message_of<io::DataError>([&] { Detector(data, "cpu", 1); }), HasSubstr("score_kld is not a score"));
}

// ---- latents

TEST_F(ScoreTest, EncodesEveryWindow) {
  const io::Shard data(shard());
  Detector detector(model(), "cpu", 2);
  int64_t told = 0;
  detector.encode(data, *folder_ / "latents.h5", [&](int64_t done, int64_t total) {
    EXPECT_GT(done, told);
    EXPECT_EQ(total, 40);
    told = done;
  });
  EXPECT_EQ(told, 40);
  const ScoreTable scored = detector.table(data.parameter_names(), detector.score(data));
  const io::Hdf5Lock lock;
  const io::Hdf5File file = io::Hdf5File::open(*folder_ / "latents.h5", "evenflow latents");
  io::Shape zc, zd, none;
  const auto zc_values = file.read<float>("/zc", zc);
  const auto zd_values = file.read<float>("/zd", zd);
  const auto clip = file.read<int32_t>("/window/clip");
  const auto frame = file.read<int64_t>("/window/frame");
  const auto nll = file.read<double>("/nll");
  const auto score_zc = file.read<double>("/score_zc");
  const auto estimate = file.read<double>("/estimate", none);
  ASSERT_EQ(zc, (io::Shape{clip.size(), 96}));
  ASSERT_EQ(zd, (io::Shape{clip.size(), 32}));
  EXPECT_EQ(file.read_texts("/clip/path").size(), 40U);
  EXPECT_EQ(file.read_texts_attribute("/estimate", "names"), std::vector<std::string>{"velocity_mm_s"});
  std::vector<double> sum(40, 0.0), count(40, 0.0);
  for (size_t i = 0; i < clip.size(); ++i) {
    const auto c = static_cast<size_t>(clip[i]);
    EXPECT_EQ(frame[i], static_cast<int64_t>(count[c]) * 4);
    sum[c] += nll[i];
    ++count[c];
    double log_p = 0;
    for (size_t j = 0; j < 96; ++j) {
      const double z = zc_values[i * 96 + j];
      log_p -= 0.5 * (z * z + std::log(2 * M_PI));
    }
    EXPECT_TRUE(std::abs(-log_p - score_zc[i]) <= 1e-6 * std::abs(score_zc[i]));
    EXPECT_TRUE(std::isfinite(zd_values[i * 32]) && std::isfinite(estimate[i]));
  }
  for (size_t c = 0; c < 40; ++c) {
    const double expected = scored.value(scored.clips[c], "nll");
    EXPECT_TRUE(std::abs(sum[c] / count[c] - expected) <= 1e-9 * std::abs(expected));
  }
}

TEST_F(ScoreTest, EncodesOneClipAsAWholeShard) {
  const io::Shard data(shard());
  Detector detector(model(), "cpu", 2);
  detector.encode(data, *folder_ / "latents.h5");
  const io::Hdf5Lock lock;
  const io::Hdf5File file = io::Hdf5File::open(*folder_ / "latents.h5", "evenflow latents");
  io::Shape shape;
  const auto zc = file.read<float>("/zc", shape), zd = file.read<float>("/zd", shape);
  const auto clip_of_window = file.read<int32_t>("/window/clip");
  const auto frame = file.read<int64_t>("/window/frame");
  const auto nll = file.read<double>("/nll");
  constexpr int clip = 3;
  const auto first = std::find(clip_of_window.begin(), clip_of_window.end(), clip) - clip_of_window.begin();
  const ClipLatents one = detector.encode(data.clips()[clip], data.clip_frames(clip), data.parameter_names());
  const auto windows = static_cast<int64_t>(one.frame.size());
  ASSERT_EQ(windows, std::count(clip_of_window.begin(), clip_of_window.end(), clip));
  EXPECT_TRUE(std::equal(one.frame.begin(), one.frame.end(), frame.begin() + first));
  ASSERT_EQ(one.zc.size(), static_cast<size_t>(windows) * 96);
  ASSERT_EQ(one.zd.size(), static_cast<size_t>(windows) * 32);
  EXPECT_TRUE(std::equal(one.zc.begin(), one.zc.end(), zc.begin() + first * 96));
  EXPECT_TRUE(std::equal(one.zd.begin(), one.zd.end(), zd.begin() + first * 32));
  for (int64_t i = 0; i < windows; ++i) {
    EXPECT_EQ(one.scores.of(i, "nll"), nll[static_cast<size_t>(first + i)]);
  }
}

// ---- samples

TEST_F(ScoreTest, SamplesAreFunctionsOfSeedAndIndex) {
  Detector detector(model(), "cpu", 1);
  const std::vector<double> v = {300.0};
  const std::vector<float> two = detector.sample(2, v, 0.7, 5), three = detector.sample(3, v, 0.7, 5);
  ASSERT_EQ(two.size(), 2U * bands * 8);
  EXPECT_TRUE(std::equal(two.begin(), two.end(), three.begin()));
  EXPECT_NE(detector.sample(2, v, 0.7, 6), two);
  for (const float value : three) {
    EXPECT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(detector.sample(2, {}, 0.7, 5).size(), two.size());
  const std::vector<double> too_many = {1, 2};
  EXPECT_THROW(detector.sample(1, too_many, 1.0, 1), io::UsageError);
}

// [bands, frames] as samples come to [frames, bands] as clips are.
std::vector<float> transposed(const std::vector<float>& window) {
  std::vector<float> out(window.size());
  for (size_t b = 0; b < bands; ++b) {
    for (size_t t = 0; t < 8; ++t) {
      out[t * bands + b] = window[b * 8 + t];
    }
  }
  return out;
}

TEST_F(ScoreTest, AWindowMovedToVIsEstimatedAtV) {
  Detector detector(model(), "cpu", 1);
  const std::vector<float> window = testing::synthetic_frames(8, 200, false, 77);
  io::Clip clip;
  for (const double to : {150.0, 300.0, 450.0}) {
    const std::vector<double> v = {to};
    const ClipScore moved = detector.score(clip, transposed(detector.transfer(window, v)));
    EXPECT_TRUE(std::abs(moved.estimate[0] - to) <= 0.5) << moved.estimate[0];
  }
  // Moved to where it is, it stays what it is: inverse(forward(x)).
  const std::vector<double> nowhere = {std::nan("")};
  const std::vector<float> back = transposed(detector.transfer(window, nowhere));
  for (size_t i = 0; i < window.size(); ++i) {
    EXPECT_TRUE(std::abs(back[i] - window[i]) <= 1e-2) << i;
  }
}

TEST_F(ScoreTest, ASampleWithoutNoiseIsEstimatedAtItsV) {
  Detector detector(model(), "cpu", 1);
  const std::vector<double> v = {400.0};
  const ClipScore score = detector.score(io::Clip{}, transposed(detector.sample(1, v, 0.0, 1)));
  EXPECT_TRUE(std::abs(score.estimate[0] - 400.0) <= 0.5) << score.estimate[0];
}

// ---- the scores CSV

TEST_F(ScoreTest, ScoresSurviveTheCsv) {
  const io::Shard data(shard());
  Detector detector(model(), "cpu", 1);
  ScoreTable scored = detector.table(data.parameter_names(), detector.score(data));
  std::vector<ClipScore>& scores = scored.clips;
  scores[0].clip.path = "a, \"quoted\".wav";
  scores[1].clip.parameter[0] = std::nan("");
  scores[1].scores[scored.column("nll_given_v")] = std::nan("");
  scores[2].decision = -1;
  scores[2].clip.label = -1;
  scores[3].outside_calibration = 1;
  scores[4].outside_calibration = -1;
  scores[5].p_value = std::nan("");
  const std::filesystem::path file = *folder_ / "scores.csv";
  write_scores(file, scored);
  EXPECT_THAT(
      io::read_text(file),
      ::testing::StartsWith(
          "path,machine,label,velocity_mm_s,score,score_zc,score_zc_logdet,score_scatter,nll,"
          "nll_given_v,score_typical,score_calibrated,score_zc_calibrated,score_zc_logdet_calibrated,"
          "score_combined,score_mahalanobis,score_nearest,score_mahalanobis_calibrated,score_nearest_calibrated,"
          "estimate_velocity_mm_s,"
          "decision,split,domain,section,p_value,outside_calibration\n"));
  const ScoreTable table = read_scores(file);
  EXPECT_EQ(table.parameter_names, data.parameter_names());
  EXPECT_EQ(table.score_names, detector.score_names());
  EXPECT_EQ(table.estimated_names, detector.model().condition.names);
  ASSERT_EQ(table.clips.size(), scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const ClipScore &a = scores[i], &b = table.clips[i];
    EXPECT_EQ(a.clip.path, b.clip.path);
    EXPECT_EQ(a.clip.machine, b.clip.machine);
    EXPECT_EQ(a.clip.label, b.clip.label);
    EXPECT_EQ(a.clip.split, b.clip.split);
    EXPECT_EQ(a.clip.domain, b.clip.domain);
    EXPECT_EQ(a.clip.section, b.clip.section);
    EXPECT_TRUE(same(a.clip.parameter[0], b.clip.parameter[0]));
    EXPECT_EQ(a.score, b.score);
    EXPECT_TRUE(std::equal(a.scores.begin(), a.scores.end(), b.scores.begin(), b.scores.end(),
                           [](double x, double y) { return same(x, y); }));
    EXPECT_EQ(a.estimate, b.estimate);
    EXPECT_EQ(a.decision, b.decision);
    EXPECT_TRUE(same(a.p_value, b.p_value));
    EXPECT_EQ(a.outside_calibration, b.outside_calibration);
  }
}

TEST_F(ScoreTest, ABadScoresCsvIsNamed) {
  const std::filesystem::path file = *folder_ / "bad.csv";
  const std::string header =
      "path,machine,label,score,score_zc,score_zc_logdet,score_scatter,nll,nll_given_v,decision,split,domain,section\n";
  const auto refuse = [&](const std::string& text) {
    io::write_text(file, text);
    return message_of<io::DataError>([&] { read_scores(file); });
  };
  EXPECT_THAT(refuse(""), HasSubstr("empty"));
  EXPECT_THAT(refuse("path,label\na,0\n"), HasSubstr("column machine"));
  EXPECT_THAT(refuse(header + "a,m,0,1,1,1,1,1,1,0,test,,\na,m,0,one,1,1,1,1,1,0,test,,\n"),
              AllOf(HasSubstr("line 3"), HasSubstr("column score holds 'one'")));
  EXPECT_THAT(refuse(header + "a,m,7,1,1,1,1,1,1,0,test,,\n"), HasSubstr("column label"));
  EXPECT_THAT(refuse(header + "a,m,0,1\n"), AllOf(HasSubstr("line 2"), HasSubstr("4 cells")));
  const std::string end = "decision,split,domain,section\n";
  EXPECT_THAT(refuse("path,machine,label,score," + end), HasSubstr("no score behind the column score"));
  EXPECT_THAT(refuse("path,machine,label,score,nll,speed," + end), HasSubstr("column speed is neither a score nor"));
  EXPECT_THAT(refuse("path,machine,label,score,nll,estimate_v,score_zc," + end), HasSubstr("column score_zc is"));
  EXPECT_THAT(refuse("path,machine,label,score,nll,nll," + end), HasSubstr("column nll twice"));
  EXPECT_THAT(refuse("path,machine,label,score,nll,score_new," + end + "a,m,0,1,1,x,0,test,,\n"),
              AllOf(HasSubstr("line 2"), HasSubstr("column score_new holds 'x'")));
  EXPECT_THAT(refuse("path,machine,label,score,nll,decision,split,domain,section,outside_calibration\n"
                     "a,m,0,1,1,0,test,,,2\n"),
              AllOf(HasSubstr("line 2"), HasSubstr("column outside_calibration holds '2'")));
  for (const char* p : {"0", "1.5", "-0.1", "inf"}) {
    EXPECT_THAT(refuse("path,machine,label,score,nll,decision,split,domain,section,p_value\na,m,0,1,1,0,test,,," +
                       std::string(p) + "\n"),
                AllOf(HasSubstr("line 2"), HasSubstr("column p_value holds '" + std::string(p) + "'")));
  }
}

TEST_F(ScoreTest, AnOlderTableMayHaveAParameterCalledPValue) {
  const std::filesystem::path file = *folder_ / "older.csv";
  io::write_text(file, "path,machine,label,p_value,score,nll,decision,split,domain,section\na,m,0,7,1,1,0,test,,\n");
  const ScoreTable table = read_scores(file);
  EXPECT_EQ(table.parameter_names, std::vector<std::string>{"p_value"});
  EXPECT_EQ(table.clips.at(0).clip.parameter, std::vector<double>{7.0});
  EXPECT_TRUE(std::isnan(table.clips.at(0).p_value));
}

// ---- normal clips that were not trained on

TEST_F(ScoreTest, ATrainingKnowsWhatItWasTrainedOnAndWhatItsHeldOutClipsScore) {
  Detector detector(model(), "cpu", 1);
  const io::ModelData& data = detector.model();
  ASSERT_EQ(data.normal.trained_on.size(), 24U);
  ASSERT_TRUE(data.conformal.has_value());
  EXPECT_EQ(data.conformal->clips, 6);
  EXPECT_EQ(data.conformal->source, "held-out clips of the training");
  ASSERT_EQ(data.conformal->estimate_distance.size(), data.condition.names.size());
  EXPECT_EQ(data.conformal->estimate_distance.front().size(), 6);
  // Those learnt from the held-out clips themselves are not among them.
  std::vector<std::string> names;
  for (const io::ConformalData::Score& score : data.conformal->scores) {
    names.push_back(score.score);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"score_zc", "score_zc_logdet", "score_scatter", "nll", "nll_given_v",
                                             "score_mahalanobis", "score_nearest"}));
  std::vector<double> held_out;
  for (const ClipScore& clip : detector.score(io::Shard(shard()))) {
    const std::span<const double> normal = normal_scores(data, "nll");
    EXPECT_EQ(clip.p_value, conformal_p_value(normal, clip.score));
    const bool trained_on =
        std::binary_search(data.normal.trained_on.begin(), data.normal.trained_on.end(), clip.frames_sum);
    if (clip.clip.split == io::Split::train && !trained_on) {
      held_out.push_back(clip.score);
    } else {
      EXPECT_EQ(trained_on, clip.clip.split == io::Split::train);
    }
  }
  std::sort(held_out.begin(), held_out.end());
  EXPECT_THAT(held_out, ::testing::ElementsAreArray(normal_scores(data, "nll")));
}

TEST_F(ScoreTest, AScoreWithoutNormalOnesHasNoPValue) {
  io::ModelData data = io::read_model(model());
  data.conformal.reset();
  for (const ClipScore& clip : Detector(data, "cpu", 1).score(io::Shard(shard()))) {
    EXPECT_TRUE(std::isnan(clip.p_value));
  }
  Detector requested(model(), "cpu", 1, {.score = "score_calibrated", .threshold = 1.0});
  for (const ClipScore& clip : requested.score(io::Shard(shard()))) {
    EXPECT_TRUE(std::isnan(clip.p_value));
    EXPECT_EQ(clip.decision, clip.score > 1.0 ? 1 : 0);
  }
}

TEST_F(ScoreTest, ATableOfScoresThatNoModelHereHasIsRead) {
  const std::filesystem::path file = *folder_ / "other.csv";
  const std::string text =
      "path,machine,label,speed,score,score_new,nll_other,estimate_speed,decision,split,domain,section\n"
      "a,m,0,3,1.5,1.5,,2.5,0,test,,\n";
  io::write_text(file, text);
  const ScoreTable table = read_scores(file);
  EXPECT_THAT(table.score_names, ::testing::ElementsAre("score_new", "nll_other"));
  EXPECT_EQ(table.value(table.clips[0], "score_new"), 1.5);
  EXPECT_THAT(message_of<io::DataError>([&] { table.column("nll"); }), HasSubstr("there are score_new, nll_other"));
  write_scores(file, table);
  EXPECT_EQ(io::read_text(file),
            "path,machine,label,speed,score,score_new,nll_other,estimate_speed,decision,split,domain,section,p_value\n"
            "a,m,0,3,1.5,1.5,,2.5,0,test,,,\n");
}

TEST_F(ScoreTest, CategoriesAreNamesInTheTable) {
  const std::filesystem::path file = *folder_ / "names.csv";
  const auto table_of = [](const std::vector<double>& codes, const std::vector<std::string>& names) {
    ScoreTable table{{"speed", "tool"}, {"nll"}, {}, {}, {{}, names}};
    for (const double code : codes) {
      ClipScore& clip = table.clips.emplace_back();
      clip.clip.path = "a.wav";
      clip.clip.parameter = {100, code};
      clip.scores = {1};
    }
    return table;
  };
  const auto tools = [](const ScoreTable& table) {
    std::vector<std::string> out;
    for (const ClipScore& clip : table.clips) {
      out.push_back(io::value_text(clip.clip.parameter.at(1), io::categories_of(table.categories, 1)));
    }
    return out;
  };
  write_scores(file, table_of({1, 0, std::nan("")}, {"b", "a, \"x\""}));
  EXPECT_THAT(io::read_text(file), AllOf(HasSubstr("path,machine,label,speed,tool,score"), HasSubstr(",\"a, \"\"x")));
  EXPECT_THAT(tools(read_scores(file)), ::testing::ElementsAre("a, \"x\"", "b", ""));
  EXPECT_THAT(read_scores(file).categories.at(0), ::testing::IsEmpty());

  // Names that look like numbers are names after reading.
  write_scores(file, table_of({0, 1}, {"2", "01"}));
  EXPECT_THAT(io::read_text(file), HasSubstr("speed,tool:category,score"));
  EXPECT_THAT(tools(read_scores(file)), ::testing::ElementsAre("2", "01"));

  // Tables of different codes, and one that knows no value.
  const ScoreTable all = joined({table_of({0, 1}, {"b", "c"}), table_of({0}, {"a"}), table_of({std::nan("")}, {})});
  EXPECT_THAT(tools(all), ::testing::ElementsAre("b", "c", "a", ""));
  EXPECT_THAT(message_of<io::DataError>([&] {
                joined({table_of({0}, {"b"}), table_of({3}, {})});
              }),
              AllOf(HasSubstr("'tool' has numbers in one table and names, such as 'b'"), HasSubstr("tool:category")));
}

TEST_F(ScoreTest, CountsWhatHasNoValue) {
  const double nan = std::nan("");
  ScoreTable table{{"speed"}, {"nll", "nll_given_v", "score_zc"}, {"speed"}, {}};
  const auto add = [&](double speed, double score, const std::vector<double>& scores) {
    ClipScore& clip = table.clips.emplace_back();
    clip.clip.parameter = {speed};
    clip.score = score;
    clip.scores = scores;
  };
  add(1, 1, {1, nan, INFINITY});
  add(nan, 1, {1, nan, 1});
  add(1, 1, {1, 1, nan});
  add(1, nan, {nan, nan, nan});
  const auto all = [](const ClipScore&) { return true; };
  EXPECT_THAT(without_value(table, all), ::testing::ElementsAre(std::pair<std::string, int64_t>("nll_given_v", 1),
                                                                std::pair<std::string, int64_t>("score_zc", 2)));
  EXPECT_TRUE(without_value(table, [](const ClipScore&) { return false; }).empty());
}

// ---- what scores were in training

TEST_F(ScoreTest, TypicalIsTheDistanceOfNllFromItsMeanInTraining) {
  io::ModelData data = io::read_model(model());
  Detector detector(data, "cpu", 1);
  const ScoreTable table = detector.table({}, detector.score(io::Shard(shard())));
  double mean = 0, count = 0;
  for (const ClipScore& clip : table.clips) {
    if (clip.clip.split != io::Split::train) {
      continue;
    }
    mean += table.value(clip, "nll");
    ++count;
  }
  mean /= count;
  for (const ClipScore& clip : table.clips) {
    const double expected = std::abs(table.value(clip, "nll") - mean);
    EXPECT_TRUE(std::abs(table.value(clip, "score_typical") - expected) <= 1e-9 * std::abs(mean));
  }
  data.normal = {};
  EXPECT_EQ(Detector(data, "cpu", 1).score_names(),
            (std::vector<std::string>{"score_zc", "score_zc_logdet", "score_scatter", "nll", "nll_given_v"}));
  data.threshold.score = "score_typical";
  EXPECT_THAT(message_of<io::DataError>([&] { Detector(data, "cpu", 1); }), HasSubstr("decides by score_typical"));
}

TEST_F(ScoreTest, AModelCanDecideByTypical) {
  io::Config config = tiny_config();
  config.score.score = "score_typical";
  config.train.epochs = 1;
  train(tiny_options(shard(), *folder_ / "typical", config));
  Detector detector(*folder_ / "typical" / "model.h5", "cpu", 1);
  EXPECT_EQ(detector.model().threshold.score, "score_typical");
  ASSERT_TRUE(std::isfinite(detector.model().threshold.value));
  const ScoreTable table = detector.table({}, detector.score(io::Shard(shard())));
  for (const ClipScore& clip : table.clips) {
    EXPECT_EQ(clip.score, table.value(clip, "score_typical"));
    EXPECT_EQ(clip.decision, clip.score > detector.model().threshold.value ? 1 : 0);
  }
}

// ---- calibrated scores

TEST_F(ScoreTest, ATrainingCalibratesItsScores) {
  Detector detector(model(), "cpu", 1);
  ASSERT_TRUE(detector.model().normal.calibration.has_value());
  EXPECT_EQ(detector.model().normal.calibration->clips, 30);
  const ScoreTable table = detector.table(
      {}, detector.score(io::Shard(shard()), [](const io::Clip& clip) { return clip.split == io::Split::train; }));
  for (const char* score : {"score_calibrated", "score_zc_calibrated", "score_zc_logdet_calibrated",
                            "score_mahalanobis_calibrated", "score_nearest_calibrated"}) {
    double sum = 0, squares = 0;
    for (const ClipScore& clip : table.clips) {
      EXPECT_EQ(clip.outside_calibration, 0);
      sum += table.value(clip, score);
      squares += std::pow(table.value(clip, score), 2);
    }
    const auto n = static_cast<double>(table.clips.size());
    EXPECT_TRUE(std::abs(sum / n) <= 0.25) << score << ": " << sum / n;
    EXPECT_TRUE(squares / n >= 0.5 && squares / n <= 1.6) << score << ": " << squares / n;
  }
  EXPECT_THAT(io::read_text(*folder_ / "run" / "log.txt"),
              HasSubstr("calibration: 30 clips and 0 copies at other speeds"));
}

TEST_F(ScoreTest, TheCombinedScoreIsTheMeanOfTwoCalibratedOnes) {
  EXPECT_TRUE(needs_calibration("score_combined"));
  EXPECT_FALSE(needs_calibration("score_typical"));
  Detector detector(model(), "cpu", 1);
  ScoreTable table = detector.table({}, detector.score(io::Shard(shard())));
  const auto expect_mean = [&] {
    for (const ClipScore& clip : table.clips) {
      const double mean = (table.value(clip, "score_calibrated") + table.value(clip, "score_zc_logdet_calibrated")) / 2;
      EXPECT_EQ(table.value(clip, "score_combined"), mean);
    }
  };
  expect_mean();
  // By another calibration, without this clip.
  const double before = table.value(table.clips.front(), "score_combined");
  const std::vector<ClipScore> half(table.clips.begin() + 1, table.clips.begin() + 25);
  set_calibrated(table, fit_calibration(detector.scores(), detector.model().condition.names, half, {}));
  EXPECT_NE(table.value(table.clips.front(), "score_combined"), before);
  expect_mean();
}

TEST_F(ScoreTest, CopiesCoverWhatNobodyRecorded) {
  io::Config config = tiny_config();
  config.train.epochs = 1;
  config.calibration.copies = 4;
  config.calibration.range = 10;  // within the tiny model's wide bands: no two copies are warped alike
  const auto run = [&](const std::string& name) {
    train(tiny_options(shard(), *folder_ / name, config));
    return *io::read_model(*folder_ / name / "model.h5").normal.calibration;
  };
  const io::CalibrationData copied = run("copies");
  EXPECT_EQ(copied.clips, 30);
  EXPECT_EQ(copied.estimate.size(), 150U);
  EXPECT_THAT(io::read_text(*folder_ / "copies" / "log.txt"),
              HasSubstr("calibration: 30 clips and 120 copies at other speeds"));
  EXPECT_EQ(run("again"), copied);
  config.train.threads = 2;
  EXPECT_EQ(run("threads"), copied);
  // Each is heard as another sound.
  const std::vector<double>& nll = copied.scores[0].value;
  EXPECT_EQ(std::set<double>(nll.begin(), nll.end()).size(), nll.size());
  // Without a range of its own it is that of the augmentation.
  config.calibration.range = 0;
  config.augment.speed = 50;
  config.augment.speed_by = io::SpeedChange::warp;
  const io::CalibrationData warped = run("warped");
  EXPECT_EQ(warped.estimate.size(), 150U);
  // And they are moved as training's windows are. (A copy or two lie so far off that they are left out.)
  config.augment.speed_by = io::SpeedChange::spectrum;
  const io::CalibrationData moved = run("moved");
  EXPECT_TRUE(moved.estimate.size() > 140U && moved.estimate.size() <= 150U) << moved.estimate.size();
  EXPECT_NE(moved.scores[0].value, warped.scores[0].value);
  EXPECT_EQ(run("moved_again"), moved);
  config.train.threads = 1;
  EXPECT_EQ(run("moved_alone"), moved);
  config.calibration.copies = 0;
  EXPECT_EQ(run("none").estimate.size(), 30U);
}

TEST_F(ScoreTest, AFlowThatHearsOtherSpeedsDecidesByACalibratedScoreUnlessToldOtherwise) {
  const auto decides = [&](const std::string& name, const std::function<void(io::Config&)>& change) {
    io::Config config = tiny_config();
    config.train.epochs = 1;
    config.augment = {.speed = io::AugmentSettings::automatic, .noise = io::AugmentSettings::automatic};
    change(config);
    train(tiny_options(shard(), *folder_ / name, config));
    return Detector(*folder_ / name / "model.h5", "cpu", 1).score_name();
  };
  EXPECT_EQ(decides("default", [](io::Config&) {}), "score_combined");
  EXPECT_EQ(decides("told", [](io::Config& c) { c.score.score = "score_zc"; }), "score_zc");
  EXPECT_EQ(decides("by_warp", [](io::Config& c) { c.augment.speed_by = io::SpeedChange::warp; }), "nll");
  EXPECT_EQ(decides("plain", [](io::Config& c) { c.augment = io::AugmentSettings::none(); }), "nll");
  EXPECT_EQ(decides("conventional",
                    [](io::Config& c) {
                      c.condition.enabled = false;
                      c.augment.speed = 60;
                    }),
            "nll");
  EXPECT_EQ(decides("vae", [](io::Config& c) { c.model.kind = io::ModelKind::vae; }), "score_reconstruction");
}

TEST_F(ScoreTest, WhatATrainingLeavesOnItsWayCanBeScored) {
  io::Config config = tiny_config();
  config.augment = {.speed = io::AugmentSettings::automatic, .noise = io::AugmentSettings::automatic};
  TrainOptions options = tiny_options(shard(), *folder_ / "stopped", config);
  options.stop_after_steps = 20;
  EXPECT_TRUE(train(options).interrupted);
  EXPECT_EQ(Detector(*folder_ / "stopped" / "checkpoint.h5", "cpu", 1).score_name(), "nll");
}

TEST_F(ScoreTest, AModelCanDecideByACalibratedScore) {
  io::Config config = tiny_config();
  config.score.score = "score_calibrated";
  config.train.epochs = 1;
  train(tiny_options(shard(), *folder_ / "calibrated", config));
  Detector detector(*folder_ / "calibrated" / "model.h5", "cpu", 1);
  EXPECT_EQ(detector.model().threshold.score, "score_calibrated");
  ASSERT_TRUE(std::isfinite(detector.model().threshold.value));
  for (const ClipScore& clip : detector.score(io::Shard(shard()))) {
    EXPECT_TRUE(std::isfinite(clip.score));
    EXPECT_EQ(clip.decision, clip.score > detector.model().threshold.value ? 1 : 0);
  }
  io::ModelData data = detector.model();
  data.normal.calibration.reset();
  EXPECT_THAT(message_of<io::DataError>([&] { Detector(data, "cpu", 1); }), HasSubstr("decides by score_calibrated"));
}

TEST_F(ScoreTest, ACalibrationThatCannotBeIsToldBeforeTraining) {
  io::Config config = tiny_config();
  config.score.score = "score_calibrated";
  const auto refusal = [&](const std::string& name, const testing::ShardSpec& spec) {
    testing::write_shard(*folder_ / (name + ".h5"), spec);
    return message_of<io::DataError>([&] { train(tiny_options(*folder_ / (name + ".h5"), *folder_ / name, config)); });
  };
  EXPECT_THAT(refusal("few", {.train_clips = 9}), HasSubstr("9 normal training clips of known operating point"));
  EXPECT_THAT(refusal("speechless", {.train_clips = 20, .parameter = false}), HasSubstr("tied to no parameter"));
  EXPECT_FALSE(std::filesystem::exists(*folder_ / "few"));
  config.condition.enabled = false;
  EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(shard(), *folder_ / "free", config)); }),
              AllOf(HasSubstr("score_calibrated"), HasSubstr("condition.enabled is false")));
  // Not asked for, it is simply not there.
  config = tiny_config();
  config.train.epochs = 1;
  train(tiny_options(*folder_ / "few.h5", *folder_ / "few", config));
  EXPECT_FALSE(io::read_model(*folder_ / "few" / "model.h5").normal.calibration.has_value());
  EXPECT_THAT(io::read_text(*folder_ / "few" / "log.txt"), HasSubstr("no calibrated score: there are 9"));
  config.calibration.bandwidth = {50.0, 60.0};
  EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(shard(), *folder_ / "widths", config)); }),
              HasSubstr("calibration.bandwidth has 2 values but zd carries velocity_mm_s"));
  for (const double width : {1e-300, 0.1, 1e9}) {
    config.calibration.bandwidth = {width};
    EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(shard(), *folder_ / "widths", config)); }),
                AllOf(HasSubstr("calibration.bandwidth has"), HasSubstr("whose training values span 400")))
        << width;
  }
  config.calibration = {3, 50, {}};
  config.condition.speeds = {"load"};
  EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(shard(), *folder_ / "speed", config)); }),
              HasSubstr("condition.speeds names 'load'"));
}

TEST_F(ScoreTest, ManyClipsInTurnsAreCalibratedAtEverySpeed) {
  testing::write_shard(*folder_ / "turns.h5",
                       {.train_clips = 603, .test_clips = 0, .change_clip = [](size_t i, io::Clip& clip) {
                          clip.parameter[0] = 100.0 * static_cast<double>(1 + i % 3);
                        }});
  io::Config config = tiny_config();
  config.score.score = "score_calibrated";
  config.train.epochs = 1;
  config.train.validation_fraction = 0;
  train(tiny_options(*folder_ / "turns.h5", *folder_ / "turns", config));
  const io::ModelData data = io::read_model(*folder_ / "turns" / "model.h5");
  ASSERT_TRUE(data.normal.calibration.has_value());
  EXPECT_EQ(data.normal.calibration->clips, 300);
  EXPECT_EQ(data.threshold.score, "score_calibrated");
}

TEST_F(ScoreTest, TheModelHoldsWhatItsScoresWereInTraining) {
  const io::ModelData data = io::read_model(model());
  Detector detector(data, "cpu", 1);
  const std::vector<ClipScore> normal = detector.score(
      io::Shard(shard()), [](const io::Clip& clip) { return clip.split == io::Split::train && clip.label != 1; });
  ASSERT_EQ(data.normal.references.size(), detector.network().scores().size());
  for (size_t s = 0; s < data.normal.references.size(); ++s) {
    const io::ScoreReference& reference = data.normal.references[s];
    EXPECT_EQ(reference.score, detector.network().scores()[s].name);
    double mean = 0, squares = 0;
    for (const ClipScore& clip : normal) {
      mean += clip.scores[s];
    }
    mean /= static_cast<double>(normal.size());
    for (const ClipScore& clip : normal) {
      squares += std::pow(clip.scores[s] - mean, 2);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(normal.size()));
    EXPECT_TRUE(std::abs(reference.mean - mean) <= 1e-9 * std::abs(mean)) << reference.score;
    EXPECT_TRUE(std::abs(reference.deviation - deviation) <= 1e-6 * deviation) << reference.score;
  }
}

}  // namespace
}  // namespace evenflow::train
