#include "io/model_file.h"

#include <hdf5.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "io/hdf5_file.h"
#include "io/shard.h"
#include "tests/io/hdf5_damage.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using testing::get;
using ::testing::HasSubstr;
using testing::names_in;
using testing::put;
using testing::TempFolder;

/// What a file must at least hold.
ModelData least_model() {
  ModelData m;
  m.threshold.value = std::numeric_limits<double>::quiet_NaN();  // not fitted
  m.config.frontend.mel_bands = 2;
  m.config.model.blocks = 1;
  m.normaliser = {{-60.5f, -70.25f}, {3.0f, 1e-3f}};
  return m;
}

/// Names out of alphabetical order, every type, an empty tensor and a scalar.
ModelData full_model() {
  ModelData m = least_model();
  m.config.train.seed = 77;
  m.config.condition.parameters = {"velocity_mm_s", "weight/kg"};
  m.parameters = {
      {"block2.step1.actnorm.bias", {3}, Tensor::Type::float32, {1.5f, -0.0f, 9e14f}, {}},
      {"block1.step1.invconv.permutation", {4}, Tensor::Type::int32, {}, {3, 0, 2147483647, -2147483647 - 1}},
      {"block1.step1.invconv.sign", {2, 2}, Tensor::Type::int8, {}, {-1, 1, -128, 127}},
      {"block1.step1.coupling.conv1.weight", {1, 2, 1, 3}, Tensor::Type::float32, {1, 2, 3, 4, 5, 6}, {}},
      {"empty", {0, 4}, Tensor::Type::float32, {}, {}},
      {"scalar", {}, Tensor::Type::float32, {1e-42f}, {}}};
  m.condition = {{"velocity_mm_s", "weight/kg"}, {0.003, -0.5}, {400.0, 0.1}, {401.0, 0.2}, {200.0, 0.0},
                 {{100, 300, 500, 700}, {}}};
  m.threshold = {"nll", "gamma", 0.95, 12.5, {2.5, -1.0, 1e-300}, 84, 3};
  m.provenance = {"0123abcd", "cbf29ce484222325",  "cuda:0 (a \"device\")", "2026-01-02T03:04:05Z",
                  "",         0xffffffffffffffffu, {"", "slide rail"}};
  return m;
}

/// A number and a name.
ModelData model_of_names() {
  ModelData m = least_model();
  m.condition = {{"velocity_mm_s", "tool"},
                 {0.003, 6.0},
                 {400.0, 0.0},
                 {401.0, 0.75},
                 {200.0, 0.4},
                 {{100, 700}, {0, 1, 2}},
                 {{}, {"A", "B", "\xc3\xa4"}},
                 {{}, {0.25, 0.5, 0.25}}};
  return m;
}

ModelData checkpoint() {
  ModelData m = full_model();
  m.optimizer = OptimizerData{std::vector<float>(10, -2.0f), std::vector<float>(10, 1e-42f), 123456789012};
  m.progress = ProgressData{7, 3, 0xfffffffffffffff0u, 0.5, -1.25, 6, 0.1, 2};
  m.resume = ResumeData{std::vector<float>(10, 0.5f),
                        std::vector<float>(10, 1.0f),
                        std::vector<float>(10),
                        123456789011,
                        77,
                        2,
                        1,
                        -1.5,
                        3.0,
                        2.5};
  return m;
}

