// Where one training step of the paper's multi-scale model goes: time of every operation, in place.
//
//   bench_layers [--windows N] [--hidden N] [--additive] [--name]
//
// One thread. The operations tell a tracer of their begin and end while the real step runs: gather, forward, loss and
// backward of a window, and between batches what one thread does alone. Of every operation the repetition with the
// least time counts; the whole is timed in windows without a tracer. Before anything is timed the couplings must give
// what float64 gives.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "flow/glow.h"
#include "flow/latent.h"
#include "kernels/gather.h"
#include "tests/bench/coupling_case.h"
#include "tests/bench/measure.h"
#include "tests/bench/serial_part.h"
#include "tests/bench/stopwatch.h"
#include "train/statistics/random.h"

namespace evenflow::bench {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::TraceRange;

io::ConditionData velocity() {
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.k = {0.01};
  condition.v0 = {400};
  condition.mean = {400};
  condition.std = {200};
  condition.training_values = {{100, 700}};
  return condition;
}

// A name, of four that were trained equally often.
io::ConditionData tool() {
  io::ConditionData condition;
  condition.names = {"tool"};
  condition.k = {2};
  condition.v0 = {0};
  condition.mean = {1.5};
  condition.std = {1.1};
  condition.training_values = {{0, 1, 2, 3}};
  condition.categories = {{"A", "B", "C", "D"}};
  condition.frequency = {{0.25, 0.25, 0.25, 0.25}};
  return condition;
}

// A window through the flow and back, as a worker does it.
class WindowStep {
 public:
  WindowStep(flow::Glow& glow, kernels::Stream& stream, const io::ConditionData& condition)
      : glow_(glow),
        stream_(stream),
        prior_(glow.shape(), condition),
        frames_(clips * glow.shape().dimensions()),
        mean_(glow.shape().height),
        inverse_std_(glow.shape().height),
        starts_(clips) {
    const flow::GlowShape& shape = glow.shape();
    for (int64_t i = 0; i < frames_.size(); ++i) {
      frames_[i] = static_cast<float>(train::random_normal(1, 0, static_cast<uint64_t>(i)));
    }
    for (int64_t i = 0; i < shape.height; ++i) {
      inverse_std_[i] = 1.0F;
    }
    for (int64_t i = 0; i < clips; ++i) {
      starts_[i] = i * shape.width;
    }
    v_[0] = condition.training_values[0].back();
    const kernels::Buffer<float> first(clips * shape.dimensions());
    const kernels::Map all = kernels::make_map(first.data(), clips, 1, shape.height, shape.width);
    kernels::gather_windows(stream, {.frames = frames_.view(),
                                     .start = starts_.view(),
                                     .mean = mean_.view(),
                                     .inverse_std = inverse_std_.view(),
                                     .x = all});
    glow.initialise_actnorm(stream, all);
    glow.assemble(stream);
    pass_ = std::make_unique<flow::GlowPass>(glow, 1, flow::PassMode::train);
  }

  double operator()(int64_t window, kernels::Array<float> raw) {
    constexpr double batch = 128;
    const double scale = 1.0 / (batch * static_cast<double>(glow_.shape().dimensions()));
    double nll = NAN;
    kernels::gather_windows(stream_, {.frames = frames_.view(),
                                      .start = starts_.slice(window % clips, 1),
                                      .mean = mean_.view(),
                                      .inverse_std = inverse_std_.view(),
                                      .x = pass_->input()});
    {
      const TraceRange range(stream_, "forward");
      pass_->forward(stream_, pass_->input());
    }
    {
      const TraceRange range(stream_, "loss");
      prior_.loss(stream_, *pass_, glow_.constant_log_det(), v_.view(), scale, {&nll, 1, {}});
    }
    const TraceRange range(stream_, "backward");
    pass_->backward(stream_, -scale, raw);
    return nll;
  }

