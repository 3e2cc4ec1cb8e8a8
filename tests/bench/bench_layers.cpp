// Where one training step of the paper's multi-scale model goes: time of every operation, in place.
//
//   bench_layers [WINDOWS]
//
// One thread. The operations tell a tracer of their begin and end while the real step runs (gather, forward, loss,
// backward, then what a batch of 128 pays once); of every operation the window with the least time counts. FLOP are the
// mathematics' own: a multiply-add is two, padding and recomputation are nobody's.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "flow/glow.h"
#include "flow/latent.h"
#include "kernels/adam.h"
#include "kernels/gather.h"
#include "kernels/trace.h"
#include "tests/bench/measure.h"
#include "train/optimizer.h"
#include "train/random.h"

namespace evenflow::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Block ("block1", or empty outside the steps) and the operation, parts of one below it: "coupling_forward/conv1".
using Key = std::pair<std::string, std::string>;

// Seconds of every range, own time alone: what nested ranges take is theirs.
class Stopwatch final : public kernels::Tracer {
 public:
  void begin(const char* name) override {
    const auto now = Clock::now();
    if (!open_.empty()) open_.back().own += seconds(open_.back().since, now);
    open_.push_back({name, now, 0.0});
  }
  void end() noexcept override {
    const auto now = Clock::now();
    Open& last = open_.back();
    current_[key()] += last.own + seconds(last.since, now);
    open_.pop_back();
    if (!open_.empty()) open_.back().since = Clock::now();
  }
  /// Ends a window: keeps each key's least.
  void next_window() {
    for (auto& [key, time] : current_) {
      const auto [best, fresh] = best_.emplace(key, time);
      if (!fresh) best->second = std::min(best->second, time);
    }
    current_.clear();
  }
  const std::map<Key, double>& best() const { return best_; }

 private:
  struct Open {
    std::string name;
    Clock::time_point since;
    double own;
  };
  static double seconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  }
  Key key() const {
    Key key;
    for (const Open& range : open_) {
      if (range.name.starts_with("block")) {
        key.first = range.name.substr(0, range.name.find('.'));
      } else {
        key.second += (key.second.empty() ? "" : "/") + range.name;
      }
    }
    return key;
  }
  std::vector<Open> open_;
  std::map<Key, double> current_, best_;
};

// FLOP of one window in all steps of a block; 0 where nothing but data moves or where a count would say nothing.
double flop(const flow::GlowShape& shape, const Key& key) {
  if (!key.first.starts_with("block")) return 0;
  const int block = std::stoi(key.first.substr(5)) - 1;
  const double c = static_cast<double>(shape.channels(block)), f = shape.hidden;
  const double per_step = 2.0 * static_cast<double>(shape.block_height(block) * shape.block_width(block));
  const double weights1 = c / 2 * f * 9, weights2 = f * f, weights3 = f * c * 9;
  double multiply_adds = 0;
  const std::string& op = key.second;
  const auto has = [&](const char* text) { return op.find(text) != std::string::npos; };
  if (has("conv1")) multiply_adds += weights1;
  if (has("conv2")) multiply_adds += weights2;
  if (has("conv3")) multiply_adds += weights3;
  if (has("network")) multiply_adds += weights1 + weights2 + weights3;
  if (has("invconv_apply")) multiply_adds += c * c;
  if (has("invconv_backward")) multiply_adds += 2 * c * c;
  return shape.steps * per_step * multiply_adds;
}

int run(int argc, char** argv) {
  const int windows = argc > 1 ? std::stoi(argv[1]) : 256;
  constexpr int64_t batch = 128;
  const flow::GlowShape shape;  // the paper's multi-scale model

  constexpr int64_t clips = 16;
  kernels::Buffer<float> frames(clips * shape.dimensions());
  for (int64_t i = 0; i < frames.size(); ++i) {
    frames[i] = static_cast<float>(train::random_normal(1, 0, static_cast<uint64_t>(i)));
  }
  kernels::Buffer<float> mean(shape.height), inverse_std(shape.height);
  for (int64_t i = 0; i < shape.height; ++i) inverse_std[i] = 1.0F;
  io::ConditionData condition;
  condition.names = {"velocity_mm_s"};
  condition.k = {0.01};
  condition.v0 = {400};
  condition.mean = {400};
  condition.std = {200};
  condition.training_values = {{100, 700}};
  const flow::LatentPrior prior(shape, condition);

  Stopwatch stopwatch;
  kernels::Stream stream;
  flow::Glow glow(shape, 1);
  kernels::Buffer<int64_t> starts(clips);
  for (int64_t i = 0; i < clips; ++i) starts[i] = i * shape.width;
  kernels::Buffer<float> first(clips * shape.dimensions());
  const kernels::Map all = kernels::make_map(first.data(), clips, 1, shape.height, shape.width);
  kernels::gather_windows(stream, frames.view(), starts.view(), mean.view(), inverse_std.view(), all);
  glow.initialise_actnorm(stream, all);
  glow.assemble(stream);

  flow::GlowPass pass(glow, 1, flow::PassMode::train);
  kernels::Buffer<float> raw(glow.raw_gradient_size());
  const double scale = 1.0 / static_cast<double>(batch * shape.dimensions());
  const std::vector<double> v = {300};
  double total = std::numeric_limits<double>::infinity();
  double first_nll = NAN;
  stream.set_tracer(&stopwatch);
  for (int i = 0; i < windows + 8; ++i) {
    if (i == 8) stopwatch = Stopwatch();  // the first ones warm up
    const auto begin = Clock::now();
    double nll = NAN;
    kernels::gather_windows(stream, frames.view(), {starts.data() + i % clips, 1}, mean.view(), inverse_std.view(),
                            pass.input());
    {
      const kernels::TraceRange range(stream, "forward");
      pass.forward(stream, pass.input());
    }
    {
      const kernels::TraceRange range(stream, "loss");
      prior.loss(stream, pass, glow.constant_log_det(), v, scale, {&nll, 1});
    }
    {
      const kernels::TraceRange range(stream, "backward");
      pass.backward(stream, -scale, raw.view());
    }
    total = std::min(total, std::chrono::duration<double>(Clock::now() - begin).count());
    stopwatch.next_window();
    if (i == 0) first_nll = nll;
    if (!std::isfinite(nll)) throw std::runtime_error("the likelihood is not finite");
    if (i % clips == 0 && !(std::abs(nll - first_nll) <= 1e-9 * std::abs(first_nll))) {
      throw std::runtime_error("the same window gave another likelihood");
    }
  }

  nlohmann::json rows = nlohmann::json::array();
  double sum = 0;
  for (const auto& [key, time] : stopwatch.best()) {
    sum += time;
    rows.push_back({{"block", key.first}, {"operation", key.second}, {"us", time * 1e6}, {"flop", flop(shape, key)}});
  }
  print_result({{"name", "layers"},
                {"what", "layers"},
                {"threads", 1},
                {"value", total * 1e6},
                {"unit", "us"},
                {"sum_of_parts_us", sum * 1e6},
                {"windows", windows},
                {"rows", rows}});
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  try {
    return evenflow::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "bench_layers: " << e.what() << '\n';
    return 1;
  }
}
