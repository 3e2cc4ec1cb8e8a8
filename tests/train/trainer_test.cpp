#include "train/loop/trainer.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "kernels/check.h"
#include "tests/support/backends.h"
#include "tests/support/child.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"
#include "train/loop/checkpoint.h"
#include "train/loop/training_data.h"
#include "train/statistics/metrics.h"

namespace evenflow::train {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::expect_same_run;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_options;

/// Every training on every device: what a run leaves behind must not depend on where it ran.
class TrainerTest : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  void SetUp() override { testing::write_shard(shard()); }
  bool on_gpu() const { return GetParam().device.type != kernels::DeviceType::cpu; }
  io::Config base() const {
    io::Config config = testing::tiny_config();
    config.train.device = kernels::to_string(GetParam().device);
    config.train.precision = io::Precision::float32;
    return config;
  }
  /// On a GPU the default alone: device_agreement_test.cpp holds the other to the CPU's.
  std::vector<io::CouplingKind> couplings() const {
    using enum io::CouplingKind;
    return on_gpu() ? std::vector{sigmoid} : std::vector{sigmoid, additive};
  }
  io::Config base(io::CouplingKind coupling) const {
    io::Config config = base();
    config.model.coupling = coupling;
    return config;
  }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  std::string log_of(const std::string& name) const { return io::read_text(run(name) / "log.txt"); }
  tests::SelectedBackend selected_{GetParam()};
  testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Devices, TrainerTest, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(TrainerTest, LeavesAWholeRunFolder) {
  std::vector<TrainProgress> seen;
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.progress = [&](const TrainProgress& progress) { seen.push_back(progress); };
  const TrainResult result = train(options);
  EXPECT_EQ(result.epochs, 2);
  EXPECT_FALSE(result.interrupted);
  EXPECT_TRUE(std::isfinite(result.loss) && std::isfinite(result.validation_loss) && std::isfinite(result.best_loss));
  EXPECT_TRUE(io::parse_config(io::read_text(run("a") / "config.toml"), "config.toml") == options.config);
  for (const char* file : {"model.h5", "last.h5", "checkpoint.h5"}) {
    EXPECT_TRUE(io::is_model(run("a") / file)) << file;
  }
  const io::ModelData model = io::read_model(run("a") / "model.h5");
  EXPECT_EQ(model.condition.names, std::vector<std::string>{"velocity_mm_s"});
  EXPECT_EQ(model.threshold.score, "nll");
  EXPECT_TRUE(std::isfinite(model.threshold.value));
  EXPECT_FALSE(model.optimizer.has_value());
  EXPECT_EQ(model.provenance.data_hash, io::Shard(shard()).data_hash());
  EXPECT_THAT(model.provenance.date, ::testing::MatchesRegex("....-..-..T..:..:..Z"));
  EXPECT_EQ(io::read_csv(run("a") / "metrics.csv").size(), 3U);
  EXPECT_FALSE(std::filesystem::is_empty(run("a") / "tensorboard"));
  EXPECT_THAT(log_of("a"), AllOf(HasSubstr("parameters"), HasSubstr(on_gpu() ? "batches of 8" : "threads"),
                                 HasSubstr("zd carries velocity_mm_s")));
  ASSERT_EQ(seen.size(), static_cast<size_t>(2 * seen[0].steps_per_epoch + 2));
  EXPECT_TRUE(seen.back().epoch_end);
  EXPECT_EQ(seen.back().epoch, 2);
}

TEST_P(TrainerTest, LossFallsAndTheEstimateFollowsV) {
  testing::write_shard(folder_ / "large.h5", {.train_clips = 60, .test_clips = 20});
  for (const io::CouplingKind coupling : couplings()) {
    const std::string name(io::name_of(coupling));
    SCOPED_TRACE(name);
    io::Config config = base(coupling);
    config.train.epochs = 30;
    config.train.batch = 16;
    config.train.learning_rate = 3e-3;
    config.train.checkpoint_epochs = 10;
    config.train.threads = 2;
    train(tiny_options(folder_ / "large.h5", run(name), config));
    const auto rows = io::read_csv(run(name) / "metrics.csv");
    const double first = std::stod(rows[1][3]), last = std::stod(rows[30][3]);
    EXPECT_TRUE(last <= first - 0.1) << first << " to " << last;

    const io::Shard data(folder_ / "large.h5");
    Detector detector(run(name) / "model.h5", "cpu", 2);
    std::vector<double> v, estimate, score;
    std::vector<int> label;
    for (const ClipScore& clip : detector.score(data, [](const io::Clip& c) { return c.split == io::Split::test; })) {
      if (clip.clip.label == 0) {
        v.push_back(clip.clip.parameter[0]);
        estimate.push_back(clip.estimate[0]);
      }
      label.push_back(clip.clip.label);
      score.push_back(clip.score);
      EXPECT_EQ(clip.decision, clip.score > detector.model().threshold.value ? 1 : 0);
    }
    EXPECT_TRUE(pearson_correlation(v, estimate) >= 0.9) << pearson_correlation(v, estimate);
    EXPECT_TRUE(auc(score, label) >= 0.95) << auc(score, label);
  }
}

TEST_P(TrainerTest, ThreadsAndStreamingChangeNoBit) {
  for (const io::CouplingKind coupling : couplings()) {
    const std::string name(io::name_of(coupling));
    io::Config config = base(coupling);
    train(tiny_options(shard(), run(name + "_one"), config));
    config.train.threads = 3;
    config.train.resident_mib = 0;
    train(tiny_options(shard(), run(name + "_three"), config));
    EXPECT_THAT(log_of(name + "_three"), HasSubstr("streamed"));
    EXPECT_EQ(log_of(name + "_three").find("additive couplings") != std::string::npos,
              coupling == io::CouplingKind::additive);
    expect_same_run(run(name + "_one"), run(name + "_three"));
  }
}

// Stops after every step in turn, then goes on to the end.
void stop_everywhere(const std::filesystem::path& shard, const testing::TempFolder& folder, const io::Config& config) {
  int64_t steps = 0;
  TrainOptions whole = tiny_options(shard, folder / "whole", config);
  whole.progress = [&](const TrainProgress& progress) { steps = progress.epochs * progress.steps_per_epoch; };
  train(whole);
  for (int64_t stop = 1; stop < steps; ++stop) {
    SCOPED_TRACE("stopped after " + std::to_string(stop));
    const std::filesystem::path run = folder / ("stopped" + std::to_string(stop));
    TrainOptions part = tiny_options(shard, run, config);
    part.stop_after_steps = stop;
    const TrainResult first = train(part);
    EXPECT_TRUE(first.interrupted);
    EXPECT_EQ(first.steps, stop);
    Detector readable(run / "model.h5", "cpu", 1);
    part.stop_after_steps = 0;
    part.resume = true;
    part.config.train.threads = 2;
    EXPECT_EQ(train(part).steps, steps - stop);
    expect_same_run(folder / "whole", run);
  }
}

TEST_P(TrainerTest, ResumeAfterAnyStepChangesNoBit) {
  for (const io::CouplingKind coupling : couplings()) {
    SCOPED_TRACE(io::name_of(coupling));
    const testing::TempFolder folder;
    stop_everywhere(shard(), folder, base(coupling));
  }
}

TEST_P(TrainerTest, ResumeAfterAnyStepChangesNoBitStreamedWithEverySetting) {
  io::Config config = base();
  config.train.resident_mib = 0;
  config.train.windows_per_clip = 3;
  config.train.schedule = io::Schedule::cosine;
  config.train.warmup_steps = 3;
  config.train.clip_norm = 0.5;
  config.model.invconv = io::InvconvKind::dense;
  config.model.coupling = io::CouplingKind::tanh;
  stop_everywhere(shard(), folder_, config);
}

TEST_P(TrainerTest, ResumeRightAfterTheGuardsEventChangesNoBit) {
  testing::write_shard(folder_ / "nan.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 2) {
                           frames[40] = std::nanf("");
                         }
                       }});
  io::Config config = base();
  config.train.validation_fraction = 0;
  stop_everywhere(folder_ / "nan.h5", folder_, config);
}

