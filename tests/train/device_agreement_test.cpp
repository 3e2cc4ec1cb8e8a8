// What a GPU trains and scores is what the CPU does, up to the roundings stated here.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "io/hdf5_file.h"
#include "io/run_folder.h"
#include "tests/support/backends.h"
#include "tests/train/train_fixture.h"
#include "train/detect/score.h"

namespace evenflow::train {
namespace {

/// |a - b| / |b| over all elements, the largest of either in place of |b|.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double off = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(off <= difference)) {
      difference = off;  // NaN stays
    }
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return difference / largest;
}

class DeviceAgreement : public ::testing::TestWithParam<tests::BackendUnderTest> {
 protected:
  DeviceAgreement() { testing::write_shard(shard(), {.train_clips = 8, .test_clips = 4}); }
  std::filesystem::path shard() const { return folder_ / "shard.h5"; }
  std::filesystem::path run(const std::string& name) const { return folder_ / name; }
  static constexpr auto couplings_ = {io::CouplingKind::sigmoid, io::CouplingKind::additive};
  std::string device() const { return kernels::to_string(GetParam().device); }
  io::Config config(const std::string& device, io::Precision precision, io::CouplingKernels kernels,
                    io::CouplingKind coupling = io::CouplingKind::sigmoid) const {
    io::Config config = testing::tiny_config();
    config.model.coupling = coupling;
    config.model.hidden = 16;
    config.train.epochs = 2;
    config.train.learning_rate = 1e-3;
    config.train.device = device;
    config.train.precision = precision;
    config.train.kernels = kernels;
    return config;
  }
  TrainResult train_on(const io::Config& config, const std::string& name) const {
    return train(testing::tiny_options(shard(), run(name), config));
  }
  void compare_detectors(io::CouplingKind coupling) const;
  std::vector<float> parameters(const std::string& name) const {
    std::vector<float> all;
    for (const io::Tensor& tensor : io::read_model(run(name) / "last.h5").parameters) {
      all.insert(all.end(), tensor.values.begin(), tensor.values.end());
    }
    return all;
  }