CalibrationData small_calibration() {
  return {2,
          {100.0, 0.1, 200.5, 0.2, 130.0, 0.1},
          {{"nll", {80.0, 0.5}, {-7000.25, 3.0, 1e-300}, {0.0, 1e50}, {0.25, -3.5}, {0.5, 0.0}}},
          {100.0, 0.1, 200.5, 0.2},
          {25.0, 0.125}};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

void expect_equal(const ModelData& a, const ModelData& b) {
  EXPECT_EQ(a.config, b.config);
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  for (size_t i = 0; i < a.parameters.size(); ++i) {
    EXPECT_EQ(a.parameters[i].name, b.parameters[i].name);
    EXPECT_EQ(a.parameters[i].shape, b.parameters[i].shape);
    EXPECT_EQ(a.parameters[i].type, b.parameters[i].type);
    EXPECT_TRUE(same_bits(a.parameters[i].values, b.parameters[i].values)) << a.parameters[i].name;
    EXPECT_EQ(a.parameters[i].integers, b.parameters[i].integers);
  }
  EXPECT_EQ(a.normaliser.mean, b.normaliser.mean);
  EXPECT_EQ(a.normaliser.std, b.normaliser.std);
  EXPECT_EQ(a.condition.names, b.condition.names);
  EXPECT_EQ(a.condition.k, b.condition.k);
  EXPECT_EQ(a.condition.v0, b.condition.v0);
  EXPECT_EQ(a.condition.mean, b.condition.mean);
  EXPECT_EQ(a.condition.std, b.condition.std);
  EXPECT_EQ(a.condition.training_values, b.condition.training_values);
  EXPECT_EQ(a.condition.categories, b.condition.categories);
  EXPECT_EQ(a.condition.frequency, b.condition.frequency);
  EXPECT_EQ(a.threshold.score, b.threshold.score);
  EXPECT_EQ(a.threshold.method, b.threshold.method);
  EXPECT_EQ(a.threshold.quantile, b.threshold.quantile);
  EXPECT_EQ(std::bit_cast<uint64_t>(a.threshold.value), std::bit_cast<uint64_t>(b.threshold.value));
  EXPECT_EQ(a.threshold.gamma, b.threshold.gamma);
  EXPECT_EQ(a.threshold.clips, b.threshold.clips);
  EXPECT_EQ(a.threshold.above, b.threshold.above);
  EXPECT_EQ(a.provenance.commit, b.provenance.commit);
  EXPECT_EQ(a.provenance.data_hash, b.provenance.data_hash);
  EXPECT_EQ(a.provenance.device, b.provenance.device);
  EXPECT_EQ(a.provenance.date, b.provenance.date);
  EXPECT_EQ(a.provenance.version, b.provenance.version);
  EXPECT_EQ(a.provenance.seed, b.provenance.seed);
  EXPECT_EQ(a.provenance.machines, b.provenance.machines);
  ASSERT_EQ(a.optimizer.has_value(), b.optimizer.has_value());
  if (a.optimizer) {
    EXPECT_TRUE(same_bits(a.optimizer->m, b.optimizer->m));
    EXPECT_TRUE(same_bits(a.optimizer->v, b.optimizer->v));
    EXPECT_EQ(a.optimizer->step, b.optimizer->step);
  }
  ASSERT_EQ(a.progress.has_value(), b.progress.has_value());
  if (a.progress) {
    EXPECT_EQ(a.progress->epoch, b.progress->epoch);
    EXPECT_EQ(a.progress->step_in_epoch, b.progress->step_in_epoch);
    EXPECT_EQ(a.progress->seed, b.progress->seed);
    EXPECT_EQ(a.progress->learning_rate_factor, b.progress->learning_rate_factor);
    EXPECT_EQ(a.progress->best_loss, b.progress->best_loss);
    EXPECT_EQ(a.progress->best_epoch, b.progress->best_epoch);
    EXPECT_EQ(a.progress->epoch_loss_sum, b.progress->epoch_loss_sum);
    EXPECT_EQ(a.progress->guard_count, b.progress->guard_count);
  }
  ASSERT_EQ(a.resume.has_value(), b.resume.has_value());
  if (a.resume) {
    EXPECT_TRUE(same_bits(a.resume->parameters, b.resume->parameters));
    EXPECT_TRUE(same_bits(a.resume->m, b.resume->m));
    EXPECT_TRUE(same_bits(a.resume->v, b.resume->v));
    EXPECT_EQ(a.resume->step, b.resume->step);
    EXPECT_EQ(a.resume->windows, b.resume->windows);
    EXPECT_EQ(a.resume->steps, b.resume->steps);
    EXPECT_EQ(a.resume->guard_events, b.resume->guard_events);
    EXPECT_EQ(a.resume->loss_sum, b.resume->loss_sum);
    EXPECT_EQ(a.resume->gradient_norm_sum, b.resume->gradient_norm_sum);
    EXPECT_EQ(a.resume->gradient_norm_max, b.resume->gradient_norm_max);
  }
}

TEST(ModelFile, RoundTripsToTheBit) {
  const TempFolder folder;
  for (const ModelData& model : {least_model(), full_model(), model_of_names(), checkpoint()}) {
    write_model(folder / "m.h5", model);  // over the one before
    expect_equal(read_model(folder / "m.h5"), model);
    EXPECT_TRUE(is_model(folder / "m.h5"));
    EXPECT_THAT(names_in(folder.path()), ElementsAre("m.h5"));
  }
}

TEST(ModelFile, CategoriesThatNoTrainingHasAreRefused) {
  const TempFolder folder;
  const auto refusal = [&](const auto& spoil) {
    ModelData model = model_of_names();
    spoil(model.condition);
    write_model(folder / "m.h5", model);
    return error_of<DataError>([&] { read_model(folder / "m.h5"); });
  };
  EXPECT_THAT(refusal([](ConditionData& c) { c.categories[1] = {"B", "A", "C"}; }), HasSubstr("ascending order"));
  EXPECT_THAT(refusal([](ConditionData& c) { c.frequency[1] = {0.25, 0.5, 0.5}; }), HasSubstr("add up to 1"));
  EXPECT_THAT(refusal([](ConditionData& c) { c.frequency[1] = {1.0, 0.5, -0.5}; }), HasSubstr("outside 0 to 1"));
  EXPECT_THAT(refusal([](ConditionData& c) { c.training_values[1] = {0, 1}; }), HasSubstr("places of the categories"));
  EXPECT_THAT(refusal([](ConditionData& c) { c.v0[1] = 1.0; }), HasSubstr("/condition/v0"));
}

TEST(ModelFile, SameContentGivesTheSameBytes) {
  const TempFolder folder;
  write_model(folder / "a.h5", checkpoint());
  write_model(folder / "b.h5", checkpoint());
  EXPECT_TRUE(get(folder / "a.h5") == get(folder / "b.h5"));
}

TEST(ModelFile, RefusesWhatCannotBeStoredAndKeepsTheOld) {
  const TempFolder folder;
  write_model(folder / "m.h5", full_model());
  const auto error = [&](const auto& spoil) {
    ModelData model = checkpoint();
    spoil(model);
    std::string text = error_of<DataError>([&] { write_model(folder / "m.h5", model); });
    EXPECT_THAT(text, HasSubstr((folder / "m.h5").string()));
    return text;
  };
  EXPECT_THAT(error([](ModelData& m) { m.parameters[0].shape = {4}; }),
              HasSubstr("/parameters/block2.step1.actnorm.bias has 3 values for a shape of 4"));
  EXPECT_THAT(error([](ModelData& m) { m.parameters[2].integers[0] = 128; }), HasSubstr("128, beyond an int8"));
  for (const char* name : {"", ".", "a/b"}) {
    EXPECT_THAT(error([&](ModelData& m) { m.parameters[0].name = name; }),
                HasSubstr("cannot be called '" + std::string(name) + "'"));
  }
  EXPECT_THAT(error([](ModelData& m) { m.parameters[1].name = m.parameters[0].name; }),
              HasSubstr("/parameters/block2.step1.actnorm.bias"));
  EXPECT_THAT(error([](ModelData& m) { m.condition.k.pop_back(); }), HasSubstr("/condition"));
  EXPECT_THAT(error([](ModelData& m) { m.normaliser.std.pop_back(); }), HasSubstr("/normaliser"));
  EXPECT_THAT(error([](ModelData& m) { m.optimizer->v.pop_back(); }), HasSubstr("/optimizer"));
  EXPECT_THAT(error([](ModelData& m) { m.config.train.epochs = -1; }), HasSubstr("train.epochs = -1"));
  EXPECT_THAT(error([](ModelData& m) { m.config.train.seed = 0xffffffffffffffffu; }), HasSubstr("configuration"));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("m.h5"));
  expect_equal(read_model(folder / "m.h5"), full_model());
}