TEST_P(TrainerTest, AFinishedRunCanBeGivenMoreEpochs) {
  io::Config config = base();
  config.train.epochs = 4;
  train(tiny_options(shard(), run("whole"), config));
  config.train.epochs = 2;
  train(tiny_options(shard(), run("part"), config));
  config.train.epochs = 4;
  TrainOptions more = tiny_options(shard(), run("part"), config);
  more.resume = true;
  EXPECT_EQ(train(more).epochs, 4);
  expect_same_run(run("whole"), run("part"));
}

TEST_P(TrainerTest, GoesOnAfterKill) {
  io::Config config = base();
  config.train.epochs = 30;
  if (const auto folder = tests::folder_from_parent()) {
    train(tiny_options(shard(), *folder / "killed", config));
    return;
  }
  train(tiny_options(shard(), run("whole"), config));
  const pid_t child = tests::rerun_this_test(folder_ / "");
  // Somewhere in the middle: when the third epoch's row is there.
  int status = 0;
  bool ended = false;
  for (int wait = 0; wait < 20000 && !ended; ++wait) {
    std::ifstream metrics(run("killed") / "metrics.csv");
    if (std::count(std::istreambuf_iterator<char>(metrics), {}, '\n') >= 4) {
      break;
    }
    usleep(1000);
    ended = waitpid(child, &status, WNOHANG) == child;
  }
  if (!ended) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  EXPECT_TRUE(WIFSIGNALED(status)) << "the training ended before it was killed";
  EXPECT_TRUE(io::is_model(run("killed") / "checkpoint.h5"));
  Detector readable(run("killed") / "model.h5", "cpu", 1);
  TrainOptions more = tiny_options(shard(), run("killed"), config);
  more.resume = true;
  train(more);
  expect_same_run(run("whole"), run("killed"));
}

