#include "train/detect/workers.h"

#include <algorithm>
#include <vector>

#include "io/error.h"
#include "kernels/gather.h"
#include "kernels/reduce.h"
#include "train/detect/column_exchange.h"

namespace evenflow::train {
namespace {

// Gradients of a batch are summed in at most this many parts, each by one worker: so many threads can have work.
constexpr int64_t max_chunks = 32;
// Floats of the gradient that a worker sums over the parts at a time: they stay in the first-level cache.
constexpr int64_t sum_block = 4096;
// Passes whose latents encode holds at a time, per worker.
constexpr int64_t encoded_passes = 4;

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

kernels::Buffer<float> to_buffer(std::span<const float> values) {
  kernels::Buffer<float> buffer(static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), buffer.data());
  return buffer;
}

}  // namespace

struct Workers::State {
  State(const flow::Model& model_in, const io::NormaliserData& normaliser, int threads, bool training_in,
        kernels::Communicator& ranks)
      : model(model_in),
        shares(ranks),
        pool(threads),
        training(training_in),
        at_once(model_in.windows_at_once()),
        dimensions(model_in.dimensions()),
        mean(to_buffer(normaliser.mean)),
        inverse_std(to_buffer(normaliser.std)),
        row(divide_up(model_in.raw_gradient_size(), 16) * 16),
        columns(shares, row) {
    require_bands(normaliser, model);
    for (int64_t i = 0; i < inverse_std.size(); ++i) {
      inverse_std[i] = 1.0F / inverse_std[i];
    }
    const auto mode = training ? flow::PassMode::train : flow::PassMode::score;
    for (int i = 0; i < pool.threads(); ++i) {
      passes.push_back(model.make_pass(at_once, mode));
    }
    streams.resize(static_cast<size_t>(pool.threads()));
    if (!training) {
      return;
    }
    sum = kernels::Buffer<float>(row);
  }

  // Windows [first, first + count) of a batch, carried by one worker.
  struct Part {
    int64_t first, count;
    int worker;
  };
  flow::Pass& pass(const Part& part) { return *passes[static_cast<size_t>(part.worker)]; }
  kernels::Stream& stream(const Part& part) { return streams[static_cast<size_t>(part.worker)]; }

  /// Calls work for the parts of the windows [first, first + count), dealt to the workers.
  template <class Work>
  void deal(int64_t first, int64_t count, const Work& work) {
    pool.run(divide_up(count, at_once), [&](int64_t item, int worker) {
      const int64_t begin = item * at_once;
      work(Part{first + begin, std::min(at_once, count - begin), worker});
    });
  }

  kernels::ConstMap load(const WindowBatch& batch, const Part& part) {
    const kernels::Map x = pass(part).input().samples(0, part.count);
    gather(batch, part, x);
    return x;
  }

  void gather(const WindowBatch& batch, const Part& part, const kernels::Map& x) {
    const kernels::Array<const float> frames{batch.frames.data(), static_cast<int64_t>(batch.frames.size())};
    const kernels::Array<const int64_t> start{batch.start.data() + part.first, part.count};
    kernels::GatherWindows task{
        .frames = frames, .start = start, .mean = mean.view(), .inverse_std = inverse_std.view(), .x = x};
    if (!batch.changes.empty()) {
      task.changes = {batch.changes.data() + part.first, part.count, {}};
      task.mels_per_band = batch.mels_per_band;
      task.moves = batch.moves;
    }
    kernels::gather_windows(stream(part), task);
  }

  std::span<const double> values(const WindowBatch& batch, const Part& part) const {
    const auto p = static_cast<size_t>(model.parameter_count());
    if (batch.v.empty() || p == 0) {
      return {};
    }
    return batch.v.subspan(static_cast<size_t>(part.first) * p, static_cast<size_t>(part.count) * p);
  }

  void score(const WindowBatch& batch, const Part& part, flow::WindowScores& out) {
    pass(part).score(stream(part), load(batch, part), values(batch, part), out, part.first);
  }

