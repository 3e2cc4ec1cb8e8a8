// Trainings of the classifier through the same loop, files and scores as a flow's.
#include <gtest/gtest.h>

#include <cmath>

#include "io/error.h"
#include "io/hdf5_file.h"
#include "tests/train/dense_fixture.h"
#include "train/detect/score.h"
#include "train/loop/trainer.h"

namespace evenflow::train {
namespace {

using testing::tiny_options;

class ClassifierTraining : public testing::DenseTraining {
 protected:
  io::Config base() const {
    io::Config config = config_of(io::ModelKind::classifier);
    config.classifier = {.layers = 3, .hidden = 16, .embedding = 8};
    return config;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ClassifierTraining, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(ClassifierTraining, TellsTheTrainingValuesApart) {
  io::Config config = base();
  config.train.epochs = 30;
  config.train.threads = 2;
  train(tiny_options(shard(), folder_ / "run", config));
  Detector detector(folder_ / "run/model.h5", "cpu", 2);
  EXPECT_EQ(detector.score_name(), "score_confidence");
  const std::vector<double>& values = detector.model().condition.training_values[0];
  int64_t right = 0, count = 0;
  const ScoreTable scored = detector.table({"velocity_mm_s"}, detector.score(io::Shard(shard())));
  for (const ClipScore& clip : scored.clips) {
    EXPECT_TRUE(std::isfinite(scored.value(clip, "score_confidence")));
    if (clip.clip.split != io::Split::train) {
      continue;
    }
    const double v = clip.clip.parameter[0];
    double nearest = values.front();
    for (const double value : values) {
      if (std::abs(value - clip.estimate[0]) < std::abs(nearest - clip.estimate[0])) {
        nearest = value;
      }
    }
    right += nearest == v;
    ++count;
  }
  EXPECT_GE(right, count * 9 / 10) << count;
  write_scores(folder_ / "scores.csv", scored);
  const ScoreTable table = read_scores(folder_ / "scores.csv");
  EXPECT_EQ(table.score_names, scored.score_names);
  EXPECT_EQ(table.clips[0].scores, scored.clips[0].scores);
  EXPECT_THROW(table.column("nll"), io::DataError);
}

TEST_P(ClassifierTraining, EncodesToEmbeddings) {
  train(tiny_options(shard(), folder_ / "run", base()));
  Detector detector(folder_ / "run/model.h5", kernels::to_string(GetParam().device), 1);
  detector.encode(io::Shard(shard()), folder_ / "latents.h5");
  const io::Hdf5Lock lock;
  const io::Hdf5File file = io::Hdf5File::open(folder_ / "latents.h5", "evenflow latents");
  io::Shape zc, zd, confidence;
  file.read<float>("/zc", zc);
  file.read<float>("/zd", zd);
  file.read<double>("/score_confidence", confidence);
  EXPECT_EQ(zc.at(1), 8U);
  EXPECT_EQ(zd.at(1), 0U);
  EXPECT_EQ(confidence.at(0), zc.at(0));
}

TEST_P(ClassifierTraining, ThreadsStreamingAndResumingChangeNoBit) {
  io::Config config = base();
  config.train.batch = 20;
  train(tiny_options(shard(), folder_ / "whole", config));
  config.train.threads = 3;
  config.train.resident_mib = 0;
  TrainOptions part = tiny_options(shard(), folder_ / "part", config);
  part.stop_after_steps = 3;
  EXPECT_TRUE(train(part).interrupted);
  part.stop_after_steps = 0;
  part.resume = true;
  EXPECT_FALSE(train(part).interrupted);
  testing::expect_same_run(folder_ / "whole", folder_ / "part");
}

}  // namespace
}  // namespace evenflow::train
