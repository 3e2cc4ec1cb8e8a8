#include "experiments/profile/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

#include "experiments/profile/ceilings.h"
#include "experiments/profile/recorder.h"
#include "experiments/profile/training_step.h"
#include "flow/glow_model.h"
#include "io/error.h"
#include "kernels/event.h"
#include "kernels/graph.h"
#include "kernels/probe.h"
#include "kernels/reduce.h"
#include "train/detect/workers.h"
#include "train/loop/optimizer.h"
#include "train/loop/training_step.h"

namespace evenflow::experiments {
namespace {

constexpr int64_t most_gradient_rows = 32;  // train/detect/workers.cpp's
constexpr int warm_up_steps = 3;

// Hears of launches while it lives.
class Listening {
 public:
  Listening(kernels::Device device, kernels::LaunchListener* listener) : device_(device) {
    kernels::set_launch_listener(device_, listener);
  }
  ~Listening() { kernels::set_launch_listener(device_, nullptr); }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  kernels::Device device_;
};

int block_of(const RecordedCall& call) {
  // The squeeze into a block comes before its first step: the first is block 1's, the second block 2's.
  if (call.operation == "squeeze") {
    return static_cast<int>(call.occurrence);
  }
  if (!call.place.starts_with("block")) {
    return -1;
  }
  return std::stoi(call.place.substr(5)) - 1;
}

std::string call_name(const RecordedCall& call) {
  if (call.operation == "squeeze") {
    return fmt::format("block{}.squeeze", call.occurrence + 1);
  }
  if (call.operation == "zero") {
    return call.phase + ".zero";
  }
  const std::string number = call.occurrence > 0 ? fmt::format(" {}", call.occurrence + 1) : "";
  return (call.place.empty() ? "" : call.place + ".") + call.operation + number;
}

/// Where a batch goes a few windows at a time: how often a step makes a call.
struct Dealing {
  double windows = 1;  ///< once per so many carried at once
  double rows = 1;     ///< once per row of gradients
  double times(const RecordedCall& call) const {
    if (call.operation == "zero" && call.phase == "backward") {
      return rows;
    }
    return call.phase == "assemble" || call.phase == "update" ? 1 : windows;
  }
};

/// Sums the calls of an operation in a block, repetition by repetition.
class Table {
 public:
  Table(const Ceilings& ceilings, kernels::Precision precision, const Dealing& dealing)
      : ceilings_(ceilings), precision_(precision), dealing_(dealing) {}

  void add(const RecordedCall& call);
  void finish(Profile& profile);

 private:
  struct Row {
    ProfiledOperation operation;
    std::vector<double> seconds;
    std::map<std::string, std::pair<std::vector<double>, double>> parts;  // seconds and FLOP
  };
  Row& row(const std::string& block, const std::string& operation);
  static void accumulate(std::vector<double>& sum, const std::vector<double>& seconds, double times);

  const Ceilings& ceilings_;
  kernels::Precision precision_;
  Dealing dealing_;
  std::vector<Row> rows_;
};

Table::Row& Table::row(const std::string& block, const std::string& operation) {
  const auto found = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) {
    return r.operation.block == block && r.operation.operation == operation;
  });
  if (found != rows_.end()) {
    return *found;
  }
  rows_.emplace_back();
  ProfiledOperation& made = rows_.back().operation;
  made.block = block;
  made.operation = operation;
  // The couplings' products alone are rounded (kernels/coupling.h).
  made.gemm_ceiling = ceilings_.gemm_of(operation.starts_with("coupling_") ? precision_ : kernels::Precision::float32);
  return rows_.back();
}

void Table::accumulate(std::vector<double>& sum, const std::vector<double>& seconds, double times) {
  sum.resize(seconds.size());
  for (size_t i = 0; i < seconds.size(); ++i) {
    sum[i] += times * seconds[i];
  }
}