TEST_P(TrainerTest, AStopFlagSavesAndReturns) {
  std::atomic<bool> stop{false};
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.stop = &stop;
  options.progress = [&](const TrainProgress& progress) { stop = stop || progress.step == 2; };
  const TrainResult result = train(options);
  EXPECT_TRUE(result.interrupted);
  const io::ProgressData progress = *read_checkpoint(run("a") / "checkpoint.h5").model.progress;
  // A GPU finishes the steps that are queued, at most an epoch's.
  EXPECT_EQ(progress.epoch, on_gpu() ? 1 : 0);
  EXPECT_EQ(progress.step_in_epoch, on_gpu() ? 0 : 2);
  options.stop = nullptr;
  options.resume = true;
  EXPECT_EQ(train(options).epochs, 2);
}

// ---- what a resume refuses

TEST_P(TrainerTest, ResumeNamesTheKeyThatChanged) {
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.stop_after_steps = 1;
  train(options);
  options.resume = true;
  options.config.train.learning_rate = 0.5;
  EXPECT_THAT(message_of<io::UsageError>([&] { train(options); }), HasSubstr("train.learning_rate"));
  options.config = base();
  options.config.model.hidden = 16;
  EXPECT_THAT(message_of<io::UsageError>([&] { train(options); }), HasSubstr("model.hidden"));
}

TEST_P(TrainerTest, ResumeRefusesOtherData) {
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.stop_after_steps = 1;
  train(options);
  options.resume = true;
  testing::write_shard(folder_ / "other.h5", {.seed = 8});
  options.shards = {folder_ / "other.h5"};
  EXPECT_THAT(message_of<io::DataError>([&] { train(options); }), HasSubstr("data_hash"));
}

TEST_P(TrainerTest, ResumeTakesNoForeignModelForItsBest) {
  TrainOptions options = tiny_options(shard(), run("a"), base());
  train(options);
  io::Config other = base();
  other.train.seed = 77;
  train(tiny_options(shard(), run("seed"), other));
  testing::write_shard(folder_ / "other.h5", {.seed = 8});
  train(tiny_options(folder_ / "other.h5", run("data"), base()));
  options.resume = true;
  options.config.train.epochs = 4;
  constexpr auto overwrite = std::filesystem::copy_options::overwrite_existing;
  for (const char* name : {"model.h5", "last.h5"}) {
    const std::string own = io::read_text(run("a") / name);
    for (const auto& [from, word] : {std::pair("seed", "train.seed = 77"), {"data", "data "}}) {
      std::filesystem::copy_file(run(from) / name, run("a") / name, overwrite);
      const std::string log = log_of("a");
      EXPECT_THAT(message_of<io::DataError>([&] { train(options); }),
                  AllOf(HasSubstr(name), HasSubstr("of another run"), HasSubstr(word)));
      EXPECT_EQ(io::read_text(run("a") / name), io::read_text(run(from) / name));
      EXPECT_EQ(log_of("a"), log);
    }
    std::ofstream(run("a") / name, std::ios::binary) << own;
  }
  std::filesystem::rename(run("a") / "model.h5", run("a") / "kept.h5");
  EXPECT_THAT(message_of<io::DataError>([&] { train(options); }), HasSubstr("has lost its model.h5"));
  std::filesystem::rename(run("a") / "kept.h5", run("a") / "model.h5");
  EXPECT_EQ(train(options).epochs, 4);
}

