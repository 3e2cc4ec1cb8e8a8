// Trainings that share a GPU's launches make the bits that each makes alone.
#include "train/loop/packed_stepper.h"

#include <gmock/gmock.h>

#include <cstring>

#include "flow/factory.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/probe.h"
#include "tests/emulation/device_memory.h"
#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"
#include "train/loop/training_data.h"

namespace evenflow::train {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// In what trainings of a pack differ.
struct Numbers {
  uint64_t seed = 1;
  double learning_rate = 1e-3, k = 1, clip_norm = 0, speed = 60, noise = 0.2;
  int64_t burst_at = -1;  ///< the first epoch's step with a learning rate that no model survives
};
const std::vector<Numbers> three_lanes = {{.seed = 1},
                                          {.seed = 2, .learning_rate = 3e-3, .k = 0.5, .clip_norm = 2, .speed = 20},
                                          {.seed = 3, .k = 2, .clip_norm = 0.5, .speed = 90, .noise = 0.05}};

/// What the trainings have in common.
struct Common {
  Common(const std::filesystem::path& shard, const io::Config& given)
      : config(given),
        data(open_training_data(config, {shard})),
        normaliser(fit_normaliser_to(data, config.window.normalise, [](const std::string&) {})) {}
  PackParts parts() { return {config, data.condition, normaliser, *data.train, data.augment}; }
  io::Config config;
  TrainingData data;
  io::NormaliserData normaliser;
};

/// A training as train() has it, its steps apart.
class Training {
 public:
  Training(Common& common, const Numbers& numbers, kernels::Device device)
      : common_(common),
        numbers_(numbers),
        config_(common.config),
        condition_(common.data.condition),
        augment_(common.data.augment),
        model_(make_model(device)),
        engine_(make_engine(*model_, common.normaliser, {.batch = config_.train.batch, .training = true})),
        optimizer_(model_->parameters()),
        guard_(optimizer_) {}

  /// Outside of the lane's scope, as this takes memory of its own.
  void initialise() {
    kernels::Stream stream(model_->device());
    common_.data.train->start_epoch(config_.train.seed, 0, config_.train.batch, 0);
    const WindowBatch batch = common_.data.train->next();
    const kernels::Buffer<float> x = engine_->normalised(batch);
    model_->initialise(stream, kernels::make_map<const float>(x.data(), batch.size(), 1, model_->height(),
                                                              model_->width(), model_->device()));
    stream.synchronise();
    guard_.start();
  }
  StepParts parts() {
    return {.settings = config_.train,
            .model = *model_,
            .engine = *engine_,
            .loader = *common_.data.train,
            .optimizer = optimizer_,
            .guard = guard_,
            .learning_rate =
                [this](int64_t step) {
                  return step == numbers_.burst_at && guard_.learning_rate_factor() == 1.0
                             ? 1e30
                             : config_.train.learning_rate * guard_.learning_rate_factor();
                },
            .augment = augment_};
  }
  /// False at the epoch's end.
  bool take(std::span<const StepOutcome> outcomes) {
    for (const StepOutcome& outcome : outcomes) {
      losses.push_back(outcome.loss);
      norms.push_back(outcome.gradient_norm);
      if (outcome.non_finite) {
        bad_layers.push_back(outcome.non_finite->layer);
        guard_.reject(outcome.non_finite->data_at_fault());
      }
    }
    steps_ += std::ssize(outcomes);
    return steps_ % steps_per_epoch() != 0;
  }
  int64_t steps_per_epoch() const {
    return (common_.data.train->windows() + config_.train.batch - 1) / config_.train.batch;
  }
  void save() {
    optimizer_.save(end);
    good = guard_.good();
  }
  void train_alone(int64_t epochs) {
    const std::unique_ptr<Stepper> stepper = make_stepper(parts());
    for (int64_t epoch = 0; epoch < epochs; ++epoch) {
      stepper->start_epoch(epoch, 0);
      while (take(stepper->run(1000))) {
      }
    }
    stepper->settle();
    save();
  }

  std::vector<double> losses, norms;
  std::vector<std::string> bad_layers;
  OptimizerSnapshot end, good;