void Table::add(const RecordedCall& call) {
  const int block = block_of(call);
  const std::string block_name = block < 0 ? "" : fmt::format("block{}", block + 1);
  const double times = dealing_.times(call);
  if (call.part) {
    const size_t slash = call.operation.find('/');
    auto& [seconds, flop] = row(block_name, call.operation.substr(0, slash)).parts[call.operation.substr(slash + 1)];
    accumulate(seconds, call.seconds, times);
    flop += times * call.cost.flop;
    return;
  }
  Row& row = this->row(block_name, call.operation);
  ProfiledCall made{.name = call_name(call),
                    .phase = call.phase,
                    .per_step = times,
                    .seconds = spread_of(call.seconds),
                    .cost = call.cost,
                    .launches = call.launches};
  accumulate(row.seconds, call.seconds, times);
  row.operation.cost.bytes += times * made.cost.bytes;
  row.operation.cost.flop += times * made.cost.flop;
  row.operation.launches += call.launches;
  row.operation.calls.push_back(std::move(made));
}

void Table::finish(Profile& profile) {
  std::vector<double> all;
  double medians = 0;
  for (Row& row : rows_) {
    row.operation.seconds = spread_of(row.seconds);
    medians += row.operation.seconds.median;
    accumulate(all, row.seconds, 1);
    for (const auto& [name, part] : row.parts) {
      row.operation.parts.push_back({.name = name, .seconds = spread_of(part.first), .flop = part.second});
    }
  }
  profile.operations = spread_of(all);
  for (Row& row : rows_) {
    row.operation.share = row.operation.seconds.median / medians;
    for (const ProfiledCall& call : row.operation.calls) {
      profile.step_flop += call.per_step * call.cost.flop;
      if (call.phase == "forward") {
        profile.forward_flop += call.per_step * call.cost.flop / static_cast<double>(profile.windows);
      }
    }
    profile.launches += row.operation.launches;
    profile.rows.push_back(std::move(row.operation));
  }
  std::stable_sort(profile.rows.begin(), profile.rows.end(),
                   [](const auto& a, const auto& b) { return a.seconds.median > b.seconds.median; });
}

kernels::Precision precision_of(const io::Config& config, kernels::Device device) {
  if (device.type == kernels::DeviceType::cpu || config.train.precision == io::Precision::float32) {
    return kernels::Precision::float32;
  }
  return config.train.precision == io::Precision::bf16 ? kernels::Precision::bf16 : kernels::Precision::tf32;
}

void require_finite(double loss) {
  if (std::isfinite(loss)) {
    return;
  }
  throw std::runtime_error(
      "the profiled step's loss is not finite, so its times would mean nothing; give another --train.seed, or report "
      "it");
}

// Every operation alone, then what they launch.
Recorder record(TrainingStep& step, const ProfileSettings& settings) {
  kernels::Stream& stream = step.stream();
  const kernels::Device device = stream.device();
  kernels::Tracer* marker = settings.ranges ? kernels::range_marker(device) : nullptr;
  Recorder recorder(stream, train::training_step_phases(), settings.warm ? 0 : flush_bytes(device), marker);
  stream.set_tracer(&recorder);
  const auto run = [&](Recorder::Mode mode, int times) {
    recorder.set_mode(mode);
    for (int i = 0; i < times; ++i) {
      step.run();
      recorder.next();
    }
  };
  run(Recorder::Mode::silent, warm_up_steps);
  require_finite(step.loss());
  {
    const Listening listening(device, &recorder);
    run(Recorder::Mode::count, 1);
  }
  run(Recorder::Mode::time, settings.repeat);
  stream.set_tracer(nullptr);
  require_finite(step.loss());
  return recorder;
}

Spread time_graph(TrainingStep& step, int repeat, int64_t& nodes) {
  kernels::Stream& stream = step.stream();
  kernels::Graph graph(stream, [&] { step.queue(); });
  nodes = graph.nodes();
  kernels::Event begin(stream.device()), end(stream.device());
  std::vector<double> seconds;
  for (int i = -warm_up_steps; i < repeat; ++i) {
    step.prepare();
    begin.record(stream);
    graph.launch(stream);
    end.record(stream);
    const double time = end.seconds_since(begin);
    if (i >= 0) {
      seconds.push_back(time);
    }
  }
  require_finite(step.loss());
  return spread_of(seconds);
}

