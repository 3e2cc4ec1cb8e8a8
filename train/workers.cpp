#include "train/workers.h"

#include <algorithm>
#include <vector>

#include "io/error.h"
#include "kernels/adam.h"
#include "kernels/gather.h"

namespace evenflow::train {
namespace {

// Gradients of a batch are summed in at most this many parts, each by one worker: so many threads can have work.
constexpr int64_t max_chunks = 32;
// Floats of the gradient that a worker sums over the parts at a time: they stay in the first-level cache.
constexpr int64_t sum_block = 4096;
// Latents that encode holds at a time, per worker.
constexpr int64_t encoded_windows = 4;

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
  State(const flow::Glow& glow_in, const io::NormaliserData& normaliser, int threads, bool training_in)
      : glow(glow_in),
        pool(threads),
        training(training_in),
        dimensions(glow_in.shape().dimensions()),
        mean(to_buffer(normaliser.mean)),
        inverse_std(to_buffer(normaliser.std)) {
    require_bands(normaliser, glow.shape());
    for (int64_t i = 0; i < inverse_std.size(); ++i) inverse_std[i] = 1.0F / inverse_std[i];
    const auto mode = training ? flow::PassMode::train : flow::PassMode::score;
    for (int i = 0; i < pool.threads(); ++i) passes.push_back(std::make_unique<flow::GlowPass>(glow, 1, mode));
    streams.resize(static_cast<size_t>(pool.threads()));
    if (!training) return;
    row = divide_up(glow.raw_gradient_size(), 16) * 16;  // whole cache lines: no two chunks share one
    chunks = kernels::Buffer<float>(max_chunks * row);
    sum = kernels::Buffer<float>(row);
  }

  kernels::ConstMap load(const WindowBatch& batch, int64_t window, int worker) {
    const kernels::Map x = passes[static_cast<size_t>(worker)]->input().samples(0, 1);
    gather(batch, window, 1, x, worker);
    return x;
  }

  void gather(const WindowBatch& batch, int64_t first, int64_t count, const kernels::Map& x, int worker) {
    const kernels::Array<const float> frames{batch.frames.data(), static_cast<int64_t>(batch.frames.size())};
    const kernels::Array<const int64_t> start{batch.start.data() + first, count};
    kernels::gather_windows(streams[static_cast<size_t>(worker)], frames, start, mean.view(), inverse_std.view(), x);
  }

  flow::GlowPass& forward(const WindowBatch& batch, int64_t window, int worker) {
    flow::GlowPass& pass = *passes[static_cast<size_t>(worker)];
    pass.forward(streams[static_cast<size_t>(worker)], load(batch, window, worker));
    return pass;
  }

  std::span<const double> values(const flow::LatentPrior& prior, const WindowBatch& batch, int64_t window) const {
    const auto p = static_cast<size_t>(prior.parameters());
    if (batch.v.empty() || p == 0) return {};
    return batch.v.subspan(static_cast<size_t>(window) * p, p);
  }

  void score_window(const flow::LatentPrior& prior, const WindowBatch& batch, int64_t window, int worker,
                    flow::WindowScores& out) {
    flow::GlowPass& pass = forward(batch, window, worker);
    prior.score(streams[static_cast<size_t>(worker)], pass, glow.constant_log_det(), values(prior, batch, window),
                {&out, 1});
  }

  // Likelihood and latent gradients of the window that `pass` has just carried forward.
  void window_loss(const flow::LatentPrior& prior, const WindowBatch& batch, int64_t window, int worker, double scale,
                   double& nll) {
    const std::span<const double> v = values(prior, batch, window);
    prior.loss(streams[static_cast<size_t>(worker)], *passes[static_cast<size_t>(worker)], glow.constant_log_det(),
               {v.data(), static_cast<int64_t>(v.size()), {}}, scale, {&nll, 1, {}});
  }

  struct LossJob {
    const flow::LatentPrior& prior;
    const WindowBatch& batch;
    std::span<double> nll;
    int64_t chunk_size;
    double scale;
  };

  void train_chunk(const LossJob& job, int64_t chunk, int worker) {
    kernels::Stream& stream = streams[static_cast<size_t>(worker)];
    const kernels::Array<float> raw = chunks.slice(chunk * row, glow.raw_gradient_size());
    std::fill_n(raw.data, raw.size, 0.0F);
    const int64_t end = std::min((chunk + 1) * job.chunk_size, job.batch.size());
    for (int64_t i = chunk * job.chunk_size; i < end; ++i) {
      flow::GlowPass& pass = forward(job.batch, i, worker);
      window_loss(job.prior, job.batch, i, worker, job.scale, job.nll[static_cast<size_t>(i)]);
      pass.backward(stream, -job.scale, raw);
    }
  }

  void sum_chunks(int64_t count, int64_t block, int worker) {
    const int64_t first = block * sum_block;
    const int64_t columns = std::min(sum_block, row - first);
    kernels::sum_rows(streams[static_cast<size_t>(worker)], chunks.slice(first, (count - 1) * row + columns), count,
                      row, sum.slice(first, columns));
  }