 private:
  std::unique_ptr<flow::Model> make_model(kernels::Device device) {
    config_.train.seed = numbers_.seed;
    config_.train.learning_rate = numbers_.learning_rate;
    config_.train.clip_norm = numbers_.clip_norm;
    for (double& k : condition_.k) {
      k *= numbers_.k;
    }
    if (augment_) {
      augment_->draw.seed = numbers_.seed;
      augment_->draw.augmentation.speed = numbers_.speed;
      augment_->draw.augmentation.noise = numbers_.noise;
      if (augment_->moves) {
        augment_->moves = common_.data.speed_moves->table(numbers_.speed);
      }
    }
    return flow::make_model(config_, condition_, numbers_.seed, device);
  }

  Common& common_;
  Numbers numbers_;
  io::Config config_;
  io::ConditionData condition_;
  std::optional<AugmentPlan> augment_;
  std::unique_ptr<flow::Model> model_;
  std::unique_ptr<Engine> engine_;
  Optimizer optimizer_;
  Guard guard_;
  int64_t steps_ = 0;
};

void expect_same(const Training& lane, const Training& alone) {
  EXPECT_EQ(lane.losses.size(), alone.losses.size());
  const auto same_bits = [](const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  };
  EXPECT_TRUE(same_bits(lane.losses, alone.losses)) << "losses";
  EXPECT_TRUE(same_bits(lane.norms, alone.norms)) << "norms";
  EXPECT_EQ(lane.bad_layers, alone.bad_layers);
  EXPECT_TRUE(lane.end == alone.end) << "parameters, m, v";
  EXPECT_TRUE(lane.good == alone.good) << "the good state";
}

class PackedTraining : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  PackedTraining() { testing::write_shard(shard(), {.train_clips = 4, .test_clips = 1}); }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  kernels::Device device() const { return GetParam().device; }
  io::Config config(io::CouplingKind coupling = io::CouplingKind::sigmoid, bool augmented = true,
                    io::SpeedChange change = io::SpeedChange::spectrum) const {
    io::Config config = testing::tiny_config();
    config.model.coupling = coupling;
    config.model.steps = 1;
    config.model.hidden = 16;
    config.train.batch = 5;  // of 16 windows: the last batch of an epoch is a smaller one
    config.train.device = kernels::to_string(device());
    config.train.precision = io::Precision::tf32;
    config.train.validation_fraction = 0;
    if (augmented) {
      config.augment = {.speed = 60, .speed_by = change, .noise = 0.2, .mask_bands = 3, .mask_frames = 2};
    } else {
      config.augment = {.speed = 0, .noise = 0};
    }
    return config;
  }
  std::unique_ptr<Training> alone(Common& common, const Numbers& numbers, int64_t epochs) const {
    auto training = std::make_unique<Training>(common, numbers, device());
    training->initialise();
    training->train_alone(epochs);
    return training;
  }
  std::unique_ptr<Training> put(PackedStepper& pack, Common& common, int64_t lane, const Numbers& numbers) const {
    std::unique_ptr<kernels::MemoryScope> scope = pack.scope(lane);
    auto training = std::make_unique<Training>(common, numbers, device());
    scope.reset();
    training->initialise();
    pack.put(lane, training->parts());
    return training;
  }
  /// One epoch of all present lanes; null: absent.
  static void train_epoch(PackedStepper& pack, const std::vector<std::unique_ptr<Training>>& lanes, int64_t epoch) {
    std::vector<bool> going(lanes.size());
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      if (lanes[lane]) {
        pack.start_epoch(static_cast<int64_t>(lane), epoch, 0);
        going[lane] = true;
      }
    }
    while (std::find(going.begin(), going.end(), true) != going.end()) {
      const auto& outcomes = pack.run(1000);
      for (size_t lane = 0; lane < lanes.size(); ++lane) {
        if (!outcomes[lane].empty()) {
          going[lane] = lanes[lane]->take(outcomes[lane]);
        }
      }
    }
  }
  static void finish(PackedStepper& pack, int64_t lane, Training& training) {
    pack.settle(lane);
    training.save();
  }
  void expect_pack_as_alone(const io::Config& config, const std::vector<Numbers>& numbers) const;

  tests::SelectedBackend selected_{GetParam()};
  testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Gpus, PackedTraining, ::testing::ValuesIn(tests::gpus_under_test()),
                         [](const auto& tested) { return tested.param.name; });

