// ONNX graphs: what ONNX Runtime makes of them, beside the program's own figures; and the command that writes them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>

#include "experiments/export/export.h"
#include "experiments/export/parity.h"
#include "experiments/process.h"
#include "flow/factory.h"
#include "io/error.h"
#include "io/model_file.h"
#include "kernels/random.h"
#include "tests/experiments/program.h"
#include "tests/experiments/small_world.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// The Python with ONNX Runtime that ./dev test makes, for this process and its children, if none is named.
const bool python_named = [] {
  return fs::exists(EVENFLOW_ONNX_PYTHON) && ::setenv("EVENFLOW_PYTHON", EVENFLOW_ONNX_PYTHON, 0) == 0;
}();

double normal(uint64_t stream, size_t i) {
  return kernels::random_normal(3, stream, i);
}

/// A kind of model, and how many parameters it is tied to; of those that are names, how many categories.
struct Case {
  std::string name;
  size_t parameters = 1;
  std::function<void(io::Config&)> change = [](io::Config&) {};
  std::vector<size_t> categories = {};  ///< 0: a number, as where the list ends
  size_t categories_of(size_t p) const { return p < categories.size() ? categories[p] : 0; }
};

/// As fit_condition leaves it.
void add_name(io::ConditionData& condition, size_t categories) {
  const size_t p = condition.names.size();
  condition.names.push_back("name_" + std::to_string(p));
  condition.k.push_back(1.5);
  condition.v0.push_back(0.0);
  condition.mean.push_back(0.7);
  condition.std.push_back(0.5);
  condition.categories.resize(p + 1);
  condition.frequency.resize(p + 1);
  std::vector<double>& values = condition.training_values.emplace_back();
  for (size_t c = 0; c < categories; ++c) {
    values.push_back(static_cast<double>(c));
    condition.categories[p].push_back("category " + std::to_string(c));
    condition.frequency[p].push_back(2.0 * static_cast<double>(c + 1) /
                                     static_cast<double>(categories * (categories + 1)));
  }
}

/// Untrained weights, moved off their starting points.
io::ModelData model_of(const Case& of) {
  io::ModelData model;
  io::Config& config = model.config;
  config.frontend.mel_bands = 16;
  config.window = {.window_frames = 8, .window_hop_frames = 4};
  config.model.blocks = 2;
  config.model.steps = 2;
  config.model.hidden = 8;
  config.vae = {.layers = 4, .hidden = 12, .latents = 4};
  config.classifier = {.layers = 3, .hidden = 12, .embedding = 6};
  of.change(config);
  for (size_t i = 0; i < 16; ++i) {
    model.normaliser.mean.push_back(static_cast<float>(-40 + 5 * normal(1, i)));
    model.normaliser.std.push_back(static_cast<float>(5 + std::abs(normal(2, i))));
  }
  for (size_t p = 0; p < of.parameters; ++p) {
    if (const size_t categories = of.categories_of(p); categories > 0) {
      add_name(model.condition, categories);
      continue;
    }
    model.condition.names.push_back("parameter_" + std::to_string(p));
    model.condition.k.push_back(0.02 + 0.01 * static_cast<double>(p));
    model.condition.v0.push_back(150.0);
    model.condition.mean.push_back(140.0);
    model.condition.std.push_back(50.0);
    model.condition.training_values.push_back({100.0, 150.0, 200.0});
  }
  model.provenance = {"0123456789ab", "0123456789abcdef", "cpu", "2026-01-31T12:00:00Z", "0.1.0", 1};
  model.parameters = flow::make_scoring_model(config, model.condition, {})->tensors();
  uint64_t stream = 10;
  for (io::Tensor& tensor : model.parameters) {
    ++stream;
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      tensor.values[i] += static_cast<float>(0.1 * normal(stream, i));
    }
  }
  model.threshold = {flow::factory_of(config).decides_by, "rank", 0.9, 170.0, {}};
  return model;
}