  struct LossJob {
    const WindowBatch& batch;
    std::span<double> nll;
    int64_t chunk_size, first_chunk;
    double scale;
  };

  static kernels::Array<const double> view(std::span<const double> v) {
    return {v.data(), static_cast<int64_t>(v.size()), {}};
  }

  /// `chunk` of the batch, the rank's own `at`-th.
  void train_chunk(const LossJob& job, int64_t chunk, int64_t at, int worker) {
    const kernels::Array<float> raw = chunks.slice(at * row, model.raw_gradient_size());
    std::fill_n(raw.data, raw.size, 0.0F);
    const int64_t end = std::min((chunk + 1) * job.chunk_size, job.batch.size());
    for (int64_t i = chunk * job.chunk_size; i < end; i += at_once) {
      const Part part{i, std::min(at_once, end - i), worker};
      pass(part).loss_and_gradient(stream(part), load(job.batch, part), view(values(job.batch, part)), job.scale,
                                   {step.view(), i}, {job.nll.data() + i, part.count, {}}, raw);
    }
    if (!shares.alone()) {
      columns.put(at, chunks.data() + at * row);
    }
  }

  /// The chunks' rows, and where their sum goes.
  struct Rows {
    kernels::Array<const float> all;
    int64_t count, stride;
    kernels::Array<float> sum;
  };

  void sum_rows(const Rows& rows, int64_t block, int worker) {
    const int64_t first = block * sum_block;
    const int64_t width = std::min(sum_block, rows.sum.size - first);
    kernels::sum_rows(streams[static_cast<size_t>(worker)],
                      {.in = rows.all.slice(first, (rows.count - 1) * rows.stride + width),
                       .rows = rows.count,
                       .row_stride = rows.stride,
                       .out = rows.sum.slice(first, width)});
  }

  void sum_rows(const Rows& rows) {
    // Two pointers fit std::function's own storage: no allocation.
    pool.run(divide_up(rows.sum.size, sum_block),
             [this, &rows](int64_t block, int worker) { sum_rows(rows, block, worker); });
  }

  /// Of so many chunks of all ranks, into `sum`.
  void sum_chunks(int64_t count) {
    if (shares.alone()) {
      sum_rows({chunks.view(), count, row, sum.view()});
      return;
    }
    columns.exchange();
    const auto [first, width] = columns.columns();
    sum_rows({columns.received(), count, width, sum.slice(first, width)});
    columns.gather(sum.view());
  }

  int64_t chunk_size(int64_t windows) const { return divide_up(divide_up(windows, max_chunks), at_once) * at_once; }

  /// The mean over the batch, of which each rank knows its share.
  double gather_loss(std::span<double> nll) const {
    shares.gather(nll, chunk_size(static_cast<int64_t>(nll.size())));
    return mean_per_dimension(nll);
  }

  double mean_per_dimension(std::span<const double> nll) const {
    double total = 0;
    for (const double value : nll) {
      total += value;
    }
    return total / (static_cast<double>(nll.size()) * static_cast<double>(dimensions));
  }

  const flow::Model& model;
  Shares shares;
  kernels::ThreadPool pool;
  bool training;
  int64_t at_once, dimensions;
  kernels::Buffer<float> mean, inverse_std;
  std::vector<std::unique_ptr<flow::Pass>> passes;
  std::vector<kernels::Stream> streams;
  int64_t row;  // a chunk's gradient in whole cache lines: no two chunks share one
  ColumnExchange columns;
  kernels::Buffer<float> chunks, sum;
  kernels::Buffer<int64_t> step{1};
  std::vector<float> latents;
};

Workers::Workers(const flow::Model& model, const io::NormaliserData& normaliser, int threads, bool training,
                 kernels::Communicator& ranks)
    : state_(std::make_unique<State>(model, normaliser, threads, training, ranks)) {}

Workers::~Workers() = default;

int Workers::threads() const {
  return state_->pool.threads();
}

Range Workers::share(int64_t windows) const {
  return state_->shares.mine(windows, state_->chunk_size(windows));
}