TEST_P(TrainerTest, ResumeNeedsACheckpoint) {
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.resume = true;
  EXPECT_THROW(train(options), io::DataError);
  train(tiny_options(shard(), run("b"), base()));
  std::filesystem::remove(run("b") / "checkpoint.h5");
  options.run = run("b");
  EXPECT_THAT(message_of<io::DataError>([&] { train(options); }), HasSubstr("checkpoint.h5"));
  std::filesystem::copy(run("b") / "last.h5", run("b") / "checkpoint.h5");
  EXPECT_THAT(message_of<io::DataError>([&] { train(options); }), HasSubstr("optimiser"));
}

TEST_P(TrainerTest, ARunIsNotOverwrittenUnasked) {
  TrainOptions options = tiny_options(shard(), run("a"), base());
  train(options);
  EXPECT_THROW(train(options), io::DataError);
  options.replace = true;
  EXPECT_EQ(train(options).epochs, 2);
}

// ---- the guard

TEST_P(TrainerTest, ANanInTheDataIsSkippedAndNamed) {
  testing::write_shard(folder_ / "nan.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 2) {
                           frames[0] = std::nanf("");  // in the clip's first window only
                         }
                       }});
  io::Config config = base();
  config.train.validation_fraction = 0;
  const TrainResult result = train(tiny_options(folder_ / "nan.h5", run("a"), config));
  EXPECT_EQ(result.epochs, 2);
  EXPECT_TRUE(std::isfinite(result.loss));
  EXPECT_THAT(log_of("a"),
              AllOf(HasSubstr("guard: epoch 1"), HasSubstr("clip_2.wav' at 0.000 s"), HasSubstr("warning")));
  const auto rows = io::read_csv(run("a") / "metrics.csv");
  EXPECT_EQ(rows[1].back(), "1");
  EXPECT_EQ(rows[2].back(), "1");
  const io::ModelData model = io::read_model(run("a") / "model.h5");
  EXPECT_TRUE(std::isfinite(model.threshold.value));
  for (const io::Tensor& tensor : model.parameters) {
    for (const float value : tensor.values) {
      ASSERT_TRUE(std::isfinite(value)) << tensor.name;
    }
  }
}

TEST_P(TrainerTest, DataThatAreBadThroughoutEndTheTraining) {
  testing::write_shard(folder_ / "nan.h5", {.train_clips = 20, .change = [](size_t clip, std::vector<float>& frames) {
                                              if (clip % 2 != 0) {
                                                std::fill(frames.begin(), frames.end(), std::nanf(""));
                                              }
                                            }});
  EXPECT_THAT(message_of<io::DataError>([&] { train(tiny_options(folder_ / "nan.h5", run("a"), base())); }),
              AllOf(HasSubstr("3 non-finite steps"), HasSubstr("clip_"), HasSubstr("Prepare the recordings again")));
  EXPECT_TRUE(io::is_model(run("a") / "last.h5"));
}

// Deep and wide enough that Adam steps of the size of the weights overflow float32.
io::Config explosive_config(io::Config config, double learning_rate, int steps) {
  config.model.steps = steps;
  config.model.hidden = 32;
  config.train.learning_rate = learning_rate;
  config.train.checkpoint_epochs = 3;
  config.train.epochs = 3;
  return config;
}

TEST_P(TrainerTest, ThreeExplosionsInARowEndInAReadableModel) {
  const io::Config config = explosive_config(base(), 1.0, 60);
  const std::string text = message_of<io::DataError>([&] { train(tiny_options(shard(), run("a"), config)); });
  EXPECT_THAT(text, AllOf(HasSubstr("3 non-finite steps"), HasSubstr("train.learning_rate"), HasSubstr("last.h5"),
                          HasSubstr("block"), HasSubstr("clip_")));
  EXPECT_THAT(log_of("a"), HasSubstr("learning rate now 0.5"));
  Detector detector(run("a") / "last.h5", "cpu", 1);
  const ScoreTable table = detector.table({}, detector.score(io::Shard(shard())));
  for (const ClipScore& clip : table.clips) {
    EXPECT_TRUE(std::isfinite(table.value(clip, "nll")));
  }
  Detector best(run("a") / "model.h5", "cpu", 1);
}