std::vector<float> descriptor_of(const train::Detector& detector, const onnx::ParityClip& clip) {
  const std::vector<float> windows = onnx::normalised_windows(detector.model(), clip.frames);
  const flow::Model& model = detector.network();
  const int64_t n = static_cast<int64_t>(windows.size()) / model.dimensions();
  kernels::Stream stream(model.device());
  const auto pass = model.make_pass(1, flow::PassMode::score);
  flow::WindowScores scores(model, n);
  std::vector<double> sum(static_cast<size_t>(model.descriptor_size()), 0.0);
  for (int64_t w = 0; w < n; ++w) {
    pass->score(stream, kernels::make_map(windows.data() + w * model.dimensions(), 1, 1, model.height(), model.width()),
                {}, scores, w);
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += scores.descriptors[w][i];
    }
  }
  std::vector<float> mean;
  mean.reserve(sum.size());
  for (const double total : sum) {
    mean.push_back(static_cast<float>(total / static_cast<double>(n)));
  }
  return mean;
}

/// What is known of normal clips: of the given ones their descriptors, and else numbers of a likely size.
void add_normal_data(io::ModelData& model, const std::vector<onnx::ParityClip>& among) {
  const train::Detector detector(model, "cpu", 1);
  model.normal.references = {{"nll", 160.0, 5.0}};
  const auto length = static_cast<size_t>(detector.network().descriptor_size());
  io::PointData points{static_cast<int64_t>(length), {}};
  const std::vector<float> middle = descriptor_of(detector, among.back());
  for (size_t i = 0; i < 30; ++i) {
    for (size_t j = 0; j < length; ++j) {
      points.values.push_back(middle[j] + static_cast<float>(0.2 * normal(30 + i, j)));
    }
  }
  for (const onnx::ParityClip& clip : among) {
    const std::vector<float> own = descriptor_of(detector, clip);
    points.values.insert(points.values.end(), own.begin(), own.end());
  }
  model.normal.points = points;
  const size_t parameters = model.condition.names.size();
  if (parameters == 0) {
    return;
  }
  io::CalibrationData data;
  constexpr size_t count = 60;
  data.clips = 40;
  std::vector<double> bandwidth;
  for (size_t i = 0; i < count * parameters; ++i) {
    const std::vector<std::string>& names = io::categories_of(model.condition.categories, i % parameters);
    data.estimate.push_back(names.empty() ? 150.0 + 30.0 * normal(80, i)
                                          : static_cast<double>(i / parameters % names.size()));
    if (i < parameters) {
      bandwidth.push_back(names.empty() ? 8.0 : 0.125);
    }
  }
  for (const char* score : {"nll", "score_zc", "score_mahalanobis", "score_nearest"}) {
    io::CalibrationData::Score one{score, bandwidth, {}, {}, {0.8, -1.1, 0.3}, {0.5, 0.4, 0.3}};
    for (size_t i = 0; i < count; ++i) {
      one.value.push_back(150.0 + 3.0 * normal(81, i));
    }
    for (size_t i = 0; i < static_cast<size_t>(data.clips); ++i) {
      one.squared_residual.push_back(9.0 * std::pow(normal(82, i), 2));
    }
    data.scores.push_back(one);
  }
  // Three operating points that lie within each other's reach.
  for (size_t i = 0; i < 3 * parameters; ++i) {
    const std::vector<std::string>& names = io::categories_of(model.condition.categories, i % parameters);
    const size_t point = i / parameters, code = names.empty() ? 0 : point % names.size();
    data.point.push_back(names.empty() ? 120.0 + 30.0 * static_cast<double>(point) : static_cast<double>(code));
  }
  for (size_t p = 0; p < parameters; ++p) {
    data.reach.push_back(io::categories_of(model.condition.categories, p).empty() ? 25.0 : 0.125);
  }
  model.normal.calibration = data;
}

