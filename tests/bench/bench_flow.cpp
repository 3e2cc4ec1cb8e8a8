// evenflow's training step and scoring: windows/s of the paper's multi-scale model.
//
//   bench_flow train|score CASE.h5 THREADS [--steps N] [--batch N]
//
// First the golden case's loss and gradients (train) or likelihoods (score) must come out, through the same calls that
// are timed then, in batches of 128 or what --batch says. A training step is the trainer's own: assemble, gather and
// normalise, forward, loss, backward, the gradient's norm, Adam.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "flow/glow_model.h"
#include "kernels/reduce.h"
#include "tests/bench/measure.h"
#include "tests/bench/paper_model.h"
#include "train/loop/optimizer.h"

namespace evenflow::bench {
namespace {

constexpr double train_flop = 270e6;  // of one window, stored maps
constexpr double score_flop = 90e6;

Timing time_training(flow::GlowModel& model, const Batch& batch, int threads, int steps) {
  kernels::Stream stream;
  flow::Glow& glow = model.glow();
  train::Workers workers(model, no_normalisation(glow.shape()), threads, true);
  train::Optimizer optimizer(glow.parameters());
  const kernels::Buffer<double> squared_norm(1);
  std::vector<double> nll(batch.start.size());
  double first = NAN, last = NAN;
  const Timing timing = best_of(0, steps, [&] {
    glow.assemble(stream);
    last = workers.loss_and_gradient(batch.view(), nll);
    kernels::squared_norm(stream, {.x = workers.gradient(), .out = squared_norm.view()});
    if (std::isnan(first)) {
      first = last;
    }
    optimizer.update(stream, workers.gradient(), 1e-4, train::clip_scale(std::sqrt(squared_norm[0]), 0));
  });
  if (!(last < first)) {
    throw std::runtime_error("the loss did not fall in the timed steps");
  }
  return timing;
}

Timing time_scoring(const flow::GlowModel& model, const Batch& batch, int threads, int steps) {
  train::Workers workers(model, no_normalisation(model.glow().shape()), threads, false);
  flow::WindowScores scores(model, static_cast<int64_t>(batch.start.size()));
  return best_of(0, steps, [&] { workers.score(batch.view(), scores); });
}

int run(int argc, char** argv) {
  CLI::App app("windows/s of the paper's multi-scale model");
  std::string what, file;
  int threads = 2, steps = 6;
  int64_t batch_windows = 128;
  app.add_option("what", what, "train or score")->required()->check(CLI::IsMember({"train", "score"}));
  app.add_option("case", file, "the golden case")->required();
  app.add_option("threads", threads)->required()->check(CLI::PositiveNumber);
  app.add_option("--steps", steps, "timed steps at least")->check(CLI::PositiveNumber);
  app.add_option("--batch", batch_windows, "windows a step")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const bool training = what == "train";
  const flow::GlowShape shape;
  const tests::GoldenFile golden(file);
  const nlohmann::json verified = verify(golden, shape, training, threads);

  const Batch batch = random_batch(batch_windows, shape);
  flow::GlowModel model(shape, golden_condition(golden), 1);
  initialise(model, batch, threads);
  const Timing timing =
      training ? time_training(model, batch, threads, steps) : time_scoring(model, batch, threads, steps);
  const double windows = static_cast<double>(batch_windows);
  const char* target = std::getenv("EVENFLOW_CPU_TARGET");
  print_result({{"name", "evenflow_" + what},
                {"what", what},
                {"threads", threads},
                {"target", target == nullptr ? "best" : target},
                {"verified", verified},
                {"value", windows / timing.best},
                {"unit", "windows/s"},
                {"median", windows / timing.median},
                {"gflops", windows / timing.best * (training ? train_flop : score_flop) * 1e-9},
                {"batch", batch_windows},
                {"steps", timing.repetitions},
                {"peak_mib", peak_mib()},
                {"device", kernels::describe(model.device())}});
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_flow", evenflow::bench::run, argc, argv);
}