TEST_P(TrainerTest, AnExplosionIsUndoneAndTheRateHalved) {
  // Downwards from a rate that ends the training to one that is too large once or twice.
  for (double rate = 1.0; rate >= 1e-2; rate /= 1.5) {
    const std::filesystem::path folder = run("rate" + std::to_string(rate));
    try {
      train(tiny_options(shard(), folder, explosive_config(base(), rate, 20)));
    } catch (const io::DataError&) {
      continue;
    }
    const Checkpoint end = read_checkpoint(folder / "checkpoint.h5");
    const double factor = end.model.progress->learning_rate_factor;
    EXPECT_TRUE(factor == 0.5 || factor == 0.25) << factor << " at " << rate;
    EXPECT_THAT(io::read_text(folder / "log.txt"), HasSubstr("the step is undone"));
    EXPECT_LT(end.model.optimizer->step, 15);
    for (const float value : end.good.parameters) {
      ASSERT_TRUE(std::isfinite(value));
    }
    return;
  }
  FAIL() << "no learning rate trains";
}

// ---- odd data

TEST_P(TrainerTest, ClipsThatAllSayNothingAreRefusedBeforeThereIsARun) {
  testing::write_shard(folder_ / "silent.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         std::fill(frames.begin(), frames.end(), clip % 2 == 0 ? -156.5356F : 3.0F);
                       }});
  testing::write_shard(folder_ / "band.h5", {.change = [](size_t, std::vector<float>& frames) {
                         for (size_t i = 2; i < frames.size(); i += testing::bands) {
                           frames[i] = -80.0F;
                         }
                       }});
  const auto error = [&](const char* shard) {
    try {
      train(tiny_options(folder_ / shard, run("a"), base()));
    } catch (const io::DataError& refused) {
      return std::string(refused.what());
    }
    return std::string("[no exception]");
  };
  EXPECT_THAT(error("silent.h5"),
              ::testing::AllOf(HasSubstr("training clips are silent or never vary"), HasSubstr("sound/clip_")));
  EXPECT_THAT(error("band.h5"), HasSubstr("mel band 3 of 16 is -80.0 dB throughout all"));
  EXPECT_FALSE(std::filesystem::exists(run("a")));
}

TEST_P(TrainerTest, ASilentClipAmongOthersIsNamedAndScored) {
  testing::write_shard(folder_ / "some.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 1) {
                           std::fill(frames.begin(), frames.end(), -156.5356F);
                         }
                       }});
  train(tiny_options(folder_ / "some.h5", run("a"), base()));
  EXPECT_THAT(log_of("a"), HasSubstr("training clips is silent or never varies: sound/clip_1.wav"));
  Detector detector(run("a") / "model.h5", "cpu", 1);
  const ScoreTable table = detector.table({}, detector.score(io::Shard(folder_ / "some.h5")));
  for (size_t i = 0; i < table.clips.size(); ++i) {
    EXPECT_EQ(table.clips[i].silent, i == 1) << i;
    EXPECT_TRUE(std::isfinite(table.clips[i].score) && std::isfinite(table.value(table.clips[i], "nll"))) << i;
  }
}

TEST_P(TrainerTest, WithoutParametersTheModelIsUnconstrained) {
  testing::write_shard(folder_ / "plain.h5", {.parameter = false});
  train(tiny_options(folder_ / "plain.h5", run("a"), base()));
  EXPECT_THAT(log_of("a"), HasSubstr("unconstrained: the shards have no parameter"));
  io::Config config = base();
  config.condition.enabled = false;
  train(tiny_options(shard(), run("b"), config));
  EXPECT_THAT(log_of("b"), HasSubstr("unconstrained: condition.enabled is false"));
  for (const char* name : {"a", "b"}) {
    Detector detector(run(name) / "model.h5", "cpu", 1);
    EXPECT_EQ(detector.score_name(), "nll");
    const ScoreTable table = detector.table({}, detector.score(io::Shard(shard())));
    for (const ClipScore& clip : table.clips) {
      EXPECT_EQ(table.value(clip, "nll"), table.value(clip, "nll_given_v"));
      EXPECT_EQ(clip.score, table.value(clip, "nll"));
      EXPECT_TRUE(clip.estimate.empty());
    }
  }
}

TEST_P(TrainerTest, UnknownValuesTrain) {
  testing::write_shard(folder_ / "some.h5", {.change_clip = [](size_t clip, io::Clip& out) {
                         if (clip % 3 == 0) {
                           out.parameter[0] = std::nan("");
                         }
                       }});
  EXPECT_TRUE(std::isfinite(train(tiny_options(folder_ / "some.h5", run("a"), base())).validation_loss));
}

