// Trainings whose windows are changed on their way in.
#include "train/loop/augmentation.h"

#include <gmock/gmock.h>

#include <cmath>

#include "flow/factory.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"
#include "train/detect/speeds.h"
#include "train/loop/training_data.h"

namespace evenflow::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::expect_same_run;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;
using testing::tiny_options;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr double no_learning = 1e-30;  // weights of a usual size keep their bits

/// How far Adam may move a parameter in one step, in learning rates: (1 - beta1) / sqrt(1 - beta2) (Kingma and Ba 2015,
/// 2.1), rounded up.
constexpr double most_rates_per_step = 3.2;
const io::AugmentSettings everything{.speed = 60, .noise = 0.2, .mask_bands = 3, .mask_frames = 2};

class AugmentedTraining : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  void SetUp() override { testing::write_shard(shard(), {.more_parameters = {"load_kg"}}); }
  io::Config base(const io::AugmentSettings& augment = {}) const {
    io::Config config = testing::tiny_config();
    config.condition.parameters = {"velocity_mm_s"};
    config.train.device = kernels::to_string(GetParam().device);
    config.train.precision = io::Precision::float32;
    config.train.epochs = 1;
    config.augment = augment;
    return config;
  }
  TrainResult train_as(const std::string& name, const io::Config& config) const {
    return train(tiny_options(shard(), run(name), config));
  }
  /// Once in one go, and once on three threads, streamed and stopped on the way.
  void expect_no_bit_changed(io::Config config) const {
    config.train.epochs = 2;
    train_as("whole", config);
    TrainOptions part = tiny_options(shard(), run("part"), config);
    part.config.train.threads = 3;
    part.config.train.resident_mib = 0;
    part.stop_after_steps = 3;
    EXPECT_TRUE(train(part).interrupted);
    part.stop_after_steps = 0;
    part.resume = true;
    EXPECT_FALSE(train(part).interrupted);
    expect_same_run(run("whole"), run("part"));
  }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  tests::SelectedBackend selected_{GetParam()};
  testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Devices, AugmentedTraining, ::testing::ValuesIn(tests::devices_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(AugmentedTraining, ThreadsStreamingAndResumingChangeNoBit) {
  for (const io::SpeedChange change : {io::SpeedChange::spectrum, io::SpeedChange::warp}) {
    SCOPED_TRACE(io::name_of(change));
    io::Config config = base(everything);
    config.augment.speed_by = change;
    expect_no_bit_changed(config);
    std::filesystem::remove_all(run("whole"));
    std::filesystem::remove_all(run("part"));
  }
}

TEST_P(AugmentedTraining, ThreadsStreamingAndResumingChangeNoBitWhereTheSpeedIsNotTheModels) {
  for (const io::SpeedChange change : {io::SpeedChange::spectrum, io::SpeedChange::warp}) {
    SCOPED_TRACE(io::name_of(change));
    io::Config config = base({.speed = 60, .speed_by = change});
    config.condition.parameters = {"load_kg"};
    expect_no_bit_changed(config);
    std::filesystem::remove_all(run("whole"));
    std::filesystem::remove_all(run("part"));
  }
}

TEST_P(AugmentedTraining, TheLogSaysWhatIsChanged) {
  train_as("plain", base());
  EXPECT_THAT(io::read_text(run("plain") / "log.txt"), ::testing::Not(HasSubstr("changed at random")));
  train_as("changed", base(everything));
  EXPECT_THAT(
      io::read_text(run("changed") / "log.txt"),
      AllOf(HasSubstr("changed at random: speed by up to 60 in 100 % of the windows, by spectrum, noise 0.2, up "
                      "to 3 bands masked, up to 2 frames masked"),
            HasSubstr("spectrum by velocity_mm_s: ")));
  io::Config config = base(everything);
  config.augment.speed_by = io::SpeedChange::warp;
  train_as("warped", config);
  EXPECT_THAT(
      io::read_text(run("warped") / "log.txt"),
      AllOf(HasSubstr("speed by up to 60 in 50 % of the windows, by warp"), ::testing::Not(HasSubstr("spectrum by"))));
}

TEST_P(AugmentedTraining, AConventionalFlowHearsOtherSpeedsByTheShards) {
  io::Config config = base();
  config.condition.enabled = false;
  const TrainResult plain = train_as("plain", config);
  config.augment.speed = 60;
  const double by_spectrum = train_as("moved", config).loss;
  config.augment.speed_by = io::SpeedChange::warp;
  const double by_warp = train_as("warped", config).loss;
  EXPECT_NE(by_spectrum, plain.loss);
  EXPECT_NE(by_warp, plain.loss);
  EXPECT_NE(by_warp, by_spectrum);
}

TEST_P(AugmentedTraining, EachKindChangesTheTraining) {
  const double plain = train_as("plain", base()).loss;
  EXPECT_NE(train_as("speed", base({.speed = 60})).loss, plain);
  EXPECT_NE(train_as("noise", base({.noise = 0.2})).loss, plain);
  EXPECT_NE(train_as("bands", base({.mask_bands = 3})).loss, plain);
  EXPECT_NE(train_as("frames", base({.mask_frames = 3})).loss, plain);
}

TEST_P(AugmentedTraining, WhereNoWindowIsWarpedEveryBitIsAsWithout) {
  train_as("plain", base());
  train_as("never", base({.speed = 60, .speed_probability = 0}));
  expect_same_run(run("plain"), run("never"));
}

TEST_P(AugmentedTraining, HeldOutClipsThresholdAndFirstWeightsAreNotAugmented) {
  io::Config config = base();
  config.score.score = "nll";
  config.train.learning_rate = no_learning;
  const TrainResult plain = train_as("plain", config);
  config.augment = everything;
  config.augment.noise = 2;
  const TrainResult changed = train_as("changed", config);
  EXPECT_GT(changed.loss, plain.loss);
  EXPECT_EQ(changed.validation_loss, plain.validation_loss);
  const io::ModelData a = io::read_model(run("plain") / "last.h5"), b = io::read_model(run("changed") / "last.h5");
  EXPECT_EQ(a.threshold.value, b.threshold.value);
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    if (a.parameters[i].name.find("actnorm") != std::string::npos) {
      // Both move away from the same first weights, each its own way.
      const double most = 2 * no_learning * most_rates_per_step * static_cast<double>(plain.steps);
      EXPECT_THAT(a.parameters[i].values,
                  ::testing::Pointwise(::testing::FloatNear(static_cast<float>(most)), b.parameters[i].values))
          << a.parameters[i].name;
    }
  }
}