std::string Workers::describe() const {
  return std::to_string(threads()) + " threads";
}

double Workers::loss_and_gradient(const WindowBatch& batch, std::span<double> nll, int64_t step) {
  State& s = *state_;
  s.step[0] = step;
  const int64_t windows = batch.size();
  const double scale = 1.0 / (static_cast<double>(windows) * static_cast<double>(s.dimensions));
  const int64_t chunk_size = s.chunk_size(windows);
  const int64_t chunks = divide_up(windows, chunk_size);
  const Range mine = s.shares.mine(chunks, 1);
  const State::LossJob job{batch, nll, chunk_size, mine.first, scale};
  if (s.chunks.size() < mine.count * s.row) {
    s.chunks = kernels::Buffer<float>(mine.count * s.row);
  }
  if (!s.shares.alone()) {
    s.columns.begin(chunks);
  }
  // Two pointers fit std::function's own storage: no allocation.
  s.pool.run(mine.count, [&s, &job](int64_t at, int worker) { s.train_chunk(job, job.first_chunk + at, at, worker); });
  s.sum_chunks(chunks);
  s.model.finish_gradient(s.streams[0], s.sum.slice(0, s.model.raw_gradient_size()),
                          1.0 / static_cast<double>(s.dimensions));
  return s.gather_loss(nll.first(static_cast<size_t>(windows)));
}

double Workers::loss(const WindowBatch& batch, std::span<double> nll) {
  State& s = *state_;
  const Range mine = share(batch.size());
  s.deal(mine.first, mine.count, [&](const State::Part& part) {
    s.pass(part).loss(s.stream(part), s.load(batch, part), State::view(s.values(batch, part)),
                      {nll.data() + part.first, part.count, {}});
  });
  return s.gather_loss(nll.first(static_cast<size_t>(batch.size())));
}

kernels::Array<float> Workers::gradient() {
  return state_->sum.slice(0, state_->model.layout().size());
}

void Workers::score(const WindowBatch& batch, flow::WindowScores& out) {
  State& s = *state_;
  s.deal(0, batch.size(), [&](const State::Part& part) { s.score(batch, part, out); });
}

void Workers::encode(const WindowBatch& batch, flow::WindowScores& out, const LatentVisitor& visit) {
  State& s = *state_;
  const auto zc_size = static_cast<size_t>(s.model.zc_size()), zd_size = static_cast<size_t>(s.model.zd_size());
  const size_t size = zc_size + zd_size;
  const int64_t group = encoded_passes * s.at_once * threads();
  s.latents.resize(static_cast<size_t>(group) * size);
  for (int64_t first = 0; first < batch.size(); first += group) {
    const int64_t count = std::min(group, batch.size() - first);
    s.deal(first, count, [&](const State::Part& part) {
      s.score(batch, part, out);
      for (int64_t i = 0; i < part.count; ++i) {
        const auto at = static_cast<size_t>(part.first - first + i);
        s.pass(part).copy_latents(s.stream(part), i, std::span(s.latents).subspan(at * size, size));
      }
    });
    for (int64_t item = 0; item < count; ++item) {
      const std::span<const float> all(s.latents.data() + static_cast<size_t>(item) * size, size);
      visit(first + item, all.first(zc_size), all.last(zd_size));
    }
  }
}

kernels::Buffer<float> Workers::normalised(const WindowBatch& batch) {
  State& s = *state_;
  kernels::Buffer<float> x(batch.size() * s.dimensions);
  s.gather(batch, {0, batch.size(), 0},
           kernels::make_map(x.data(), batch.size(), 1, s.model.height(), s.model.width()));
  return x;
}

std::string Workers::first_non_finite(const WindowBatch& batch, int64_t window) {
  State& s = *state_;
  return s.shares.from_owner(window, batch.size(), s.chunk_size(batch.size()), [&] {
    const State::Part part{window, 1, 0};
    return s.pass(part).first_non_finite(s.stream(part), s.load(batch, part));
  });
}

}  // namespace evenflow::train