// Two tools, one of which has a hum at the lowest bands; a third stands in the list and is no training clip's.
void write_tools(const std::filesystem::path& file, int train_clips, int test_clips) {
  testing::write_shard(file, {.train_clips = train_clips,
                              .test_clips = test_clips,
                              .more_parameters = {"tool"},
                              .categories = {{}, {"A", "B", "Z"}},
                              .change =
                                  [](size_t clip, std::vector<float>& frames) {
                                    for (size_t at = 0; clip % 2 == 1 && at < frames.size(); at += testing::bands) {
                                      frames[at] += 25.0F;
                                      frames[at + 1] += 25.0F;
                                    }
                                  },
                              .change_clip =
                                  [=](size_t clip, io::Clip& out) {
                                    out.label = 0;
                                    out.parameter[1] = clip == 7 ? std::nan("") : static_cast<double>(clip % 2);
                                    if (static_cast<int>(clip) + 1 == train_clips + test_clips) {
                                      out.parameter[1] = 2.0;
                                    }
                                  }});
}

TEST_P(TrainerTest, NamesTrainAndAreTold) {
  write_tools(folder_ / "tools.h5", 60, 20);
  io::Config config = base();
  config.train.epochs = on_gpu() ? 10 : 30;
  config.train.batch = 16;
  config.train.learning_rate = 3e-3;
  config.train.checkpoint_epochs = 10;
  train(tiny_options(folder_ / "tools.h5", run("a"), config));
  EXPECT_THAT(log_of("a"), HasSubstr("zd carries tool: k 6, categories A, B"));
  EXPECT_THAT(log_of("a"), HasSubstr("tool is told wrongly of"));
  const io::Shard data(folder_ / "tools.h5");
  Detector detector(run("a") / "model.h5", "cpu", 1);
  EXPECT_EQ(detector.model().condition.categories, (io::Categories{{}, {"A", "B"}}));
  const ScoreTable table = detector.table(
      data.parameter_names(), detector.score(data, [](const io::Clip& c) { return c.split == io::Split::test; }),
      data.categories());
  int64_t right = 0;
  for (size_t i = 0; i < table.clips.size(); ++i) {
    const ClipScore& clip = table.clips[i];
    right += clip.estimate[1] == static_cast<double>(i % 2) ? 1 : 0;
    EXPECT_TRUE(clip.probability[1] > 0.5 && clip.probability[1] <= 1.0);
    EXPECT_TRUE(std::isnan(clip.probability[0]));
    EXPECT_TRUE(std::isfinite(table.value(clip, "nll")));
    // The last is said to have Z: no such name was trained.
    EXPECT_EQ(std::isnan(table.value(clip, "nll_given_v")), i + 1 == table.clips.size());
  }
  EXPECT_TRUE(right >= 19) << right;
  EXPECT_TRUE(table.clips.back().no_category);
  EXPECT_EQ(table.clips.back().outside_calibration, 1);

  write_scores(folder_ / "scores.csv", table);
  EXPECT_THAT(io::read_text(folder_ / "scores.csv"),
              HasSubstr(",estimate_velocity_mm_s,estimate_tool,estimate_tool_p,"));
  const ScoreTable read = read_scores(folder_ / "scores.csv");
  EXPECT_EQ(read.estimated_names, table.estimated_names);
  EXPECT_EQ(read.estimated_categories, (io::Categories{{}, {"A", "B"}}));
  for (size_t i = 0; i < table.clips.size(); ++i) {
    EXPECT_EQ(read.clips[i].estimate, table.clips[i].estimate);
    EXPECT_EQ(read.clips[i].probability[1], table.clips[i].probability[1]);
  }
}

TEST_P(TrainerTest, ResumeOfNamesChangesNoBit) {
  write_tools(folder_ / "tools.h5", 10, 4);
  stop_everywhere(folder_ / "tools.h5", folder_, base());
}