/// The mean loss of the first batch, changed as drawn for the first update, by the parts of a training.
double first_loss(const io::Config& config, const std::filesystem::path& shard) {
  const TrainingData data = open_training_data(config, {shard});
  const io::NormaliserData normaliser = fit_normaliser_to(data, config.window.normalise, [](const std::string&) {});
  const auto model = flow::make_model(config, data.condition, config.train.seed, {});
  const auto engine = make_engine(*model, normaliser, {.threads = 1, .batch = config.train.batch, .training = true});
  data.train->start_epoch(config.train.seed, 0, config.train.batch, 0);
  WindowBatch batch = data.train->next();
  kernels::Stream stream;
  const kernels::Buffer<float> x = engine->normalised(batch);
  model->initialise(stream, kernels::make_map(x.data(), batch.size(), 1, model->height(), model->width()));
  model->assemble(stream);
  const std::vector<int64_t> update{0};
  std::vector<kernels::WindowChange> changes(batch.start.size());
  std::vector<double> v(batch.start.size());
  kernels::DrawChanges draw = data.augment->draw;
  draw.step = {update.data(), 1, {}};
  draw.values = {batch.v.data(), static_cast<int64_t>(batch.v.size()), {}};
  draw.changes = {changes.data(), batch.size(), {}};
  draw.v = {v.data(), batch.size(), {}};
  if (data.augment->moves) {
    data.augment->moves->set(draw);
    batch.moves = data.augment->moves->of_bands();
  }
  kernels::draw_changes(stream, draw);
  batch.v = v;
  batch.changes = changes;
  batch.mels_per_band = mels_per_band(config.frontend);
  std::vector<double> nll(batch.start.size());
  return engine->loss(batch, nll);
}

TEST_P(AugmentedTraining, AStepSeesTheDrawnWindowsAndTheMovedSpeeds) {
  const io::AugmentSettings by_warp{.speed = 60, .speed_by = io::SpeedChange::warp};
  for (const io::AugmentSettings& augment : {io::AugmentSettings{.speed = 60}, by_warp, everything}) {
    const io::Config config = base(augment);
    const std::string name = std::string(io::name_of(augment.speed_by)) + (augment.noise > 0 ? "_and_all" : "");
    TrainOptions options = tiny_options(shard(), run(name), config);
    options.stop_after_steps = 1;
    double loss = unknown;
    options.progress = [&](const TrainProgress& progress) { loss = progress.step == 1 ? progress.loss : loss; };
    train(options);
    io::Config on_cpu = config;
    on_cpu.train.device = "cpu";
    const double expected = first_loss(on_cpu, shard());
    EXPECT_TRUE(std::abs(loss - expected) <= 1e-6 * std::abs(expected)) << loss << " " << expected;
  }
}

