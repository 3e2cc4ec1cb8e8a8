#include "train/batch_engine.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/probe.h"

namespace evenflow::train {
namespace {

kernels::Buffer<float> to_device(kernels::Stream& stream, std::span<const float> values) {
  kernels::Buffer<float> buffer(static_cast<int64_t>(values.size()), stream.device());
  kernels::upload(stream, values, buffer.view());
  return buffer;
}

kernels::Buffer<float> inverse_to_device(kernels::Stream& stream, const std::vector<float>& std) {
  std::vector<float> inverse(std.size());
  std::transform(std.begin(), std.end(), inverse.begin(), [](float value) { return 1.0F / value; });
  return to_device(stream, inverse);
}

}  // namespace

BatchEngine::BatchEngine(const flow::Glow& glow, const io::NormaliserData& normaliser, int64_t batch, bool training)
    : glow_(glow),
      batch_(batch),
      stream_(glow.device()),
      pass_(glow, batch, training ? flow::PassMode::train : flow::PassMode::score),
      mean_(to_device(stream_, normaliser.mean)),
      inverse_std_(inverse_to_device(stream_, normaliser.std)),
      start_(batch, glow.device()),
      nll_(batch, glow.device()) {
  require_bands(normaliser, glow.shape());
  if (kernels::tool_attached()) stream_.set_tracer(kernels::range_marker(glow.device()));
}

std::string BatchEngine::describe() const {
  return "batches of " + std::to_string(batch_);
}

void BatchEngine::hold(std::span<const float> frames) {
  if (frames.empty() || held(frames).size > 0) return;
  held_.push_back({frames, to_device(stream_, frames)});
}

kernels::Array<const float> BatchEngine::held(std::span<const float> frames) const {
  const auto found = std::find_if(held_.begin(), held_.end(), [&](const Held& h) {
    return h.host.data() == frames.data() && h.host.size() == frames.size();
  });
  if (found == held_.end()) return {};
  return found->device.view();
}

// Frames that are not held are copied for these windows alone, from the first frame they need to the last.
kernels::Array<const float> BatchEngine::frames_of(const WindowBatch& batch, int64_t first, int64_t count) {
  const auto begin = batch.start.begin() + first;
  shifted_start_.assign(begin, begin + count);
  if (const kernels::Array<const float> all = held(batch.frames); all.size > 0) return all;
  const auto [low, high] = std::minmax_element(shifted_start_.begin(), shifted_start_.end());
  const int64_t bands = glow_.shape().height;
  const int64_t from = *low;
  const int64_t floats = (*high + glow_.shape().width - from) * bands;
  if (frames_.size() < floats) frames_ = kernels::Buffer<float>(floats, glow_.device());
  for (int64_t& start : shifted_start_) start -= from;
  const kernels::Array<const float> host{batch.frames.data() + from * bands, floats, {}};
  kernels::copy(stream_, host, frames_.slice(0, floats));
  return frames_.slice(0, floats);
}

kernels::ConstMap BatchEngine::gather(kernels::Array<const float> frames, kernels::Array<const int64_t> start) {
  const kernels::Map x = pass_.input().samples(0, start.size);
  kernels::gather_windows(stream_, frames, start, mean_.view(), inverse_std_.view(), x);
  return x;
}

kernels::ConstMap BatchEngine::load(const WindowBatch& batch, int64_t first, int64_t count, int64_t parameters) {
  const kernels::Array<const float> frames = frames_of(batch, first, count);
  kernels::copy(stream_, kernels::Array<const int64_t>{shifted_start_.data(), count, {}}, start_.slice(0, count));
  if (parameters > 0) {
    if (v_.size() < batch_ * parameters) v_ = kernels::Buffer<double>(batch_ * parameters, glow_.device());
    std::vector<double> unknown;
    const double* from = batch.v.data() + first * parameters;
    if (batch.v.empty()) {
      unknown.assign(static_cast<size_t>(count * parameters), std::numeric_limits<double>::quiet_NaN());
      from = unknown.data();
    }
    kernels::copy(stream_, kernels::Array<const double>{from, count * parameters, {}}, v_.slice(0, count * parameters));
    if (batch.v.empty()) stream_.synchronise();  // `unknown` goes
  }
  return gather(frames, start_.slice(0, count));
}

double BatchEngine::loss(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<double> nll) {
  const int64_t parameters = prior.parameters();
  for (int64_t first = 0; first < batch.size(); first += batch_) {
    const int64_t count = std::min(batch_, batch.size() - first);
    pass_.forward(stream_, load(batch, first, count, parameters));
    prior.loss(stream_, pass_, glow_.constant_log_det(), v_.slice(0, count * parameters), 1.0, nll_.slice(0, count));
    kernels::download<double>(stream_, nll_.slice(0, count),
                              nll.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  }
  const auto own = nll.first(static_cast<size_t>(batch.size()));
  return std::accumulate(own.begin(), own.end(), 0.0) /
         (static_cast<double>(batch.size()) * static_cast<double>(glow_.shape().dimensions()));
}

void BatchEngine::score(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out) {
  encode(prior, batch, out, {});
}

void BatchEngine::encode(const flow::LatentPrior& prior, const WindowBatch& batch, std::span<flow::WindowScores> out,
                         const LatentVisitor& visit) {
  const auto parameters = static_cast<size_t>(prior.parameters());
  for (int64_t first = 0; first < batch.size(); first += batch_) {
    const int64_t count = std::min(batch_, batch.size() - first);
    pass_.forward(stream_, load(batch, first, count, 0));
    const auto v = batch.v.empty() ? std::span<const double>{}
                                   : batch.v.subspan(static_cast<size_t>(first) * parameters,
                                                     static_cast<size_t>(count) * parameters);
    prior.score(stream_, pass_, glow_.constant_log_det(), v,
                out.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    if (!visit) continue;
    visit_latents(first, count, visit);
  }
}

void BatchEngine::visit_latents(int64_t first, int64_t count, const LatentVisitor& visit) {
  const auto dimensions = static_cast<size_t>(glow_.shape().dimensions());
  latents_.resize(static_cast<size_t>(count) * dimensions);
  float* to = latents_.data();
  const auto take = [&](const kernels::Map& z, int64_t i) {
    const int64_t floats = z.c * z.pixels();
    kernels::copy(stream_, kernels::Array<const float>{z.sample(i), floats, z.device},
                  kernels::Array<float>{to, floats, {}});
    to += floats;
  };
  for (int64_t i = 0; i < count; ++i) {
    for (int block = 0; block < glow_.shape().blocks; ++block) take(pass_.zc(block), i);
    take(pass_.zd(), i);
  }
  stream_.synchronise();
  const kernels::Map zd = pass_.zd();
  const auto zd_size = static_cast<size_t>(zd.c * zd.pixels());
  for (int64_t i = 0; i < count; ++i) {
    const std::span<const float> all(latents_.data() + static_cast<size_t>(i) * dimensions, dimensions);
    visit(first + i, all.first(dimensions - zd_size), all.last(zd_size));
  }
}

kernels::Buffer<float> BatchEngine::normalised(const WindowBatch& batch) {
  kernels::Buffer<float> x(batch.size() * glow_.shape().dimensions(), glow_.device());
  for (int64_t first = 0; first < batch.size(); first += batch_) {
    const int64_t count = std::min(batch_, batch.size() - first);
    const kernels::ConstMap windows = load(batch, first, count, 0);
    kernels::copy(stream_, kernels::Array<const float>{windows.data, windows.size(), glow_.device()},
                  x.slice(first * glow_.shape().dimensions(), windows.size()));
  }
  stream_.synchronise();
  return x;
}

std::string BatchEngine::first_non_finite(const WindowBatch& batch, int64_t window) {
  return pass_.first_non_finite(stream_, load(batch, window, 1, 0));
}

}  // namespace evenflow::train