// A clip moved to another tool is told to have it, and one drawn at a tool as well.
TEST_P(TrainerTest, SoundMovesToAnotherName) {
  write_tools(folder_ / "tools.h5", 20, 4);
  io::Config config = base();
  config.train.epochs = 4;
  train(tiny_options(folder_ / "tools.h5", run("a"), config));
  const io::Shard data(folder_ / "tools.h5");
  Detector detector(run("a") / "model.h5", "cpu", 1);
  const size_t bands = testing::bands, frames = 8;
  const auto tool_of = [&](const std::vector<float>& by_band) {
    std::vector<float> by_frame(by_band.size());
    for (size_t t = 0; t < frames; ++t) {
      for (size_t band = 0; band < bands; ++band) {
        by_frame[t * bands + band] = by_band[band * frames + t];
      }
    }
    io::Clip moved;
    moved.parameter = {std::nan(""), std::nan("")};
    return detector.score(moved, by_frame).estimate[1];
  };
  const std::vector<float> clip = data.clip_frames(0);
  for (const double tool : {0.0, 1.0}) {
    const std::vector<double> to = {std::nan(""), tool};
    EXPECT_EQ(tool_of(detector.transfer(std::span(clip).first(frames * bands), to)), tool);
    EXPECT_EQ(tool_of(detector.sample(1, to, 0.5, 3)), tool);
  }
  const std::vector<double> none = {300.0, 0.5};
  EXPECT_THAT(message_of<io::UsageError>([&] { detector.sample(1, none, 0.5, 3); }), HasSubstr("no category of tool"));
}

TEST_P(TrainerTest, AnAutoencoderTakesNoName) {
  write_tools(folder_ / "tools.h5", 10, 4);
  io::Config config = base();
  config.model.kind = io::ModelKind::vae;
  const TrainingData data = open_training_data(config, {folder_ / "tools.h5"});
  EXPECT_EQ(data.condition.names, std::vector<std::string>{"velocity_mm_s"});
  EXPECT_THAT(data.notes, Contains(HasSubstr("tool is left out: an autoencoder's latent")));
  config.condition.parameters = {"velocity_mm_s", "tool"};
  EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(folder_ / "tools.h5", run("a"), config)); }),
              AllOf(HasSubstr("tool has names"), HasSubstr("condition.parameters")));
}

TEST_P(TrainerTest, SeveralShardsTrainAsOne) {
  testing::write_shard(folder_ / "more.h5", {.seed = 9});
  TrainOptions options = tiny_options(shard(), run("a"), base());
  options.shards.push_back(folder_ / "more.h5");
  EXPECT_TRUE(std::isfinite(train(options).loss));
  EXPECT_THAT(log_of("a"), HasSubstr("training 16 clips"));
}

TEST_P(TrainerTest, NamesTheFrontendSettingThatDiffers) {
  io::Config config = base();
  config.frontend.hop_samples = 256;
  const std::string text = message_of<io::DataError>([&] { train(tiny_options(shard(), run("a"), config)); });
  EXPECT_THAT(text, AllOf(HasSubstr("frontend.hop_samples"), HasSubstr("512"), HasSubstr("256")));
  EXPECT_FALSE(std::filesystem::exists(run("a"))) << "nothing is left behind";
}

TEST_P(TrainerTest, AParameterThatIsNotThereIsAnError) {
  io::Config config = base();
  config.condition.parameters = {"load_kg"};
  EXPECT_THAT(message_of<io::UsageError>([&] { train(tiny_options(shard(), run("a"), config)); }),
              HasSubstr("load_kg"));
}

TEST_P(TrainerTest, ACudaDeviceIsOneSentence) {
  if (on_gpu()) {
    GTEST_SKIP() << "here is one";
  }
  io::Config config = base();
  config.train.device = "cuda:0";
  EXPECT_THROW(train(tiny_options(shard(), run("a"), config)), kernels::DeviceError);
  EXPECT_FALSE(std::filesystem::exists(run("a")));
}

// ---- how long

TEST_P(TrainerTest, TheBudgetIsInStepsUnlessEpochsAreSet) {
  io::Config config = base();
  config.train.epochs = 0;
  config.train.steps = 7;
  int64_t steps_per_epoch = 0;
  TrainOptions options = tiny_options(shard(), run("steps"), config);
  options.progress = [&](const TrainProgress& progress) { steps_per_epoch = progress.steps_per_epoch; };
  const TrainResult result = train(options);
  EXPECT_EQ(result.epochs, (7 + steps_per_epoch - 1) / steps_per_epoch);
  EXPECT_EQ(result.steps, result.epochs * steps_per_epoch);
  const io::Config kept = io::read_config(run("steps") / "config.toml");
  EXPECT_EQ(kept.train.epochs, 0);
  EXPECT_EQ(kept.train.steps, 7);
  config.train.epochs = result.epochs;
  train(tiny_options(shard(), run("epochs"), config));
  expect_same_run(run("steps"), run("epochs"));
  config.train.epochs = 0;
  config.train.steps = 8 + 2 * steps_per_epoch;
  TrainOptions more = tiny_options(shard(), run("steps"), config);
  more.resume = true;
  EXPECT_GT(train(more).epochs, result.epochs);
}