TEST(ModelFile, AFolderThatCannotBeWrittenIsNamed) {
  const TempFolder folder;
  put(folder / "file", "x");
  EXPECT_THAT(error_of<DataError>([&] { write_model(folder / "file/m.h5", {}); }),
              HasSubstr((folder / "file/m.h5").string()));
}

TEST(ModelFile, WrongFilesAreNamed) {
  const TempFolder folder;
  ShardWriter(folder / "shard.h5", {}, {}).finish();
  put(folder / "text.h5", "not HDF5 at all");
  const auto error = [&](const std::string& name) {
    EXPECT_FALSE(is_model(folder / name));
    std::string text = error_of<DataError>([&] { read_model(folder / name); });
    EXPECT_THAT(text, HasSubstr((folder / name).string()));
    return text;
  };
  EXPECT_THAT(error("none.h5"), HasSubstr("does not exist"));
  EXPECT_THAT(error("text.h5"), HasSubstr("not an HDF5 file"));
  EXPECT_THAT(error("shard.h5"), HasSubstr("is an evenflow shard, expected an evenflow model"));
}

TEST(ModelFile, WhatScoresWereInTrainingComesBackOrIsRefused) {
  const TempFolder folder;
  ModelData model = checkpoint();
  write_model(folder / "m.h5", model);
  EXPECT_TRUE(read_model(folder / "m.h5").normal.references.empty());
  model.normal.references = {{"nll", -7000.25, 12.5}, {"score_zc", 1e-300, 0.0}};
  write_model(folder / "m.h5", model);
  EXPECT_EQ(read_model(folder / "m.h5").normal.references, model.normal.references);
  for (const ScoreReference& bad :
       {ScoreReference{"speed", 1.0, 1.0}, ScoreReference{"nll", 1.0, 1.0},
        ScoreReference{"score_x", std::numeric_limits<double>::infinity(), 1.0}, ScoreReference{"score_x", 1.0, -1.0},
        ScoreReference{"score_x", 1.0, std::numeric_limits<double>::quiet_NaN()}}) {
    ModelData other = model;
    other.normal.references.push_back(bad);
    write_model(folder / "m.h5", other);
    EXPECT_THAT(error_of<DataError>([&] { read_model(folder / "m.h5"); }), HasSubstr("/references"));
  }
}