Spread time_threads(flow::GlowModel& model, const ProfileSettings& settings, int& threads) {
  const flow::GlowShape& shape = model.glow().shape();
  const int64_t windows = settings.config.train.batch;
  const auto bands = static_cast<size_t>(shape.height);
  const io::NormaliserData normaliser{std::vector<float>(bands, 0.0F), std::vector<float>(bands, 1.0F)};
  train::Workers workers(model, normaliser, settings.config.train.threads, true);
  threads = workers.threads();
  train::Optimizer optimizer(model.parameters());
  const WindowSet set = random_windows(shape, windows, model.parameter_count());
  std::vector<double> nll(static_cast<size_t>(windows));
  const kernels::Buffer<double> squared_norm(1);
  kernels::Stream stream;
  std::vector<double> seconds;
  double loss = 0;
  for (int i = -warm_up_steps; i < settings.repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    model.assemble(stream);
    loss = workers.loss_and_gradient({set.frames, set.start, set.values}, nll);
    kernels::squared_norm(stream, {.x = workers.gradient(), .out = squared_norm.view()});
    optimizer.update(stream, workers.gradient(), profiled_learning_rate,
                     train::clip_scale(std::sqrt(squared_norm[0]), settings.config.train.clip_norm));
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    if (i >= 0) {
      seconds.push_back(time.count());
    }
  }
  require_finite(loss);
  return spread_of(seconds);
}

void add_kernels(const Recorder& recorder, Profile& profile) {
  for (const RecordedKernel& kernel : recorder.launches()) {
    profile.kernels.push_back({.name = kernel.name,
                               .launches = kernel.launches,
                               .blocks = kernel.launch.blocks,
                               .threads_per_block = kernel.launch.threads_per_block,
                               .shared_bytes = kernel.launch.shared_bytes,
                               .registers = kernel.launch.registers,
                               .local_bytes = kernel.launch.local_bytes,
                               .occupancy = kernel.launch.occupancy});
  }
  std::stable_sort(profile.kernels.begin(), profile.kernels.end(),
                   [](const auto& a, const auto& b) { return a.launches > b.launches; });
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double quantile) {
    const double place = quantile * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {.median = at(0.5), .p10 = at(0.1), .p90 = at(0.9)};
}

Profile run_profile(const ProfileSettings& settings) {
  const io::Config& config = settings.config;
  const kernels::Device device = kernels::parse_device(config.train.device);
  const bool cpu = device.type == kernels::DeviceType::cpu;
  const auto say = [&](const std::string& what) {
    if (settings.progress) {
      settings.progress(what);
    }
  };
  Profile profile;
  profile.config = config;
  profile.device = kernels::to_string(device);
  profile.device_text = kernels::describe(device);
  profile.repeat = settings.repeat;
  profile.warm = settings.warm;
  profile.windows = config.train.batch;
  profile.at_once = cpu ? 1 : config.train.batch;

  // As Workers deal a batch.
  const auto divide_up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t rows = cpu ? divide_up(profile.windows, divide_up(profile.windows, most_gradient_rows)) : 1;
  const Dealing dealing{.windows = static_cast<double>(profile.windows) / static_cast<double>(profile.at_once),
                        .rows = static_cast<double>(rows)};
  const std::unique_ptr<flow::GlowModel> model = random_model(config, device);
  profile.parameters = model->layout().size();
  {
    TrainingStep step(*model, config, profile.at_once, rows);
    say("measuring the ceilings");
    profile.ceilings = measure_ceilings(step.stream());
    say(fmt::format("measuring every operation of {} training steps", settings.repeat));
    const Recorder recorder = record(step, settings);
    Table table(profile.ceilings, precision_of(config, device), dealing);
    for (const RecordedCall& call : recorder.calls()) {
      table.add(call);
    }
    table.finish(profile);
    add_kernels(recorder, profile);
    say(fmt::format("measuring {} whole training steps", settings.repeat));
    if (!cpu) {
      profile.whole = time_graph(step, settings.repeat, profile.graph_nodes);
    }
  }
  if (cpu) {
    profile.whole = time_threads(*model, settings, profile.threads);
  }
  return profile;
}

}  // namespace evenflow::experiments
