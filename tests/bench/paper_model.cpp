#include "tests/bench/paper_model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "flow/glow_model.h"
#include "train/statistics/random.h"

namespace evenflow::bench {

using tests::GoldenFile;

namespace {

// Relative to the largest value; throws beyond the bound. Returns the error.
template <class Actual>
double check(const Actual& actual, const std::vector<double>& expected, double bound, const std::string& what) {
  if (std::size(actual) != expected.size()) {
    throw std::runtime_error(what + " has another size than the golden one");
  }
  double error = 0, largest = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    const double here = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (!(here <= error)) {
      error = here;
    }
  }
  if (!(error <= bound * largest)) {
    throw std::runtime_error(what + " is off by " + std::to_string(error / largest) +
                             " of its largest value: not timed");
  }
  return error / largest;
}

}  // namespace

Batch golden_batch(const GoldenFile& golden, const flow::GlowShape& shape) {
  const std::vector<double> x = golden.read("x").values;
  Batch batch;
  batch.v = golden.read("v").values;
  const auto bands = static_cast<size_t>(shape.height), frames = static_cast<size_t>(shape.width);
  batch.frames.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t window = i / (bands * frames), band = i / frames % bands, frame = i % frames;
    batch.frames[(window * frames + frame) * bands + band] = static_cast<float>(x[i]);
  }
  for (size_t i = 0; i < x.size() / (bands * frames); ++i) {
    batch.start.push_back(static_cast<int64_t>(i * frames));
  }
  return batch;
}

Batch random_batch(int64_t windows, const flow::GlowShape& shape) {
  Batch batch;
  batch.frames.resize(static_cast<size_t>(windows * shape.dimensions()));
  for (size_t i = 0; i < batch.frames.size(); ++i) {
    batch.frames[i] = static_cast<float>(train::random_normal(1, 0, i));
  }
  for (int64_t i = 0; i < windows; ++i) {
    batch.start.push_back(i * shape.width);
    batch.v.push_back(100.0 + 100.0 * static_cast<double>(i % 7));
  }
  return batch;
}

io::ConditionData golden_condition(const GoldenFile& golden) {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.k = golden.read("k").values;
  condition.v0 = golden.read("v0").values;
  condition.mean = golden.read("v_mean").values;
  condition.std = golden.read("v_std").values;
  condition.training_values = {{50, 750}};
  return condition;
}

void load_golden(const GoldenFile& golden, flow::Glow& glow) {
  std::vector<io::Tensor> tensors = glow.tensors();
  for (io::Tensor& tensor : tensors) {
    const std::vector<double> values = golden.read("parameters/" + tensor.name).values;
    if (tensor.type == io::Tensor::Type::float32) {
      std::transform(values.begin(), values.end(), tensor.values.begin(),
                     [](double value) { return static_cast<float>(value); });
    } else {
      tensor.integers.assign(values.begin(), values.end());
    }
  }
  glow.load(tensors);
}

io::NormaliserData no_normalisation(const flow::GlowShape& shape) {
  const auto bands = static_cast<size_t>(shape.height);
  return {std::vector<float>(bands, 0.0F), std::vector<float>(bands, 1.0F)};
}

nlohmann::json verify(const GoldenFile& golden, const flow::GlowShape& shape, bool training, int threads) {
  for (const auto& [name, value] :
       {std::pair{"blocks", shape.blocks}, {"steps", shape.steps}, {"hidden", shape.hidden}}) {
    if (golden.integer_attribute(name) != value) {
      throw std::runtime_error("the case is not the paper's multi-scale model");
    }
  }
  kernels::Stream stream;
  flow::GlowModel model(shape, golden_condition(golden), 1);
  load_golden(golden, model.glow());
  model.assemble(stream);
  const Batch batch = golden_batch(golden, shape);
  train::Workers workers(model, no_normalisation(shape), threads, training);
  if (!training) {
    flow::WindowScores scores(model, static_cast<int64_t>(batch.start.size()));
    workers.score(batch.view(), scores);
    std::vector<double> nll, given_v;
    for (int64_t i = 0; i < scores.size(); ++i) {
      nll.push_back(scores.of(i, "nll"));
      given_v.push_back(scores.of(i, "nll_given_v"));
    }
    return {{"likelihood", std::max(check(nll, golden.read("nll_marginal").values, 1e-5, "nll"),
                                    check(given_v, golden.read("nll_given_v").values, 1e-5, "nll_given_v"))}};
  }
  std::vector<double> nll(batch.start.size());
  const double loss = workers.loss_and_gradient(batch.view(), nll);
  double worst = 0;
  for (const std::string& name : golden.names("gradient")) {
    const flow::ArenaEntry& entry = model.layout().find(name);
    const kernels::Array<float> part = workers.gradient().slice(entry.offset, entry.size);
    worst = std::max(worst, check(std::vector<float>(part.data, part.data + part.size),
                                  golden.read("gradient/" + name).values, 1e-4, "the gradient of " + name));
  }
  return {{"loss", check(std::vector<double>{loss}, {golden.read_scalar("loss")}, 1e-5, "the loss")},
          {"likelihood", check(nll, golden.read("nll_given_v").values, 1e-5, "nll_given_v")},
          {"gradient", worst}};
}

void initialise(flow::GlowModel& model, const Batch& batch, int threads) {
  kernels::Stream stream;
  train::Workers workers(model, no_normalisation(model.glow().shape()), threads, false);
  const kernels::Buffer<float> x = workers.normalised(batch.view());
  model.initialise(
      stream, kernels::make_map(x.data(), static_cast<int64_t>(batch.start.size()), 1, model.height(), model.width()));
  model.assemble(stream);
}

}  // namespace evenflow::bench