TEST(ModelFile, ACalibrationAndPointsComeBack) {
  const TempFolder folder;
  ModelData model = checkpoint();
  model.normal.points = PointData{3, {1, 2, 3, -4.5F, 0, 1e-3F}};
  model.normal.calibration = small_calibration();
  model.normal.calibration->scores.push_back(
      {"score_zc", {1e-3, 7.0}, {1, 2, 3}, {4, 5}, {-1e-9, 2.0}, {0.999, 0.125}});
  write_model(folder / "m.h5", model);
  EXPECT_EQ(read_model(folder / "m.h5").normal.calibration, model.normal.calibration);
  EXPECT_EQ(Hdf5File::open(folder / "m.h5", "evenflow model").version(), point_effects_version)
      << "a program that does not know of effects would score otherwise";
  // Without effects, as older programs wrote it.
  model.normal.calibration->point.clear();
  model.normal.calibration->reach.clear();
  for (CalibrationData::Score& score : model.normal.calibration->scores) {
    score.effect.clear();
    score.explained.clear();
  }
  write_model(folder / "m.h5", model);
  EXPECT_EQ(read_model(folder / "m.h5").normal.calibration, model.normal.calibration);
  EXPECT_EQ(Hdf5File::open(folder / "m.h5", "evenflow model").version(), format_version);
  EXPECT_EQ(read_model(folder / "m.h5").normal.points, model.normal.points);
}