std::vector<Case> cases() {
  using io::CouplingKind;
  std::vector<Case> all;
  for (const io::InvconvKind invconv : {io::InvconvKind::plu, io::InvconvKind::dense}) {
    for (const CouplingKind coupling : {CouplingKind::sigmoid, CouplingKind::tanh, CouplingKind::additive}) {
      all.push_back({"glow_" + std::string(io::name_of(invconv)) + "_" + std::string(io::name_of(coupling)), 1,
                     [=](io::Config& config) {
                       config.model.invconv = invconv;
                       config.model.coupling = coupling;
                     }});
    }
  }
  const auto kind = [](io::ModelKind of) { return [of](io::Config& config) { config.model.kind = of; }; };
  all.push_back({"glow_conventional", 0});
  all.push_back({"glow_two_parameters", 2, [](io::Config& config) {
                   config.condition.zd_half = io::ZdHalf::first;
                   config.score.aggregate = io::Aggregate::top_k;
                   config.score.top_k = 2;
                 }});
  all.push_back({"glow_one_block_zeros", 1, [](io::Config& config) {
                   config.model.blocks = 1;
                   config.frontend.pad_mode = io::PadMode::zero;
                   config.frontend.n_fft = 400;
                   config.frontend.hop_samples = 160;
                   config.score.aggregate = io::Aggregate::max;
                 }});
  all.push_back({"glow_name", 1, [](io::Config&) {}, {4}});
  all.push_back({"glow_names_and_numbers", 4, [](io::Config&) {}, {2, 0, 4, 0}});
  all.push_back({"classifier_names", 3, kind(io::ModelKind::classifier), {3, 0, 2}});
  all.push_back({"vae", 1, kind(io::ModelKind::vae)});
  all.push_back({"vae_conventional", 0, kind(io::ModelKind::vae)});
  all.push_back({"classifier", 2, kind(io::ModelKind::classifier)});
  return all;
}

/// A model of each kind, with all that scores can rest on, and clips: of all features, and of these some with a NaN.
struct Exported {
  explicit Exported(const Case& of) : detector(model_of(of), "cpu", 1), clips(onnx::own_clips(detector)) {
    io::ModelData model = model_of(of);
    add_normal_data(model, clips);
    detector = train::Detector(model, "cpu", 1);
    add_conformal_data(model);
    detector = train::Detector(std::move(model), "cpu", 1);
    onnx::ParityClip odd = clips.back();
    odd.name = "frames further off";
    for (size_t i = 0; i < odd.frames.size(); ++i) {
      odd.frames[i] += static_cast<float>(2.0 * normal(90, i));
    }
    clips.push_back(odd);
    odd.name = "not a number";
    odd.frames[odd.frames.size() / 2] = std::numeric_limits<float>::quiet_NaN();
    clips.push_back(odd);
  }
  /// Of every score, normal clips about what the given ones have, each of theirs among them.
  void add_conformal_data(io::ModelData& model) {
    model.conformal.emplace();
    model.conformal->source = "normal clips of a test";
    for (size_t s = 0; s < detector.scores().size(); ++s) {
      std::vector<double> values;
      for (const onnx::ParityClip& clip : clips) {
        const double score = program_score(clip).scores[s];
        for (const double off : {-1.0, 0.0, 0.5, 3.0}) {
          values.push_back(std::isfinite(score) ? score + off : off);
        }
      }
      std::sort(values.begin(), values.end());
      model.conformal->scores.push_back({detector.scores()[s].name, std::move(values)});
    }
    model.conformal->clips = static_cast<int64_t>(model.conformal->scores.front().values.size());
  }

  train::ClipScore program_score(const onnx::ParityClip& clip) {
    io::Clip known;
    known.parameter = clip.parameters;
    return detector.score(known, clip.frames);
  }

  train::Detector detector;
  std::vector<onnx::ParityClip> clips;
};

