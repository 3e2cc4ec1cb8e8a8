#include "tests/train/train_fixture.h"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "io/atomic_file.h"
#include "io/manifest.h"
#include "train/loop/checkpoint.h"
#include "train/statistics/random.h"

namespace evenflow::train::testing {
namespace {

namespace fs = std::filesystem;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

void expect_same_tensors(const std::vector<io::Tensor>& a, const std::vector<io::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_TRUE(same_bits(a[i].values, b[i].values)) << a[i].name;
    EXPECT_EQ(a[i].integers, b[i].integers) << a[i].name;
  }
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "evenflow-train-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("no temporary folder");
  }
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<float> synthetic_frames(int64_t frames, double v, bool anomaly, uint64_t seed) {
  std::vector<float> out(static_cast<size_t>(frames * bands));
  const double centre = 2.0 + (v - 100.0) / 400.0 * 9.0;
  for (int64_t t = 0; t < frames; ++t) {
    for (int band = 0; band < bands; ++band) {
      const auto at = static_cast<uint64_t>(t * bands + band);
      const double off = (band - centre) / 1.5;
      double level = -40.0 + 4.0 * random_normal(seed, 1, at) + 20.0 * std::exp(-0.5 * off * off);
      if (anomaly && band == bands - 2) {
        level += 25.0;
      }
      out[at] = static_cast<float>(level);
    }
  }
  return out;
}

void write_shard(const fs::path& file, const ShardSpec& spec) {
  io::FrontendSettings frontend;
  frontend.mel_bands = bands;
  std::vector<std::string> names = spec.more_parameters;
  if (spec.parameter) {
    names.insert(names.begin(), "velocity_mm_s");
  }
  io::ShardWriter writer(file, frontend, names, "cpu", spec.categories);
  for (int i = 0; i < spec.train_clips + spec.test_clips; ++i) {
    const auto index = static_cast<size_t>(i);
    const double v = 100.0 + 100.0 * (i % 5);
    io::Clip clip;
    clip.split = i < spec.train_clips ? io::Split::train : io::Split::test;
    clip.path = "sound/clip_" + std::to_string(i) + ".wav";
    clip.machine = "rail";
    clip.label = clip.split == io::Split::test ? i % 2 : 0;
    clip.parameter.assign(names.size(), 1.0 + i % 2);
    if (spec.parameter) {
      clip.parameter[0] = v;
    }
    clip.domain = "source";
    clip.section = "00";
    if (spec.change_clip) {
      spec.change_clip(index, clip);
    }
    std::vector<float> frames = synthetic_frames(20 + i % 10, v, clip.label == 1, spec.seed * 1000 + index);
    if (spec.change) {
      spec.change(index, frames);
    }
    writer.append(clip, frames);
  }
  writer.finish();
}

io::Config tiny_config() {
  io::Config config;
  config.frontend.mel_bands = bands;
  config.window.window_frames = 8;
  config.window.window_hop_frames = 4;
  config.model.blocks = 2;
  config.model.steps = 2;
  config.model.hidden = 8;
  config.train.device = "cpu";
  config.train.threads = 1;
  config.train.batch = 8;
  config.train.epochs = 2;
  config.train.learning_rate = 1e-3;
  config.train.validation_fraction = 0.2;
  config.train.checkpoint_epochs = 1;
  config.augment = io::AugmentSettings::none();
  return config;
}

TrainOptions tiny_options(const fs::path& shard, const fs::path& run, const io::Config& config) {
  TrainOptions options;
  options.config = config;
  options.shards = {shard};
  options.run = run;
  return options;
}

void expect_same_model(const fs::path& a, const fs::path& b) {
  SCOPED_TRACE(a.string() + " and " + b.string());
  const io::ModelData first = io::read_model(a), second = io::read_model(b);
  expect_same_tensors(first.parameters, second.parameters);
  EXPECT_TRUE(same_bits(first.normaliser.mean, second.normaliser.mean));
  EXPECT_TRUE(same_bits(first.normaliser.std, second.normaliser.std));
  EXPECT_TRUE(same_bits(first.condition.k, second.condition.k));
  EXPECT_TRUE(same_bits(first.condition.v0, second.condition.v0));
  EXPECT_EQ(std::bit_cast<uint64_t>(first.threshold.value), std::bit_cast<uint64_t>(second.threshold.value));
  EXPECT_EQ(first.normal.references, second.normal.references);
  EXPECT_EQ(first.normal.calibration, second.normal.calibration);
  EXPECT_EQ(first.normal.trained_on, second.normal.trained_on);
  ASSERT_EQ(first.conformal.has_value(), second.conformal.has_value());
  if (first.conformal) {
    EXPECT_EQ(first.conformal->scores, second.conformal->scores);
    EXPECT_EQ(first.conformal->data_hash, second.conformal->data_hash);
  }
  ASSERT_EQ(first.optimizer.has_value(), second.optimizer.has_value());
  if (!first.optimizer) {
    return;
  }
  const Checkpoint c = read_checkpoint(a), d = read_checkpoint(b);
  EXPECT_TRUE(same_bits(first.optimizer->m, second.optimizer->m));
  EXPECT_TRUE(same_bits(first.optimizer->v, second.optimizer->v));
  EXPECT_EQ(first.optimizer->step, second.optimizer->step);
  EXPECT_EQ(c.good, d.good);
  EXPECT_EQ(c.sums, d.sums);
  EXPECT_EQ(first.progress->epoch, second.progress->epoch);
  EXPECT_EQ(first.progress->step_in_epoch, second.progress->step_in_epoch);
  EXPECT_EQ(first.progress->learning_rate_factor, second.progress->learning_rate_factor);
  EXPECT_EQ(first.progress->best_epoch, second.progress->best_epoch);
  EXPECT_EQ(std::bit_cast<uint64_t>(first.progress->best_loss), std::bit_cast<uint64_t>(second.progress->best_loss));
  EXPECT_EQ(first.progress->guard_count, second.progress->guard_count);
}

std::string timeless_metrics(const fs::path& run) {
  std::string text;
  for (const std::vector<std::string>& row : io::read_csv(run / "metrics.csv")) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i != 8 && i != 9) {
        text += row[i] + (i + 1 < row.size() ? "," : "\n");
      }
    }
  }
  return text;
}

void expect_same_run(const fs::path& a, const fs::path& b) {
  for (const char* file : {"model.h5", "last.h5", "checkpoint.h5"}) {
    expect_same_model(a / file, b / file);
  }
  EXPECT_EQ(timeless_metrics(a), timeless_metrics(b));
}

}  // namespace evenflow::train::testing