ConformalData small_conformal() {
  return {{{"nll", {-1.5, 2, 2}}, {"score_zc", {0, 1, 1e9}}},
          3,
          313,
          "three clips",
          "2026-11-26",
          "abc",
          {{0, 12.5}, {0.1, 0.1}}};
}

TEST(ModelFile, ScoresOfNormalClipsComeBack) {
  const TempFolder folder;
  ModelData model = checkpoint();
  model.conformal = small_conformal();
  write_model(folder / "m.h5", model);
  EXPECT_EQ(read_model(folder / "m.h5").conformal, model.conformal);
}

TEST(ModelFile, WhatWasTrainedOnComesBackAndIsInOrder) {
  const TempFolder folder;
  ModelData model = checkpoint();
  write_model(folder / "m.h5", model);
  EXPECT_TRUE(read_model(folder / "m.h5").normal.trained_on.empty());
  model.normal.trained_on = {1, 2, ~uint64_t{0}};
  write_model(folder / "m.h5", model);
  EXPECT_EQ(read_model(folder / "m.h5").normal.trained_on, model.normal.trained_on);
  model.normal.trained_on = {2, 1};
  EXPECT_THAT(error_of<DataError>([&] {
                write_model(folder / "m.h5", model);
                read_model(folder / "m.h5");
              }),
              HasSubstr("/provenance/trained_on is not in ascending order"));
}

TEST(ModelFile, ScoresOfNormalClipsThatCannotBeAreRefused) {
  const TempFolder folder;
  const auto error = [&](const auto& spoil) {
    ModelData model = checkpoint();
    model.conformal = small_conformal();
    spoil(*model.conformal);
    return error_of<DataError>([&] {
      write_model(folder / "m.h5", model);
      read_model(folder / "m.h5");
    });
  };
  EXPECT_THAT(error([](ConformalData& c) { c.scores[1].values.pop_back(); }), HasSubstr("/conformal does not have"));
  EXPECT_THAT(error([](ConformalData& c) { c.scores.clear(); }), HasSubstr("/conformal does not have"));
  EXPECT_THAT(error([](ConformalData& c) { c.scores[1].score = "nll"; }), HasSubstr("/conformal names a score twice"));
  EXPECT_THAT(error([](ConformalData& c) { c.scores[1].score = "speed"; }), HasSubstr("names what is no score"));
  EXPECT_THAT(error([](ConformalData& c) { c.scores[0].values[0] = 7; }), HasSubstr("not in ascending order"));
  EXPECT_THAT(error([](ConformalData& c) { c.scores[0].values[2] = std::numeric_limits<double>::infinity(); }),
              HasSubstr("/conformal/value has a value that"));
  EXPECT_THAT(error([](ConformalData& c) { c.clip_frames = 0; }), HasSubstr("/conformal has clips without a frame"));
  EXPECT_THAT(error([](ConformalData& c) { c.estimate_distance = {{1, 2}, {3}}; }), HasSubstr("for the same clips"));
  EXPECT_THAT(error([](ConformalData& c) { c.estimate_distance = {{1}}; }), HasSubstr("a row for each parameter"));
  EXPECT_THAT(error([](ConformalData& c) {
                c.estimate_distance = {{1, 2}, {2, 1}};
              }),
              HasSubstr("not in ascending order"));
  EXPECT_THAT(error([](ConformalData& c) {
                c.estimate_distance = {{-1, 1}, {0, 1}};
              }),
              HasSubstr("ascending order from 0"));
  EXPECT_THAT(error([](ConformalData& c) {
                c.estimate_distance = {{1}, {std::numeric_limits<double>::quiet_NaN()}};
              }),
              HasSubstr("/conformal/estimate_distance has a value that"));
}