TEST_P(AugmentedTraining, AClipThatIsNotFiniteIsNamedAndTheRestIsLearnt) {
  testing::write_shard(folder_ / "nan.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 2) {
                           frames[40] = std::nanf("");
                         }
                       }});
  for (const int64_t resident_mib : {1024, 0}) {
    io::Config config = base({.speed = 60, .noise = 0.2});
    config.train.validation_fraction = 0;
    config.train.resident_mib = resident_mib;
    const std::string name = resident_mib > 0 ? "resident" : "streamed";
    EXPECT_TRUE(std::isfinite(train(tiny_options(folder_ / "nan.h5", run(name), config)).loss));
    EXPECT_THAT(io::read_text(run(name) / "log.txt"),
                AllOf(HasSubstr("windows with values that are not finite"), HasSubstr("clip_2.wav")));
  }
}

TEST_P(AugmentedTraining, FollowsTheCpu) {
  io::Config config = base(everything);
  config.train.kernels = io::CouplingKernels::layered;
  const TrainResult here = train_as("here", config);
  config.train.device = "cpu";
  const TrainResult cpu = train_as("cpu", config);
  EXPECT_TRUE(std::abs(here.loss - cpu.loss) <= 1e-5 * std::abs(cpu.loss)) << here.loss << " " << cpu.loss;
  EXPECT_TRUE(std::abs(here.validation_loss - cpu.validation_loss) <= 1e-5 * std::abs(cpu.validation_loss));
}

TEST(Speeds, AreKnownByTheirNamesOrBySettings) {
  const std::vector<std::string> names = {"velocity_mm_s", "load", "Speed", "spd", "rpm_of_fan", "marvel"};
  EXPECT_THAT(speeds_among(names, {}), ElementsAre("velocity_mm_s", "Speed", "spd", "rpm_of_fan"));
  EXPECT_THAT(speeds_among({"load"}, {}), IsEmpty());
  io::ConditionSettings settings;
  settings.speeds = {"load"};
  EXPECT_THAT(speeds_among(names, settings), ElementsAre("load"));
  settings.speeds = {"lode"};
  EXPECT_THAT(message_of<io::UsageError>([&] { speeds_among(names, settings); }),
              AllOf(HasSubstr("condition.speeds names 'lode'"), HasSubstr("velocity_mm_s, load")));
}

TEST(Speeds, AChangeIsTheirRatio) {
  EXPECT_EQ(change_to_speed(200, 250).warp, 1.25F);
  EXPECT_EQ(change_to_speed(-200, -250).warp, 1.25F);
  EXPECT_EQ(change_to_speed(200, unknown).warp, 1.0F);
  EXPECT_EQ(change_to_speed(unknown, 200).warp, 1.0F);
  for (const auto& [v, moved] : {std::pair(0.0, 50.0), std::pair(100.0, 0.0), std::pair(100.0, -100.0),
                                 std::pair(100.0, 49.0), std::pair(100.0, 201.0)}) {
    EXPECT_THAT(message_of<io::DataError>([&, from = v, to = moved] { change_to_speed(from, to); }),
                HasSubstr("0.5 to 2"));
  }
}

/// What plan_augmentation says of a shard.
class RefusedAugmentation : public ::testing::Test {
 protected:
  template <class E>
  std::string refusal(const testing::ShardSpec& spec) const {
    testing::write_shard(folder_ / "shard.h5", spec);
    return message_of<E>([&] { open_training_data(config_, {folder_ / "shard.h5"}); });
  }
  io::Config config_ = [] {
    io::Config config = testing::tiny_config();
    config.augment.speed = 60;
    return config;
  }();
  testing::TempFolder folder_;
};

TEST_F(RefusedAugmentation, OfNoSpeedOrSeveral) {
  EXPECT_THAT(refusal<io::UsageError>({.parameter = false, .more_parameters = {"load"}}),
              AllOf(HasSubstr("(load)"), HasSubstr("condition.speeds")));
  EXPECT_THAT(refusal<io::UsageError>({.parameter = false}), HasSubstr("(none)"));
  EXPECT_THAT(refusal<io::UsageError>({.more_parameters = {"rpm"}}),
              AllOf(HasSubstr("2: velocity_mm_s, rpm"), HasSubstr("augment.speed_parameter")));
}