 private:
  static constexpr int64_t clips = 16;
  flow::Glow& glow_;
  kernels::Stream& stream_;
  flow::LatentPrior prior_;
  kernels::Buffer<float> frames_, mean_, inverse_std_;
  kernels::Buffer<int64_t> starts_;
  std::unique_ptr<flow::GlowPass> pass_;
  kernels::Buffer<double> v_{1};
};

struct Measured {
  Stopwatch window, shared, serial;
  double seconds = std::numeric_limits<double>::infinity();  // of a window, untraced
};

// The caches see what they see in a training: a batch's windows, its rows of gradients, then the serial part.
Measured measure(flow::Glow& glow, const io::ConditionData& condition, int64_t windows) {
  kernels::Stream stream;
  WindowStep step(glow, stream, condition);
  SerialPart serial(glow);
  Measured out;
  double first = NAN;
  constexpr int64_t warm = 8;
  for (int64_t i = -warm; i < windows; ++i) {
    const bool traced = i % 2 != 0;
    stream.set_tracer(traced ? &out.window : nullptr);
    if (i == 0) {
      out.window = Stopwatch();
    }
    const int64_t row = (i + warm) % SerialPart::chunks;
    const auto begin = Clock::now();
    const double nll = step(i + warm, serial.row(row));
    const std::chrono::duration<double> time = Clock::now() - begin;
    if (!std::isfinite(nll)) {
      throw std::runtime_error("the likelihood is not finite");
    }
    if (i == -warm) {
      first = nll;
    }
    if ((i + warm) % 16 == 0 && !(std::abs(nll - first) <= 1e-6 * std::abs(first))) {
      throw std::runtime_error("the same window gave another likelihood");
    }
    if (i >= 0 && traced) {
      out.window.next();
    }
    if (i >= 0 && !traced) {
      out.seconds = std::min(out.seconds, time.count());
    }
    if ((i + warm + 1) % SerialPart::chunks != 0) {
      continue;
    }
    stream.set_tracer(&out.shared);
    serial.sum_rows(stream);
    out.shared.next();
    stream.set_tracer(&out.serial);
    serial.step(stream);
    out.serial.next();
  }
  return out;
}

// FLOP of the products of one window in all steps of a block. A coupling's are its parts'; its own time has none.
double product_flop(const Stopwatch& window, const Key& key) {
  return key.second.find("conv") == std::string::npos ? 0 : window.flop(key);
}

void verify(const flow::GlowShape& shape) {
  for (int block = 0; block < shape.blocks; ++block) {
    CouplingCase({.channels = shape.channels(block),
                  .hidden = shape.hidden,
                  .height = shape.block_height(block),
                  .width = shape.block_width(block),
                  .kind = shape.coupling})
        .verify();
  }
}

int run(int argc, char** argv) {
  CLI::App app("where a training step goes");
  int64_t windows = 256;
  flow::GlowShape shape;  // the paper's multi-scale model
  app.add_option("--windows", windows)->check(CLI::Range(64, 1 << 20));
  app.add_option("--hidden", shape.hidden, "width of the coupling networks")->check(CLI::PositiveNumber);
  app.add_flag_callback(
      "--additive", [&] { shape.coupling = kernels::CouplingKind::additive; }, "additive couplings");
  bool with_name = false;
  app.add_flag("--name", with_name, "zd carries a name of four instead of a velocity");
  CLI11_PARSE(app, argc, argv);
  verify(shape);
  flow::Glow glow(shape, 1);
  const Measured measured = measure(glow, with_name ? tool() : velocity(), windows);

  nlohmann::json rows = nlohmann::json::array(), serial_us = nlohmann::json::object();
  double sum = 0, conv_seconds = 0, conv_flop = 0;
  for (const auto& [key, time] : measured.window.best()) {
    sum += time;
    const double count = product_flop(measured.window, key);
    rows.push_back({{"block", key.first}, {"operation", key.second}, {"us", time * 1e6}, {"flop", count}});
    if (key.second.find("conv") == std::string::npos || key.second.find("invconv") != std::string::npos) {
      continue;
    }
    conv_seconds += time;
    conv_flop += count;
  }
  double sum_rows_us = 0;
  for (const auto& [key, time] : measured.shared.best()) {
    sum_rows_us += time * 1e6;
  }
  for (const auto& [key, time] : measured.serial.best()) {
    const std::string name = key.second.substr(0, key.second.find('/'));
    serial_us[name] = serial_us.value(name, 0.0) + time * 1e6;
  }
  serial_us["hand_out"] = SerialPart::hand_out() * 1e6;
  print_result({{"name", "layers"},
                {"what", "layers"},
                {"threads", 1},
                {"hidden", shape.hidden},
                {"parameter", with_name ? "name" : "number"},
                {"additive", shape.coupling == kernels::CouplingKind::additive},
                {"value", measured.seconds * 1e6},
                {"unit", "us"},
                {"sum_of_parts_us", sum * 1e6},
                {"windows", windows},
                {"conv_gflops", conv_flop / conv_seconds * 1e-9},
                {"serial_us", serial_us},
                {"sum_rows_us", sum_rows_us},
                {"rows", rows}});
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_layers", evenflow::bench::run, argc, argv);
}