TEST(ModelFile, PointsThatCannotBeAreRefused) {
  const TempFolder folder;
  const auto error = [&](PointData points) {
    ModelData model = checkpoint();
    model.normal.points = std::move(points);
    return error_of<DataError>([&] {
      write_model(folder / "m.h5", model);
      read_model(folder / "m.h5");
    });
  };
  EXPECT_THAT(error({3, {1, 2, 3}}), HasSubstr("/points does not hold two descriptors"));
  EXPECT_THAT(error({3, {1, 2, 3, 4}}), HasSubstr("/points does not hold two descriptors"));
  EXPECT_THAT(error({0, {}}), HasSubstr("/points does not hold two descriptors"));
  EXPECT_THAT(error({1, {1, std::numeric_limits<float>::infinity()}}),
              HasSubstr("/points/descriptor has a value that"));
}

TEST(ModelFile, ACalibrationThatCannotBeIsRefused) {
  const TempFolder folder;
  const auto error = [&](const auto& spoil) {
    ModelData model = checkpoint();
    model.normal.calibration = small_calibration();
    spoil(model);
    return error_of<DataError>([&] {
      write_model(folder / "m.h5", model);
      read_model(folder / "m.h5");
    });
  };
  const auto of_score = [&](const auto& spoil) {
    return error([&](ModelData& m) { spoil(m.normal.calibration->scores[0]); });
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  using Score = CalibrationData::Score;
  EXPECT_THAT(of_score([](Score& s) { s.score = "speed"; }), HasSubstr("/calibration names what is no score"));
  EXPECT_THAT(of_score([](Score& s) { s.bandwidth[1] = 0.0; }), HasSubstr("/calibration/bandwidth has a value that"));
  EXPECT_THAT(of_score([](Score& s) { s.bandwidth[1] = 1e-300; }),
              HasSubstr("/calibration/bandwidth has a value that"));
  EXPECT_THAT(of_score([](Score& s) { s.value[2] = nan; }),
              HasSubstr("/calibration/value has a value that is not fin"));
  EXPECT_THAT(of_score([](Score& s) { s.value[2] = 1e31; }), HasSubstr("/calibration/value has a value that no"));
  EXPECT_THAT(of_score([](Score& s) { s.squared_residual[0] = -1; }),
              HasSubstr("squared_residual has a value below 0"));
  EXPECT_THAT(of_score([](Score& s) { s.squared_residual.assign(2, 0.0); }), HasSubstr("is 0 throughout"));
  EXPECT_THAT(of_score([](Score& s) { s.value.pop_back(); }), HasSubstr("a value for each point"));
  EXPECT_THAT(of_score([](Score& s) { s.effect.pop_back(); }), HasSubstr("an effect for each operating point"));
  EXPECT_THAT(of_score([](Score& s) { s.effect[0] = nan; }), HasSubstr("/calibration/effect has a value that is not"));
  EXPECT_THAT(of_score([](Score& s) { s.explained[0] = 1.0; }), HasSubstr("/calibration/explained has a value"));
  EXPECT_THAT(of_score([](Score& s) { s.explained[1] = -0.1; }), HasSubstr("/calibration/explained has a value"));
  EXPECT_THAT(error([](ModelData& m) { m.normal.calibration->reach[1] = 0.0; }),
              HasSubstr("/calibration/reach has a value that"));
  EXPECT_THAT(error([](ModelData& m) { m.normal.calibration->point[0] = nan; }), HasSubstr("/calibration/point"));
  EXPECT_THAT(error([](ModelData& m) {
                m.normal.calibration->clips = 4;
                m.normal.calibration->scores[0].squared_residual.resize(4);
              }),
              HasSubstr("other points than clips"));
  EXPECT_THAT(error([](ModelData& m) {
                m.normal.calibration->clips = 0;
                m.normal.calibration->scores[0].squared_residual.clear();
              }),
              HasSubstr("other points than clips"));
  EXPECT_THAT(error([](ModelData& m) { m.normal.calibration->estimate[0] = nan; }), HasSubstr("/calibration/estimate"));
  EXPECT_THAT(error([](ModelData& m) { m.normal.calibration->scores.clear(); }), HasSubstr("/calibration"));
  EXPECT_THAT(error([](ModelData& m) { m.normal.calibration->scores.push_back(m.normal.calibration->scores[0]); }),
              HasSubstr("/calibration names a score twice"));
  EXPECT_THAT(error([](ModelData& m) { m.condition = {}; }), HasSubstr("/calibration does not have a bandwidth"));
}

TEST(ModelFile, AThresholdThatCannotBeIsRefused) {
  const TempFolder folder;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (const ThresholdData& threshold :
       {ThresholdData{"nll", "gamma", 0.9, nan, {2.0, 1.0, 3.0}}, ThresholdData{"nll", "rank", 0.9, nan, {}, 9, 0},
        ThresholdData{"nll", "rank", 0.9, 1e308, {}, 9, 0}, ThresholdData{"nll", "", 0.9, 5.0, {}, 9, 0},
        ThresholdData{"nll", "gamma", 0.9, 5.0, {-1.0, 1.0, 3.0}},
        ThresholdData{"nll", "gamma", 0.9, 5.0, {2, 1, 0}}}) {
    ModelData model = checkpoint();
    model.threshold = threshold;
    write_model(folder / "m.h5", model);
    EXPECT_THAT(error_of<DataError>([&] { read_model(folder / "m.h5"); }), HasSubstr("/threshold"));
  }
  ModelData model = checkpoint();
  model.threshold = {"nll", "gamma", 0.9, nan, {}};
  write_model(folder / "m.h5", model);
  EXPECT_NO_THROW(read_model(folder / "m.h5"));
}

TEST(ModelFile, CutAtAnyLengthIsTold) {
  const TempFolder folder;
  ModelData model = checkpoint();
  model.normal.calibration = small_calibration();
  write_model(folder / "m.h5", model);
  testing::expect_cut_is_told(folder / "m.h5", folder / "cut.h5", [&] { read_model(folder / "cut.h5"); });
}

TEST(ModelFile, DamageIsSurvived) {
  const TempFolder folder;
  ModelData model = checkpoint();
  model.normal.calibration = small_calibration();
  write_model(folder / "m.h5", model);
  testing::expect_damage_is_survived(folder / "m.h5", folder / "bad.h5", 500, [&] { read_model(folder / "bad.h5"); });
}

TEST(ModelFile, MissingPartsAreNamed) {
  const TempFolder folder;
  for (const char* where : {"/config", "/parameters", "/normaliser/mean", "/normaliser", "/condition/k", "/condition",
                            "/threshold/gamma", "/threshold", "/provenance", "/optimizer/step"}) {
    write_model(folder / "m.h5", checkpoint());
    const hid_t file = H5Fopen((folder / "m.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    ASSERT_GE(H5Ldelete(file, where, H5P_DEFAULT), 0) << where;
    ASSERT_GE(H5Fclose(file), 0);
    EXPECT_THAT(error_of<DataError>([&] { read_model(folder / "m.h5"); }),
                AllOf(HasSubstr((folder / "m.h5").string()), HasSubstr(where), HasSubstr("make it again")));
  }
}

TEST(ModelFile, AKeyThisProgramDoesNotKnowIsNamed) {
  const TempFolder folder;
  write_model(folder / "m.h5", {});
  std::string bytes = get(folder / "m.h5");
  const size_t at = bytes.find("\nbatch = ");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 7, "\nbotch ");
  put(folder / "m.h5", bytes);
  const hid_t file = H5Fopen((folder / "m.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  testing::reseal(file, "/config");
  ASSERT_GE(H5Fclose(file), 0);
  EXPECT_THAT(error_of<DataError>([&] { read_model(folder / "m.h5"); }),
              AllOf(HasSubstr((folder / "m.h5").string()), HasSubstr("/config:"), HasSubstr("train.botch"),
                    HasSubstr("train again")));
}

}  // namespace
}  // namespace evenflow::io