TEST_F(RefusedAugmentation, OfAParameterThatIsNoSpeedOrNotThere) {
  config_.augment.speed_parameter = "load";
  EXPECT_THAT(refusal<io::UsageError>({.more_parameters = {"load"}}),
              AllOf(HasSubstr("'load', which is not a speed"), HasSubstr("condition.speeds")));
  config_.augment.speed_parameter = "lode";
  EXPECT_THAT(refusal<io::UsageError>({.more_parameters = {"load"}}),
              AllOf(HasSubstr("'lode'"), HasSubstr("velocity_mm_s, load")));
}

TEST_F(RefusedAugmentation, ANameThatTheDataLackIsToldWhetherWindowsAreChangedOrNot) {
  config_.augment.speed = 0;
  for (const bool constrained : {true, false}) {
    config_.condition.enabled = constrained;
    config_.augment.speed_parameter = "lode";
    EXPECT_THAT(refusal<io::UsageError>({}), AllOf(HasSubstr("'lode'"), HasSubstr("velocity_mm_s")));
    config_.augment.speed_parameter = "";
    config_.condition.speeds = {"velocity"};
    EXPECT_THAT(refusal<io::UsageError>({}), AllOf(HasSubstr("condition.speeds names 'velocity'"), HasSubstr("_mm_s")));
    config_.condition.speeds = {};
  }
}

TEST_F(RefusedAugmentation, BySpectrumOfClipsAtOneSpeed) {
  config_.augment.speed_by = io::SpeedChange::spectrum;
  config_.condition.enabled = false;
  EXPECT_THAT(refusal<io::DataError>({.change_clip = [](size_t, io::Clip& c) { c.parameter[0] = 200; }}),
              AllOf(HasSubstr("velocity_mm_s"), HasSubstr("two values"), HasSubstr("speed_by to warp")));
}

TEST_F(RefusedAugmentation, OfAMachineThatStandsStill) {
  config_.augment.speed_by = io::SpeedChange::warp;
  const auto still = [](size_t clip, io::Clip& c) { c.parameter[0] = clip == 3 ? 0.0 : c.parameter[0]; };
  config_.train.validation_fraction = 0;
  EXPECT_THAT(refusal<io::DataError>({.change_clip = still}),
              AllOf(HasSubstr("clip_3.wav' has velocity_mm_s = 0"), HasSubstr("augment.speed")));
  const auto nowhere_known = [](size_t, io::Clip& c) { c.parameter[0] = unknown; };
  config_.condition.enabled = false;
  EXPECT_THAT(refusal<io::DataError>({.change_clip = nowhere_known}), HasSubstr("unknown in every training clip"));
}

TEST_F(RefusedAugmentation, OfARangeInAnotherUnit) {
  config_.augment.speed = 60000;
  EXPECT_THAT(refusal<io::UsageError>({}),
              AllOf(HasSubstr("augment.speed = 60000"), HasSubstr("at most 500"), HasSubstr("unit")));
}

/// What is left to the program, for a shard of speeds that are 100 apart.
class AutomaticAugmentation : public ::testing::Test {
 protected:
  std::pair<double, double> speed_and_noise(const testing::ShardSpec& spec = {}) const {
    testing::write_shard(folder_ / "shard.h5", spec);
    const TrainingData data = open_training_data(config_, {folder_ / "shard.h5"});
    EXPECT_EQ(data.augment.has_value(), data.augmentation.speed > 0);
    return {data.augmentation.speed, data.augmentation.noise};
  }
  static constexpr double automatic_ = io::AugmentSettings::automatic;
  io::Config config_ = [] {
    io::Config config = testing::tiny_config();
    config.augment.speed = config.augment.noise = automatic_;
    return config;
  }();
  testing::TempFolder folder_;
};

TEST_F(AutomaticAugmentation, IsThreeFifthsOfTheSmallestStep) {
  EXPECT_EQ(speed_and_noise(), std::pair(60.0, 0.2));
  config_.augment.noise = 0.1;
  EXPECT_EQ(speed_and_noise(), std::pair(60.0, 0.1));
  config_.augment = {.speed = 30, .noise = automatic_};
  EXPECT_EQ(speed_and_noise(), std::pair(30.0, 0.2));
}

