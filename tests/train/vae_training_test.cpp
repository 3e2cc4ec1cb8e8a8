// Trainings of the autoencoder through the same loop, files and scores as a flow's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/manifest.h"
#include "tests/train/dense_fixture.h"
#include "train/detect/score.h"
#include "train/loop/trainer.h"
#include "train/statistics/metrics.h"

namespace evenflow::train {
namespace {

using testing::expect_same_run;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_options;

class VaeTraining : public testing::DenseTraining {
 protected:
  io::Config base() const {
    io::Config config = config_of(io::ModelKind::vae);
    config.vae = {.layers = 6, .hidden = 16, .latents = 4, .beta = 1.0, .gamma = 0.01};
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, VaeTraining, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(VaeTraining, LossFallsAndTheFirstLatentFollowsV) {
  io::Config config = base();
  config.train.epochs = 40;
  config.train.threads = 2;
  const TrainResult result = train(tiny_options(shard(), folder_ / "run", config));
  const auto rows = io::read_csv(folder_ / "run/metrics.csv");
  EXPECT_TRUE(result.loss <= std::stod(rows[1][3]) - 0.2) << rows[1][3] << " to " << result.loss;
  Detector detector(folder_ / "run/model.h5", "cpu", 2);
  EXPECT_EQ(detector.score_name(), "score_reconstruction");
  std::vector<double> v, estimate, score;
  std::vector<int> label;
  const ScoreTable scored = detector.table({"velocity_mm_s"}, detector.score(io::Shard(shard())));
  for (const ClipScore& clip : scored.clips) {
    if (clip.clip.split != io::Split::test) {
      continue;
    }
    score.push_back(clip.score);
    label.push_back(clip.clip.label);
    if (clip.clip.label != 0) {
      continue;
    }
    v.push_back(clip.clip.parameter[0]);
    estimate.push_back(clip.estimate[0]);
  }
  EXPECT_TRUE(pearson_correlation(v, estimate) >= 0.8) << pearson_correlation(v, estimate);
  EXPECT_TRUE(auc(score, label) >= 0.9) << auc(score, label);
  // Its scores have columns of their own, and come back.
  write_scores(folder_ / "scores.csv", scored);
  const auto header = io::read_csv(folder_ / "scores.csv")[0];
  EXPECT_THAT(header, ::testing::IsSupersetOf({"score_reconstruction", "score_kld", "score_loss"}));
  EXPECT_THAT(header, ::testing::Not(::testing::Contains("nll")));
  const ScoreTable table = read_scores(folder_ / "scores.csv");
  EXPECT_EQ(table.clips[0].scores, scored.clips[0].scores);
  EXPECT_THROW(table.column("nll"), io::DataError);
  EXPECT_EQ(table.estimated_names, std::vector<std::string>{"velocity_mm_s"});
}

TEST_P(VaeTraining, ThreadsStreamingAndResumingChangeNoBit) {
  io::Config config = base();
  config.train.batch = 20;  // more than one thread carries at once
  train(tiny_options(shard(), folder_ / "whole", config));
  config.train.threads = 3;
  config.train.resident_mib = 0;
  train(tiny_options(shard(), folder_ / "three", config));
  expect_same_run(folder_ / "whole", folder_ / "three");
  for (const int64_t stop : {1, 3, 5}) {
    TrainOptions part = tiny_options(shard(), folder_ / ("stopped" + std::to_string(stop)), config);
    part.stop_after_steps = stop;
    EXPECT_TRUE(train(part).interrupted);
    part.stop_after_steps = 0;
    part.resume = true;
    EXPECT_FALSE(train(part).interrupted);
    expect_same_run(folder_ / "whole", part.run);
  }
}

TEST_P(VaeTraining, LatentsAreWrittenAndWhatNeedsAFlowIsRefused) {
  train(tiny_options(shard(), folder_ / "run", base()));
  Detector detector(folder_ / "run/model.h5", kernels::to_string(GetParam().device), 1);
  detector.encode(io::Shard(shard()), folder_ / "latents.h5");
  const io::Hdf5Lock lock;
  const io::Hdf5File file = io::Hdf5File::open(folder_ / "latents.h5", "evenflow latents");
  io::Shape zc, zd, kld;
  file.read<float>("/zc", zc);
  file.read<float>("/zd", zd);
  file.read<double>("/score_kld", kld);
  EXPECT_EQ(zc.at(1), 3U);
  EXPECT_EQ(zd.at(1), 1U);
  EXPECT_EQ(kld.at(0), zd.at(0));
  EXPECT_THAT(message_of<io::UsageError>([&] { detector.sample(1, {}, 1.0, 1); }), HasSubstr("not a flow"));
}

}  // namespace
}  // namespace evenflow::train