void PackedTraining::expect_pack_as_alone(const io::Config& config, const std::vector<Numbers>& numbers) const {
  constexpr int64_t epochs = 2;
  Common common(shard(), config);
  PackedStepper pack(common.parts(), device(), std::ssize(numbers));
  std::vector<std::unique_ptr<Training>> lanes;
  for (size_t lane = 0; lane < numbers.size(); ++lane) {
    lanes.push_back(put(pack, common, static_cast<int64_t>(lane), numbers[lane]));
  }
  ASSERT_EQ(lanes[0]->steps_per_epoch(), 4);
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    train_epoch(pack, lanes, epoch);
  }
  for (size_t lane = 0; lane < numbers.size(); ++lane) {
    SCOPED_TRACE(lane);
    finish(pack, static_cast<int64_t>(lane), *lanes[lane]);
    expect_same(*lanes[lane], *alone(common, numbers[lane], epochs));
    EXPECT_TRUE(lane == 0 || lanes[lane]->losses != lanes[0]->losses) << "lanes are to differ";
  }
}

TEST_P(PackedTraining, LanesAreTrainedAsEachAlone) {
  expect_pack_as_alone(config(), three_lanes);
}

TEST_P(PackedTraining, SoAreLanesWhoseWindowsAreWarped) {
  expect_pack_as_alone(config(io::CouplingKind::sigmoid, true, io::SpeedChange::warp), three_lanes);
}

TEST_P(PackedTraining, SoAreLanesOfAdditiveCouplingsWhoseWindowsAreNotChanged) {
  expect_pack_as_alone(config(io::CouplingKind::additive, false), three_lanes);
}

TEST_P(PackedTraining, ALaneThatIsNotFiniteGoesBackAloneAndCatchesUp) {
  std::vector<Numbers> numbers = three_lanes;
  numbers[1].burst_at = 0;  // step 1 is not finite, and the lane is behind when the last, smaller batch comes
  expect_pack_as_alone(config(), numbers);
}

TEST_P(PackedTraining, AnEndedLaneIsReplaced) {
  Common common(shard(), config());
  PackedStepper pack(common.parts(), device(), 3);
  std::vector<std::unique_ptr<Training>> lanes(3);
  for (size_t lane = 0; lane < 3; ++lane) {
    lanes[lane] = put(pack, common, static_cast<int64_t>(lane), three_lanes[lane]);
  }
  train_epoch(pack, lanes, 0);
  finish(pack, 0, *lanes[0]);
  finish(pack, 1, *lanes[1]);
  expect_same(*lanes[0], *alone(common, three_lanes[0], 1));
  expect_same(*lanes[1], *alone(common, three_lanes[1], 1));
  for (const int64_t lane : {0, 1}) {
    pack.remove(lane);
    lanes[static_cast<size_t>(lane)].reset();
  }
  // The first lane absent for an epoch; then another training in it, at its own first epoch; the second stays absent.
  train_epoch(pack, lanes, 1);
  const Numbers other = {.seed = 9, .learning_rate = 2e-3, .k = 1.5};
  lanes[0] = put(pack, common, 0, other);
  pack.start_epoch(0, 0, 0);
  pack.start_epoch(2, 2, 0);
  for (bool going = true; going;) {
    const auto& outcomes = pack.run(1);
    EXPECT_THAT(outcomes[1], IsEmpty());
    ASSERT_EQ(outcomes[0].size(), 1U);
    ASSERT_EQ(outcomes[2].size(), 1U);
    going = lanes[0]->take(outcomes[0]);
    lanes[2]->take(outcomes[2]);
  }
  EXPECT_THAT(pack.run(1)[0], IsEmpty()) << "the epoch is over";
  finish(pack, 0, *lanes[0]);
  finish(pack, 2, *lanes[2]);
  expect_same(*lanes[0], *alone(common, other, 1));
  expect_same(*lanes[2], *alone(common, three_lanes[2], 3));
}

struct Launches : kernels::LaunchListener {
  void launched(const kernels::KernelLaunch&) override { ++count; }
  int64_t count = 0;
};

