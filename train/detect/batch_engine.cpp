#include "train/detect/batch_engine.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/lanes.h"
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

BatchEngine::BatchEngine(const flow::Model& model, const io::NormaliserData& normaliser, int64_t batch, bool training,
                         kernels::Communicator& ranks)
    : model_(model),
      shares_(ranks),
      batch_(batch),
      stream_(model.device()),
      pass_(model.make_pass(batch, training ? flow::PassMode::train : flow::PassMode::score)),
      mean_(to_device(stream_, normaliser.mean)),
      inverse_std_(inverse_to_device(stream_, normaliser.std)),
      start_(batch, model.device()),
      nll_(batch, model.device()) {
  require_bands(normaliser, model);
  if (kernels::tool_attached()) {
    stream_.set_tracer(kernels::range_marker(model.device()));
  }
}

std::string BatchEngine::describe() const {
  return "batches of " + std::to_string(batch_);
}

void BatchEngine::hold(std::span<const float> frames) {
  if (frames.empty() || held(frames).size > 0) {
    return;
  }
  const kernels::MemoryScope beside_lanes;
  hold(frames, std::make_shared<kernels::Buffer<float>>(to_device(stream_, frames)));
}

void BatchEngine::hold(std::span<const float> frames, std::shared_ptr<const kernels::Buffer<float>> on_device) {
  held_.push_back({frames, std::move(on_device)});
}

kernels::Array<const float> BatchEngine::held(std::span<const float> frames) const {
  const auto found = std::find_if(held_.begin(), held_.end(), [&](const Held& h) {
    return h.host.data() == frames.data() && h.host.size() == frames.size();
  });
  if (found == held_.end()) {
    return {};
  }
  return found->device->view();
}

// Frames that are not held are copied for these windows alone, from the first frame they need to the last.
kernels::Array<const float> BatchEngine::frames_of(const WindowBatch& batch, int64_t first, int64_t count) {
  const auto begin = batch.start.begin() + first;
  shifted_start_.assign(begin, begin + count);
  if (const kernels::Array<const float> all = held(batch.frames); all.size > 0) {
    return all;
  }
  const auto [low, high] = std::minmax_element(shifted_start_.begin(), shifted_start_.end());
  const int64_t bands = model_.height();
  const int64_t from = *low;
  const int64_t floats = (*high + model_.width() - from) * bands;
  if (frames_.size() < floats) {
    frames_ = kernels::Buffer<float>(floats, model_.device());
  }
  for (int64_t& start : shifted_start_) {
    start -= from;
  }
  const kernels::Array<const float> host{batch.frames.data() + from * bands, floats, {}};
  kernels::copy(stream_, host, frames_.slice(0, floats));
  return frames_.slice(0, floats);
}

kernels::ConstMap BatchEngine::load(const WindowBatch& batch, int64_t first, int64_t count, bool with_values) {
  const kernels::Array<const float> frames = frames_of(batch, first, count);
  kernels::copy(stream_, kernels::Array<const int64_t>{shifted_start_.data(), count, {}}, start_.slice(0, count));
  const int64_t parameters = model_.parameter_count();
  if (with_values && parameters > 0) {
    if (v_.size() < batch_ * parameters) {
      v_ = kernels::Buffer<double>(batch_ * parameters, model_.device());
    }
    std::vector<double> unknown;
    const double* from = batch.v.data() + first * parameters;
    if (batch.v.empty()) {
      unknown.assign(static_cast<size_t>(count * parameters), std::numeric_limits<double>::quiet_NaN());
      from = unknown.data();
    }
    kernels::copy(stream_, kernels::Array<const double>{from, count * parameters, {}}, v_.slice(0, count * parameters));
    if (batch.v.empty()) {
      stream_.synchronise();  // `unknown` goes
    }
  }
  const kernels::Map x = pass_->input().samples(0, count);
  kernels::GatherWindows task{.frames = frames,
                              .start = start_.slice(0, count),
                              .mean = mean_.view(),
                              .inverse_std = inverse_std_.view(),
                              .x = x};
  if (!batch.changes.empty()) {
    if (changes_.size() == 0) {
      changes_ = kernels::Buffer<kernels::WindowChange>(batch_, model_.device());
    }
    const kernels::Array<const kernels::WindowChange> host{batch.changes.data() + first, count, {}};
    kernels::copy(stream_, host, changes_.slice(0, count));
    task.changes = changes_.slice(0, count);
    task.mels_per_band = batch.mels_per_band;
    task.moves = on_device(batch.moves);
  }
  kernels::gather_windows(stream_, task);
  return x;
}

