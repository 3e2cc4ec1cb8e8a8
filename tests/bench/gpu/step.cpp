// Training steps: what comes out checked against the golden case (float64), then milliseconds per step.
#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/bench/gpu/bench_gpu.h"
#include "tests/bench/gpu/training_step.h"
#include "tests/bench/measure.h"

namespace evenflow::bench {
namespace {

// Largest error over the largest expected value of each tensor.
struct Bounds {
  double loss, gradient;
};
Bounds bounds_of(const std::string& precision) {
  // float32: issue's bar. The others: the products' rounding (2^-11, 2^-8) through 15 steps and back.
  static const std::map<std::string, Bounds> bounds = {
      {"float32", {1e-5, 1e-3}}, {"tf32", {1e-3, 3e-2}}, {"bf16", {1e-2, 2e-1}}};
  return bounds.at(precision);
}

// The golden case's loss and gradients through the calls that are timed. Steps change the weights only afterwards.
nlohmann::json compare_with_golden(const GpuBench& bench) {
  const tests::GoldenFile golden(model_case(bench));
  const flow::GlowShape shape = shape_of(golden, bench);
  flow::GlowModel model(shape, golden_condition(golden), 1, bench.device);
  load_golden(golden, model.glow());
  const Batch batch = golden_batch(golden, shape);
  TrainingStep step(model, batch, static_cast<int64_t>(batch.start.size()), 1, 1e-4);
  step.queue();
  const std::vector<float> gradient = step.gradient();
  const double loss = step.losses(1)[0], golden_loss = golden.read_scalar("loss");
  double worst = 0;
  for (const std::string& name : golden.names("gradient")) {
    const flow::ArenaEntry& entry = model.layout().find(name);
    const std::vector<double> expected = golden.read("gradient/" + name).values;
    double error = 0, largest = 1e-30;
    for (size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      const double here = std::abs(static_cast<double>(gradient[static_cast<size_t>(entry.offset) + i]) - expected[i]);
      if (!(here <= error)) {
        error = here;
      }
    }
    if (!(error / largest <= worst)) {
      worst = error / largest;
    }
  }
  const Bounds bounds = bounds_of(bench.precision);
  const double loss_error = std::abs(loss / golden_loss - 1);
  return {{"loss", loss_error},
          {"gradient", worst},
          {"loss_bound", bounds.loss},
          {"gradient_bound", bounds.gradient},
          {"ok", loss_error <= bounds.loss && worst <= bounds.gradient}};
}

}  // namespace

flow::GlowShape shape_of(const tests::GoldenFile& golden, const GpuBench& bench) {
  static const std::map<std::string, kernels::CouplingPath> paths = {{"layered", kernels::CouplingPath::layered},
                                                                     {"fused", kernels::CouplingPath::fused}};
  static const std::map<std::string, kernels::Precision> precisions = {
      {"float32", kernels::Precision::float32}, {"tf32", kernels::Precision::tf32}, {"bf16", kernels::Precision::bf16}};
  flow::GlowShape shape;
  shape.blocks = static_cast<int>(golden.integer_attribute("blocks"));
  shape.steps = static_cast<int>(golden.integer_attribute("steps"));
  shape.hidden = static_cast<int>(golden.integer_attribute("hidden"));
  shape.height = golden.integer_attribute("height");
  shape.width = golden.integer_attribute("width");
  shape.path = paths.at(bench.kernels);
  shape.precision = precisions.at(bench.precision);
  return shape;
}

void bench_step(const GpuBench& bench) {
  const nlohmann::json verified = compare_with_golden(bench);
  const tests::GoldenFile golden(model_case(bench));
  flow::GlowModel model(shape_of(golden, bench), golden_condition(golden), 1, bench.device);
  const Batch data = random_batch(bench.windows, model.glow().shape());
  const int64_t most_steps = 2 * (bench.rounds + 1) * bench.steps + 1;
  TrainingStep step(model, data, bench.batch, most_steps, 1e-4);
  step.initialise_actnorm();
  step.start();

  const auto steps_in = [&](const std::function<void()>& one) {
    return device_seconds(step.stream(), bench.rounds, [&] {
      for (int64_t i = 0; i < bench.steps; ++i) {
        one();
      }
    });
  };
  // Libraries choose their plans, and scratch memory grows, before anything is recorded.
  step.queue();
  const std::vector<double> eager = steps_in([&] { step.queue(); });
  step.record();
  const std::vector<double> graph = steps_in([&] { step.launch(); });
  const std::vector<double> losses = step.losses(most_steps);
  const double first = losses.front(), last = losses.back();

  for (const auto& [how, seconds] : {std::pair{"eager", eager}, {"graph", graph}}) {
    const double per_step = median_of(seconds) / static_cast<double>(bench.steps);
    print_result({{"name", bench.kernels + "_" + bench.precision + "_" + how},
                  {"what", "step"},
                  {"kernels", bench.kernels},
                  {"precision", bench.precision},
                  {"graph", std::string(how) == "graph"},
                  {"value", per_step * 1e3},
                  {"unit", "ms"},
                  {"best", *std::min_element(seconds.begin(), seconds.end()) / static_cast<double>(bench.steps) * 1e3},
                  {"batch", bench.batch},
                  {"steps", bench.steps},
                  {"rounds", bench.rounds},
                  {"graph_nodes", step.graph_nodes()},
                  {"verified", verified},
                  {"loss", {first, last}},
                  {"ok", verified["ok"].get<bool>() && last < first},
                  {"device", kernels::describe(bench.device)}});
  }
}

}  // namespace evenflow::bench