class ExportedModel : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (const std::string why = onnx::why_no_runtime(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
  Folder folder_;
};

TEST_P(ExportedModel, GivesWhatTheProgramGives) {
  Exported of(GetParam());
  onnx::Runtime runtime;
  for (const onnx::GraphInput input : {onnx::GraphInput::windows, onnx::GraphInput::sound}) {
    const auto graph = onnx::make_graph(of.detector, input, onnx::least_opset);
    put(folder_ / "graph.onnx", graph->bytes());
    runtime.load(folder_ / "graph.onnx");
    const std::vector<onnx::ParityError> errors = runtime.compare(*graph, of.detector, of.clips);
    std::vector<std::string> outputs;
    double worst = 0;
    for (const onnx::ParityError& error : errors) {
      outputs.push_back(error.output);
      worst = std::max(worst, error.relative);
      EXPECT_TRUE(error.relative <= 1e-5) << error.output << " of " << error.clip << ": " << error.relative;
    }
    RecordProperty(input == onnx::GraphInput::windows ? "from_windows" : "from_sound", fmt::format("{:.2g}", worst));
    for (const flow::Score& score : of.detector.scores()) {
      EXPECT_THAT(outputs, Contains(score.name));
    }
    EXPECT_THAT(outputs, AllOf(Contains("zc"), Contains("decision"), Contains("score"), Contains("p_value")));
    EXPECT_THAT(get(folder_ / "graph.onnx"), HasSubstr("normal clips of a test"));
    for (size_t p = 0; p < GetParam().parameters; ++p) {
      if (GetParam().categories_of(p) > 0) {
        const std::string name = fmt::format("name_{}", p);
        EXPECT_THAT(outputs, AllOf(Contains("posterior_" + name), Contains("window_posterior_" + name),
                                   Contains("window_membership_" + name), Contains("estimate_" + name + "_p"),
                                   Contains("outside_calibration")));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ExportedModel, ::testing::ValuesIn(cases()),
                         [](const auto& one) { return one.param.name; });

TEST(ExportedModels, PassTheChecker) {
  if (run_program({python(), "-c", "import onnx"}).code != 0) {
    GTEST_SKIP() << "'" << python() << "' does not have ONNX's checker";
  }
  const Folder folder;
  Words words = {python(), "-c",
                 "import sys, onnx\n"
                 "for name in sys.argv[1:]: onnx.checker.check_model(name, full_check=True)"};
  for (const Case& one : cases()) {
    const Exported of(one);
    for (int opset = onnx::least_opset; opset <= onnx::most_opset; ++opset) {
      for (const onnx::GraphInput input : {onnx::GraphInput::windows, onnx::GraphInput::sound}) {
        words.push_back(folder / (std::to_string(words.size()) + ".onnx"));
        put(words.back(), onnx::make_graph(of.detector, input, opset)->bytes());
        EXPECT_TRUE(onnx::is_own_graph(get(words.back())));
      }
    }
  }
  const ProgramOutput checked = run_program(words);
  EXPECT_EQ(checked.code, 0) << checked.err;
}

TEST(Parity, TellsModelsApart) {
  if (const std::string why = onnx::why_no_runtime(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  const Folder folder;
  Exported one({"one"});
  io::ModelData other = one.detector.model();
  other.parameters.front().values.front() += 0.01F;
  train::Detector changed(other, "cpu", 1);
  const auto graph = onnx::make_graph(one.detector, onnx::GraphInput::windows, onnx::least_opset);
  put(folder / "graph.onnx", graph->bytes());
  onnx::Runtime runtime;
  runtime.load(folder / "graph.onnx");
  const auto worst = [&](train::Detector& detector, const std::string& output) {
    double most = 0;
    for (const onnx::ParityError& error : runtime.compare(*graph, detector, one.clips)) {
      most = std::max(most, output.empty() || error.output == output ? error.relative : 0.0);
    }
    return most;
  };
  EXPECT_GT(worst(changed, ""), 1e-4);
  EXPECT_EQ(worst(one.detector, "p_value"), 0.0);
  // Another clip among those that p-values rest on.
  io::ModelData judged = one.detector.model();
  for (io::ConformalData::Score& score : judged.conformal->scores) {
    score.values.push_back(1e9);
  }
  train::Detector by_others(judged, "cpu", 1);
  EXPECT_GT(worst(by_others, "p_value"), 1e-3);
  EXPECT_LT(worst(by_others, "score"), 1e-5);
}

class Export : public ::testing::Test {
 protected:
  Words words(const Words& more) const { return Words{"export", SmallWorld::get().model()} + more; }
  Folder folder_;
};

TEST_F(Export, WritesBothGraphsAndSaysHowNearTheyAre) {
  const bool checked = onnx::why_no_runtime().empty();
  const Outcome outcome = run(words({"--onnx", folder_ / "a.onnx", "--from-sound", folder_ / "b.onnx"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("from normalised windows"), HasSubstr("from samples"),
                                 HasSubstr(checked ? "parity with ONNX Runtime" : "parity was not checked")));
  EXPECT_THAT(get(folder_ / "b.onnx"), AllOf(HasSubstr("score_zc"), HasSubstr("sample_rate_hz"), HasSubstr("STFT")));
  // Its own graph it replaces.
  EXPECT_EQ(run(words({"--onnx", folder_ / "a.onnx"})).code, 0);
  EXPECT_THAT(run({"info", folder_ / "a.onnx"}).out, AllOf(HasSubstr("ONNX"), HasSubstr("opset"), HasSubstr("nll")));
}

/// After calibrate, for either kind of coupling: what `score` writes of recordings, once more by the graph alone.
TEST_F(Export, PValuesAreThoseOfScore) {
  if (const std::string why = onnx::why_no_runtime(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  const SmallWorld& world = SmallWorld::get();
  expect_done(
      run({"synth", folder_ / "normals", "--train-clips", "0", "--test-velocities", "100,300", "--test-distances",
           "100", "--normal-clips", "14", "--anomaly-clips", "2", "--duration", "0.4", "--seed", "5"}));
  expect_done(run(world.train_words(folder_ / "additive", "1") + Words{"--model.coupling", "additive"}));
  for (const std::string& trained : {world.model(), folder_ / "additive/model.h5"}) {
    SCOPED_TRACE(trained);
    const std::string model = folder_ / "m.h5", table = folder_ / "s.csv";
    const Words calibrate = {"calibrate",      trained, "--on",  folder_ / "normals/manifest.csv",
                             "--false-alarms", "0.2",   "--out", model};
    expect_done(run(calibrate + Words{"--force"}));
    expect_done(run({"export", model, "--from-sound", folder_ / "a.onnx"}));
    EXPECT_THAT(run({"info", folder_ / "a.onnx"}).out, HasSubstr("p_value        {\"clips\":28"));
    expect_done(run({"score", "--model", model, world.manifest(), "--split", "test", "--out", table}));
    std::string expected;
    Words words = {python(), "-c",
                   "import sys, json, wave, numpy, onnxruntime\n"
                   "session = onnxruntime.InferenceSession(sys.argv[1])\n"
                   "about = json.loads(session.get_modelmeta().custom_metadata_map['p_value'])\n"
                   "print(about['score'], about['clips'])\n"
                   "for name in sys.argv[2:]:\n"
                   "  with wave.open(name) as clip: raw = clip.readframes(clip.getnframes())\n"
                   "  samples = numpy.frombuffer(raw, '<i2').astype(numpy.float32) / 32768\n"
                   "  print('%.6f %d' % tuple(session.run(['p_value', 'decision'], {'samples': samples})))",
                   folder_ / "a.onnx"};
    const train::ScoreTable scores = train::read_scores(table);
    for (const train::ClipScore& clip : scores.clips) {
      words.push_back(world.rails() + "/" + clip.clip.path.string());
      expected += fmt::format("{:.6f} {}\n", clip.p_value, clip.decision);
    }
    ASSERT_EQ(scores.clips.size(), 8U);
    const ProgramOutput said = run_program(words);
    const std::string deciding = io::read_model(model).threshold.score;
    EXPECT_EQ(said.out, deciding + " 28\n" + expected) << said.err;
  }
}

TEST_F(Export, RefusesWhatCannotBe) {
  expect_refused(run(words({})), 2, {"--onnx", "--from-sound"});
  expect_refused(run(words({"--onnx", folder_ / "a.onnx", "--opset", "16"})), 2, {"opset 16", "STFT", "17"});
  expect_refused(run(words({"--onnx", folder_ / "a.onnx", "--opset", "99"})), 2, {"opset 99", "20"});
  expect_refused(run(words({"--onnx", folder_ / "a.h5"})), 2, {"a.h5", "HDF5", ".onnx"});
  expect_refused(run(words({"--onnx", folder_ / "a.onnx", "--from-sound", folder_ / "a.onnx"})), 2, {"one file"});
  expect_refused(run({"export", SmallWorld::get().shard(), "--onnx", folder_ / "a.onnx"}), 3, {"features.h5"});
  const Outcome full = run(words({"--onnx", folder_ / "a.onnx"}), {.file_limit_bytes = 1000});
  expect_refused(full, 3, {"cannot write '" + (folder_ / "a.onnx") + "'", "make room"});
  EXPECT_THAT(full.err, Not(HasSubstr(".evenflow-")));
  put(folder_ / "mine.onnx", "not evenflow's");
  expect_refused(run(words({"--onnx", folder_ / "mine.onnx"})), 2, {"mine.onnx", "--force"});
  EXPECT_FALSE(fs::exists(folder_ / "a.onnx"));
}

TEST_F(Export, SoundTooShortForAWindowDecidesNothing) {
  if (const std::string why = onnx::why_no_runtime(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  EXPECT_EQ(run(words({"--from-sound", folder_ / "a.onnx"})).code, 0);
  const ProgramOutput said =
      run_program({python(), "-c",
                   "import sys, numpy, onnxruntime\n"
                   "session = onnxruntime.InferenceSession(sys.argv[1])\n"
                   "print(*session.run(['decision', 'score'], {'samples': numpy.zeros(1024, numpy.float32)}))",
                   folder_ / "a.onnx"});
  EXPECT_EQ(said.out, "-1 nan\n") << said.err;
}

/// Answers as parity.py does, with nothing in any output.
constexpr const char* wrong_runtime = R"sh(#!/bin/sh
[ "$2" != "import numpy, onnxruntime" ] || exit 0
read -r line
echo '{"runtime": "0.0"}'
while read -r line; do echo "$ANSWER"; done
)sh";

TEST_F(Export, WritesNothingThatIsNotTheSame) {
  put(folder_ / "python", wrong_runtime);
  fs::permissions(folder_ / "python", fs::perms::owner_all);
  const train::Detector detector(SmallWorld::get().model(), "cpu", 1);
  std::string answer;
  const auto graph = onnx::make_graph(detector, onnx::GraphInput::windows, onnx::least_opset);
  for (const onnx::Port& port : graph->outputs()) {
    answer += (answer.empty() ? "\"" : ", \"") + port.name + R"(": {"type": "float64", "shape": [], "bytes": ""})";
  }
  const std::string before = std::getenv("EVENFLOW_PYTHON") == nullptr ? "" : std::getenv("EVENFLOW_PYTHON");
  ::setenv("EVENFLOW_PYTHON", (folder_ / "python").c_str(), 1);
  ::setenv("ANSWER", ("{\"outputs\": {" + answer + "}}").c_str(), 1);
  const Outcome outcome = run(words({"--onnx", folder_ / "a.onnx"}));
  ::setenv("EVENFLOW_PYTHON", "/nothing/python3", 1);
  const Outcome without = run(words({"--onnx", folder_ / "b.onnx"}));
  ::setenv("EVENFLOW_PYTHON", before.c_str(), 1);
  expect_refused(outcome, 3, {"a.onnx", "is not written", "ONNX Runtime 0.0"});
  EXPECT_FALSE(fs::exists(folder_ / "a.onnx"));
  EXPECT_EQ(without.code, 0) << without.err;
  EXPECT_THAT(without.out, AllOf(HasSubstr("parity was not checked"), HasSubstr("/nothing/python3")));
}

}  // namespace
}  // namespace evenflow::experiments::test