kernels::BandMoves BatchEngine::on_device(const kernels::BandMoves& host) {
  const auto copied = [&](kernels::Array<const float> from, kernels::Buffer<float>& to) {
    if (to.size() < from.size) {
      to = kernels::Buffer<float>(from.size, model_.device());
    }
    kernels::copy(stream_, from, to.slice(0, from.size));
    return kernels::Array<const float>(to.slice(0, from.size));
  };
  return {copied(host.factor, factor_), copied(host.offset, offset_), copied(host.error, error_)};
}

double BatchEngine::loss(const WindowBatch& batch, std::span<double> nll) {
  const Range mine = share(batch.size());
  const int64_t end = mine.first + mine.count;
  for (int64_t first = mine.first; first < end; first += batch_) {
    const int64_t count = std::min(batch_, end - first);
    const kernels::ConstMap x = load(batch, first, count, true);
    pass_->loss(stream_, x, v_.slice(0, count * model_.parameter_count()), nll_.slice(0, count));
    kernels::download<double>(stream_, nll_.slice(0, count),
                              nll.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  }
  const auto all = nll.first(static_cast<size_t>(batch.size()));
  shares_.gather(all, 1);
  return std::accumulate(all.begin(), all.end(), 0.0) /
         (static_cast<double>(batch.size()) * static_cast<double>(model_.dimensions()));
}

void BatchEngine::score(const WindowBatch& batch, flow::WindowScores& out) {
  encode(batch, out, {});
}

void BatchEngine::encode(const WindowBatch& batch, flow::WindowScores& out, const LatentVisitor& visit) {
  const auto parameters = static_cast<size_t>(model_.parameter_count());
  for (int64_t first = 0; first < batch.size(); first += batch_) {
    const int64_t count = std::min(batch_, batch.size() - first);
    const kernels::ConstMap x = load(batch, first, count, false);
    const auto v = batch.v.empty() ? std::span<const double>{}
                                   : batch.v.subspan(static_cast<size_t>(first) * parameters,
                                                     static_cast<size_t>(count) * parameters);
    pass_->score(stream_, x, v, out, first);
    if (!visit) {
      continue;
    }
    visit_latents(first, count, visit);
  }
}

void BatchEngine::visit_latents(int64_t first, int64_t count, const LatentVisitor& visit) {
  const auto zc_size = static_cast<size_t>(model_.zc_size()), zd_size = static_cast<size_t>(model_.zd_size());
  const size_t size = zc_size + zd_size;
  latents_.resize(static_cast<size_t>(count) * size);
  const auto of = [&](int64_t i) { return std::span(latents_).subspan(static_cast<size_t>(i) * size, size); };
  for (int64_t i = 0; i < count; ++i) {
    pass_->copy_latents(stream_, i, of(i));
  }
  stream_.synchronise();
  for (int64_t i = 0; i < count; ++i) {
    visit(first + i, of(i).first(zc_size), of(i).last(zd_size));
  }
}

kernels::Buffer<float> BatchEngine::normalised(const WindowBatch& batch) {
  kernels::Buffer<float> x(batch.size() * model_.dimensions(), model_.device());
  for (int64_t first = 0; first < batch.size(); first += batch_) {
    const int64_t count = std::min(batch_, batch.size() - first);
    const kernels::ConstMap windows = load(batch, first, count, false);
    kernels::copy(stream_, kernels::Array<const float>{windows.data, windows.size(), model_.device()},
                  x.slice(first * model_.dimensions(), windows.size()));
    stream_.synchronise();  // the next load's starts take the place of these
  }
  return x;
}

std::string BatchEngine::first_non_finite(const WindowBatch& batch, int64_t window) {
  return shares_.from_owner(window, batch.size(), 1,
                            [&] { return pass_->first_non_finite(stream_, load(batch, window, 1, false)); });
}

}  // namespace evenflow::train