TEST_P(PackedTraining, AStepHasAsManyLaunchesAsOneTrainingsAlone) {
  Common common(shard(), config());
  PackedStepper pack(common.parts(), device(), 3);
  std::vector<std::unique_ptr<Training>> lanes;
  for (int64_t lane = 0; lane < 3; ++lane) {
    lanes.push_back(put(pack, common, lane, three_lanes[static_cast<size_t>(lane)]));
    pack.start_epoch(lane, 0, 0);
  }
  Training one(common, three_lanes[0], device());
  one.initialise();
  const std::unique_ptr<Stepper> stepper = make_stepper(one.parts());
  stepper->start_epoch(0, 0);
  const auto launches_of = [&](const std::function<void()>& step) {
    Launches launches;
    kernels::set_launch_listener(device(), &launches);
    step();
    kernels::set_launch_listener(device(), nullptr);
    return launches.count;
  };
  const int64_t alone = launches_of([&] { stepper->run(1); });
  EXPECT_GT(alone, 0);
  EXPECT_EQ(launches_of([&] { pack.run(1); }), alone);
}

TEST_P(PackedTraining, MemoryIsWhatTheFormulaSays) {
  if (!GetParam().emulated) {
    GTEST_SKIP() << "the emulation counts what is allocated";
  }
  Common common(shard(), config());
  PackMemory memory;
  for (const int64_t count : {1, 5}) {
    const int64_t before = emulation::device_bytes();
    PackedStepper pack(common.parts(), device(), count);
    memory = pack.memory();
    EXPECT_EQ(emulation::device_bytes() - before, memory.bytes(count));
    EXPECT_EQ(memory.bytes(count), count * (memory.lane_bytes + memory.scratch_bytes) + memory.shared_bytes);
    EXPECT_GT(memory.lane_bytes, 0);
    // Lanes and their steps take nothing more; what is lazily made for validation is not made here.
    std::vector<std::unique_ptr<Training>> lanes(static_cast<size_t>(count));
    lanes[0] = put(pack, common, 0, three_lanes[0]);
    const int64_t with_lane = emulation::device_bytes();
    train_epoch(pack, lanes, 0);
    EXPECT_EQ(emulation::device_bytes(), with_lane);
    const std::vector<float> frames(64);
    pack.hold(frames);
    EXPECT_EQ(pack.memory().shared_bytes, memory.shared_bytes + 256);
    pack.remove(0);
  }
}

TEST_P(PackedTraining, WhatCannotBePackedSaysWhy) {
  const auto reason = [&](const io::Config& config, kernels::Device on) {
    Common common(shard(), config);
    return why_not_packed(common.parts(), on);
  };
  EXPECT_EQ(reason(config(), device()), "");
  EXPECT_THAT(reason(config(), {}), HasSubstr("on a GPU only"));
  io::Config other = config();
  other.train.precision = io::Precision::float32;
  EXPECT_THAT(reason(other, device()), HasSubstr("set train.precision to tf32 or bf16"));
  Common exact(shard(), other);
  EXPECT_THAT(testing::message_of<kernels::ShapeError>([&] { PackedStepper(exact.parts(), device(), 2); }),
              HasSubstr("couplings are computed layer by layer"));
  other = config();
  other.train.kernels = io::CouplingKernels::layered;
  EXPECT_THAT(reason(other, device()), HasSubstr("train.kernels to auto"));
  other = config();
  other.train.resident_mib = 0;
  EXPECT_THAT(reason(other, device()), HasSubstr("raise train.resident_mib"));
  other = config(io::CouplingKind::sigmoid, false);
  other.model.kind = io::ModelKind::vae;
  EXPECT_THAT(reason(other, device()), HasSubstr("set model.kind to glow"));
}

TEST_P(PackedTraining, ALaneMadeUnlikeTheOthersIsRefused) {
  Common common(shard(), config());
  PackedStepper pack(common.parts(), device(), 2);
  io::Config wider = config();
  wider.model.hidden = 32;
  Common other(shard(), wider);
  const std::unique_ptr<kernels::MemoryScope> scope = pack.scope(1);
  EXPECT_THAT(testing::message_of<kernels::ShapeError>([&] { Training(other, three_lanes[0], device()); }),
              HasSubstr("lanes must be made alike"));
}

}  // namespace
}  // namespace evenflow::train