TEST_F(AutomaticAugmentation, IsNoneWhereNoSpeedCanBeMoved) {
  const std::pair none(0.0, 0.0);
  EXPECT_EQ(speed_and_noise({.parameter = false, .more_parameters = {"load"}}), none);
  EXPECT_EQ(speed_and_noise({.more_parameters = {"rpm"}}), none);
  EXPECT_EQ(speed_and_noise({.change_clip = [](size_t, io::Clip& c) { c.parameter[0] -= 100; }}), none);
  config_.augment.speed_probability = 0;
  EXPECT_EQ(speed_and_noise(), none);
  config_.augment = {.speed = 0, .noise = automatic_};
  EXPECT_EQ(speed_and_noise(), none);
  config_.augment = {.speed = automatic_, .noise = automatic_};
  config_.condition.enabled = false;
  EXPECT_EQ(speed_and_noise(), none);
}

TEST_F(AutomaticAugmentation, IsBySpectrumWhereThereAreTwoSpeedsElseByWarp) {
  const auto change = [&](const testing::ShardSpec& spec) {
    testing::write_shard(folder_ / "shard.h5", spec);
    const io::AugmentSettings settings = open_training_data(config_, {folder_ / "shard.h5"}).augmentation;
    return std::pair(settings.speed_by, settings.speed_probability);
  };
  const testing::ShardSpec plain{.train_clips = 40, .more_parameters = {"load"}};
  EXPECT_EQ(change(plain), std::pair(io::SpeedChange::spectrum, 1.0));
  // Each load has a speed of its own.
  const testing::ShardSpec one_each{.train_clips = 40,
                                    .more_parameters = {"load"},
                                    .change_clip = [](size_t, io::Clip& c) { c.parameter[0] = 100 * c.parameter[1]; }};
  config_.condition.parameters = {"velocity_mm_s", "load"};
  EXPECT_EQ(change(one_each), std::pair(io::SpeedChange::warp, 0.5));
  config_.augment.speed_probability = 0.25;
  EXPECT_EQ(change(one_each), std::pair(io::SpeedChange::warp, 0.25));
  EXPECT_EQ(change(plain), std::pair(io::SpeedChange::spectrum, 0.25));
}

TEST_F(AutomaticAugmentation, TakesTheSpeedThatIsMeant) {
  config_.condition.parameters = {"velocity_mm_s", "rpm"};
  config_.augment.speed_parameter = "velocity_mm_s";
  EXPECT_EQ(speed_and_noise({.train_clips = 40, .more_parameters = {"rpm"}}), std::pair(60.0, 0.2));
}

TEST_F(AutomaticAugmentation, IsOfTheSpeedThatZdCarriesWhereTheDataHaveAnother) {
  config_.condition.parameters = {"velocity_mm_s"};
  testing::write_shard(folder_ / "shard.h5", {.more_parameters = {"rpm"}});
  const io::AugmentSettings settings = open_training_data(config_, {folder_ / "shard.h5"}).augmentation;
  EXPECT_EQ(settings.speed, 60);
  EXPECT_EQ(settings.speed_parameter, "velocity_mm_s");
}

TEST_F(AutomaticAugmentation, HangsOnTheClipsAndNotOnWhichAreHeldOut) {
  const testing::ShardSpec readings{.train_clips = 12, .change_clip = [](size_t clip, io::Clip& c) {
                                      c.parameter[0] = 100 + 0.37 * static_cast<double>(clip);
                                    }};
  config_.train.validation_fraction = 0;
  const double whole = speed_and_noise(readings).first;
  config_.train.validation_fraction = 0.4;
  EXPECT_EQ(speed_and_noise(readings).first, whole);
}

TEST_F(AutomaticAugmentation, IsNoneWhereScoresCannotBeCalibrated) {
  EXPECT_EQ(speed_and_noise({.train_clips = 10}), std::pair(60.0, 0.2));
  EXPECT_EQ(speed_and_noise({.train_clips = 9}), std::pair(0.0, 0.0));
  config_.augment.speed = 60;
  EXPECT_EQ(speed_and_noise({.train_clips = 9}), std::pair(60.0, 0.2)) << "what is asked for is done";
}

TEST_F(AutomaticAugmentation, IsNoneForAClassifierWhichWouldHearASpeedByTheNameOfAnother) {
  config_.model.kind = io::ModelKind::classifier;
  EXPECT_EQ(speed_and_noise(), std::pair(0.0, 0.0));
}

TEST(AugmentSettings, OnlyOneNegativeNumberHasAMeaning) {
  io::Config config;
  config.augment.noise = -0.5;
  EXPECT_THAT(message_of<io::UsageError>([&] { io::validate(config); }), HasSubstr("augment.noise = -0.5"));
}

}  // namespace
}  // namespace evenflow::train