  tests::SelectedBackend selected_{GetParam()};
  testing::TempFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Gpus, DeviceAgreement, ::testing::ValuesIn(tests::gpus_under_test()),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(DeviceAgreement, TrainingFollowsTheCpu) {
  struct Way {
    io::Precision precision;
    io::CouplingKernels kernels;
    double loss_bound, parameter_bound;
  };
  // A step of Adam is the learning rate times a ratio of gradients: where a gradient is near zero, its rounding decides
  // the sign. So a few parameters part by up to two steps, 2e-3 of the largest, in any arithmetic but the same.
  using enum io::CouplingKernels;
  for (const io::CouplingKind coupling : couplings_) {
    const std::string kind(io::name_of(coupling));
    const TrainResult cpu = train_on(config("cpu", io::Precision::float32, automatic, coupling), kind + "_cpu");
    const std::vector<float> expected = parameters(kind + "_cpu");
    for (const Way& way :
         {Way{io::Precision::float32, layered, 1e-5, 0.02}, Way{io::Precision::tf32, layered, 1e-3, 0.02},
          Way{io::Precision::tf32, fused, 1e-3, 0.02}, Way{io::Precision::bf16, fused, 1e-2, 0.05}}) {
      const std::string name =
          kind + "_" + std::string(io::name_of(way.precision)) + "_" + std::string(io::name_of(way.kernels));
      SCOPED_TRACE(name);
      const TrainResult gpu = train_on(config(device(), way.precision, way.kernels, coupling), name);
      EXPECT_EQ(gpu.steps, cpu.steps);
      EXPECT_TRUE(std::abs(gpu.loss - cpu.loss) <= way.loss_bound * std::abs(cpu.loss)) << gpu.loss << " " << cpu.loss;
      EXPECT_TRUE(std::abs(gpu.validation_loss - cpu.validation_loss) <= way.loss_bound * std::abs(cpu.validation_loss))
          << gpu.validation_loss << " " << cpu.validation_loss;
      const double difference = relative_difference(parameters(name), expected);
      EXPECT_TRUE(difference <= way.parameter_bound) << difference;
    }
  }
}

TEST_P(DeviceAgreement, TwoRunsGiveTheSameBits) {
  using enum io::CouplingKernels;
  for (const auto& [kernels, coupling] : {std::pair(layered, io::CouplingKind::sigmoid),
                                          {fused, io::CouplingKind::sigmoid},
                                          {fused, io::CouplingKind::additive}}) {
    const io::Config settings = config(device(), io::Precision::tf32, kernels, coupling);
    const std::string name = std::string(io::name_of(coupling)) + "_" + std::string(io::name_of(kernels));
    train_on(settings, "first_" + name);
    train_on(settings, "second_" + name);
    testing::expect_same_run(run("first_" + name), run("second_" + name));
  }
}

void DeviceAgreement::compare_detectors(io::CouplingKind coupling) const {
  const std::string name(io::name_of(coupling));
  train_on(config("cpu", io::Precision::float32, io::CouplingKernels::automatic, coupling), name);
  const io::Shard data(shard());
  Detector cpu(run(name) / "model.h5", "cpu", 1);
  Detector gpu(run(name) / "model.h5", device(), 1);
  constexpr double bound = 1e-5;
  const auto expect_close = [](double actual, double expected, const char* what) {
    EXPECT_TRUE(std::abs(actual - expected) <= bound * std::abs(expected))
        << what << " " << actual << ", the CPU's " << expected;
  };
  const size_t of_model = cpu.network().scores().size();
  const auto magnitude_less = [](double a, double b) { return std::abs(a) < std::abs(b); };
  const std::vector<ClipScore> expected = cpu.score(data), actual = gpu.score(data);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(actual[i].windows, expected[i].windows);
    ASSERT_EQ(actual[i].scores.size(), expected[i].scores.size());
    for (size_t s = 0; s < of_model; ++s) {
      expect_close(actual[i].scores[s], expected[i].scores[s], cpu.scores()[s].name.c_str());
    }
    // Scores derived from the model's own are differences of these, and err as much.
    const std::span<const double> own = std::span(expected[i].scores).first(of_model);
    const double largest = std::abs(*std::max_element(own.begin(), own.end(), magnitude_less));
    for (size_t s = of_model; s < expected[i].scores.size(); ++s) {
      EXPECT_TRUE(std::abs(actual[i].scores[s] - expected[i].scores[s]) <= bound * largest) << cpu.scores()[s].name;
    }
    expect_close(actual[i].estimate[0], expected[i].estimate[0], "estimate");
  }

  cpu.encode(data, folder_ / (name + "_cpu.h5"));
  gpu.encode(data, folder_ / (name + "_gpu.h5"));
  for (const char* latents : {"/zc", "/zd"}) {
    const auto read = [&](const char* device) {
      io::Shape shape;
      return io::Hdf5File::open(folder_ / (name + device), "evenflow latents").read<float>(latents, shape);
    };
    EXPECT_TRUE(relative_difference(read("_gpu.h5"), read("_cpu.h5")) <= 1e-4) << latents;
  }

  EXPECT_TRUE(relative_difference(gpu.sample(2, std::vector<double>{300.0}, 0.7, 5),
                                  cpu.sample(2, std::vector<double>{300.0}, 0.7, 5)) <= 1e-4);
  std::vector<float> window(static_cast<size_t>(cpu.network().dimensions()));
  data.read_frames(0, cpu.network().width(), window.data());
  const std::vector<double> to = {450.0};
  EXPECT_TRUE(relative_difference(gpu.transfer(window, to), cpu.transfer(window, to)) <= 1e-4);
}

TEST_P(DeviceAgreement, ScoresLatentsAndSamples) {
  for (const io::CouplingKind coupling : couplings_) {
    SCOPED_TRACE(io::name_of(coupling));
    compare_detectors(coupling);
  }
}

}  // namespace
}  // namespace evenflow::train