  double mean_per_dimension(std::span<const double> nll) const {
    double total = 0;
    for (const double value : nll) total += value;
    return total / (static_cast<double>(nll.size()) * static_cast<double>(dimensions));
  }

  const flow::Glow& glow;
  kernels::ThreadPool pool;
  bool training;
  int64_t dimensions;
  kernels::Buffer<float> mean, inverse_std;
  std::vector<std::unique_ptr<flow::GlowPass>> passes;
  std::vector<kernels::Stream> streams;
  int64_t row = 0;
  kernels::Buffer<float> chunks, sum;
  std::vector<float> latents;
};

Workers::Workers(const flow::Glow& glow, const io::NormaliserData& normaliser, int threads, bool training)
    : state_(std::make_unique<State>(glow, normaliser, threads, training)) {}

Workers::~Workers() = default;

int Workers::threads() const {
  return state_->pool.threads();
}

std::string Workers::describe() const {
  return std::to_string(threads()) + " threads";
}

double Workers::loss_and_gradient(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<double> nll) {
  State& s = *state_;
  const int64_t windows = batch.size();
  const double scale = 1.0 / (static_cast<double>(windows) * static_cast<double>(s.dimensions));
  const State::LossJob job{prior, batch, nll, divide_up(windows, max_chunks), scale};
  const int64_t chunks = divide_up(windows, job.chunk_size);
  // Two pointers fit std::function's own storage: no allocation.
  s.pool.run(chunks, [&s, &job](int64_t chunk, int worker) { s.train_chunk(job, chunk, worker); });
  s.pool.run(divide_up(s.row, sum_block),
             [&s, chunks](int64_t block, int worker) { s.sum_chunks(chunks, block, worker); });
  s.glow.finish_gradient(s.streams[0], s.sum.slice(0, s.glow.raw_gradient_size()),
                         -1.0 / static_cast<double>(s.dimensions));
  return s.mean_per_dimension(nll.first(static_cast<size_t>(windows)));
}

double Workers::loss(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<double> nll) {
  State& s = *state_;
  s.pool.run(batch.size(), [&](int64_t i, int worker) {
    s.forward(batch, i, worker);
    s.window_loss(prior, batch, i, worker, 1.0, nll[static_cast<size_t>(i)]);
  });
  return s.mean_per_dimension(nll.first(static_cast<size_t>(batch.size())));
}

kernels::Array<float> Workers::gradient() {
  return state_->sum.slice(0, state_->glow.layout().size());
}

void Workers::score(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out) {
  State& s = *state_;
  // One by one: a window takes a millisecond, and a clip's few windows keep many threads busy.
  s.pool.run(batch.size(),
             [&](int64_t i, int worker) { s.score_window(prior, batch, i, worker, out[static_cast<size_t>(i)]); });
}

void Workers::encode(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out,
                     const LatentVisitor& visit) {
  State& s = *state_;
  const auto dimensions = static_cast<size_t>(s.dimensions);
  const auto zd_size = static_cast<size_t>(s.passes[0]->zd().samples(0, 1).size());
  const int64_t group = encoded_windows * threads();
  s.latents.resize(static_cast<size_t>(group) * dimensions);
  for (int64_t first = 0; first < batch.size(); first += group) {
    const int64_t count = std::min(group, batch.size() - first);
    s.pool.run(count, [&](int64_t item, int worker) {
      s.score_window(prior, batch, first + item, worker, out[static_cast<size_t>(first + item)]);
      flow::GlowPass& pass = *s.passes[static_cast<size_t>(worker)];
      float* to = s.latents.data() + static_cast<size_t>(item) * dimensions;
      for (int block = 0; block < s.glow.shape().blocks; ++block) {
        const kernels::Map z = pass.zc(block).samples(0, 1);
        to = std::copy_n(z.data, z.size(), to);
      }
      std::copy_n(pass.zd().data, zd_size, to);
    });
    for (int64_t item = 0; item < count; ++item) {
      const std::span<const float> all(s.latents.data() + static_cast<size_t>(item) * dimensions, dimensions);
      visit(first + item, all.first(dimensions - zd_size), all.last(zd_size));
    }
  }
}

kernels::Buffer<float> Workers::normalised(const WindowBatch& batch) {
  State& s = *state_;
  kernels::Buffer<float> x(batch.size() * s.dimensions);
  s.gather(batch, 0, batch.size(),
           kernels::make_map(x.data(), batch.size(), 1, s.glow.shape().height, s.glow.shape().width), 0);
  return x;
}

std::string Workers::first_non_finite(const WindowBatch& batch, int64_t window) {
  State& s = *state_;
  return s.passes[0]->first_non_finite(s.streams[0], s.load(batch, window, 0));
}

}  // namespace evenflow::train