// A learning rate at which the held-out loss soon rises.
io::Config impatient(io::Config config) {
  config.train.learning_rate = 0.03;
  config.train.epochs = 200;
  config.train.patience = 3;
  return config;
}

TEST_P(TrainerTest, PatienceEndsTheTrainingAndMoreEpochsDoNotGoOn) {
  const io::Config config = impatient(base());
  const TrainResult result = train(tiny_options(shard(), run("a"), config));
  ASSERT_TRUE(result.out_of_patience);
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.epochs, result.best_epoch + 3);
  EXPECT_THAT(log_of("a"), HasSubstr("no lower held-out loss for 3 epochs (train.patience)"));
  TrainOptions again = tiny_options(shard(), run("a"), config);
  again.resume = true;
  EXPECT_EQ(train(again).steps, 0);
  again.config.train.patience = 0;
  again.config.train.epochs = result.epochs + 1;
  EXPECT_EQ(train(again).epochs, result.epochs + 1);
}

TEST_P(TrainerTest, PatienceOutlivesAResume) {
  const io::Config config = impatient(base());
  const TrainResult whole = train(tiny_options(shard(), run("whole"), config));
  ASSERT_TRUE(whole.out_of_patience);
  TrainOptions options = tiny_options(shard(), run("part"), config);
  options.stop_after_steps = whole.steps - 2;
  EXPECT_TRUE(train(options).interrupted);
  options.stop_after_steps = 0;
  options.resume = true;
  EXPECT_TRUE(train(options).out_of_patience);
  expect_same_run(run("whole"), run("part"));
}

TEST_P(TrainerTest, PatienceNeedsHeldOutClips) {
  io::Config config = base();
  config.train.patience = 1;
  config.train.validation_fraction = 0;
  EXPECT_EQ(train(tiny_options(shard(), run("a"), config)).epochs, 2);
  EXPECT_THAT(log_of("a"), AllOf(HasSubstr("no clip is held out"), HasSubstr("train.patience has no effect")));
}

TEST_P(TrainerTest, WarnsOfFewRecordings) {
  testing::write_shard(folder_ / "few.h5", {.train_clips = 5});
  io::Config config = base();
  config.train.batch = 128;
  config.train.validation_fraction = 0.1;
  train(tiny_options(folder_ / "few.h5", run("a"), config));
  EXPECT_THAT(log_of("a"), AllOf(HasSubstr("an epoch is a single step"), HasSubstr("validation is one clip"),
                                 HasSubstr("the only clip at velocity_mm_s = "), HasSubstr("rests on 1 held-out clip"),
                                 HasSubstr("with `evenflow calibrate`"), HasSubstr("training clips lie above")));
  train(tiny_options(shard(), run("b"), base()));
  EXPECT_THAT(log_of("b"), AllOf(::testing::Not(HasSubstr("a single")), ::testing::Not(HasSubstr("one clip"))));
}

TEST_P(TrainerTest, SaysWhichClipsHaveNoPartInTheThreshold) {
  testing::write_shard(folder_ / "nan.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 2) {
                           frames[0] = std::nanf("");
                         }
                       }});
  train(tiny_options(folder_ / "nan.h5", run("a"), base()));
  EXPECT_THAT(log_of("a"), AllOf(HasSubstr("leaves out 1 of 10 training clips"), HasSubstr("clip_2.wav"),
                                 HasSubstr("its features hold values that are not finite")));
  EXPECT_EQ(io::read_model(run("a") / "model.h5").threshold.clips, 9);
}

TEST_P(TrainerTest, DecidesAtTheThresholdThatItIsGivenAndSaysIfThatIsOfAnotherScore) {
  io::Config config = base();
  config.score.score = "nll";
  config.score.threshold = io::ThresholdMethod::value;
  config.score.threshold_value = 1e6;
  train(tiny_options(shard(), run("high"), config));
  EXPECT_EQ(io::read_model(run("high") / "model.h5").threshold.value, 1e6);
  EXPECT_THAT(log_of("high"), ::testing::Not(HasSubstr("warning: most normal")));
  config.score.threshold_value = -1e6;
  train(tiny_options(shard(), run("low"), config));
  EXPECT_THAT(log_of("low"),
              HasSubstr("most normal training clips lie above score.threshold_value = -1e+06; is it of nll?"));
}

}  // namespace
}  // namespace evenflow::train
