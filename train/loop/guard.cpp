#include "train/loop/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/text.h"

namespace evenflow::train {

void Guard::accept() {
  if (optimizer_.step() == good_.step) {
    return;
  }
  optimizer_.save(good_);
  in_a_row_ = 0;
}

void Guard::accept(int64_t good_step) {
  if (good_step == good_.step) {
    return;
  }
  good_.step = good_step;
  in_a_row_ = 0;
}

void Guard::reject(bool data_at_fault) {
  ++in_a_row_;
  if (data_at_fault) {
    return;
  }
  undo();
  factor_ *= 0.5;
}

void Guard::undo() {
  optimizer_.restore(good_);
}

void Guard::resume(OptimizerSnapshot good, double learning_rate_factor, int64_t in_a_row) {
  good_ = std::move(good);
  factor_ = learning_rate_factor;
  in_a_row_ = in_a_row;
}

namespace {

// Gradients flow from the last parameter to the first, so the last bad one is where it began.
std::string last_non_finite(const flow::ArenaLayout& layout, kernels::Array<const float> gradient) {
  for (auto entry = layout.entries().rbegin(); entry != layout.entries().rend(); ++entry) {
    const float* values = gradient.data + entry->offset;
    if (!std::all_of(values, values + entry->size, [](float g) { return std::isfinite(g); })) {
      return "gradient of " + entry->name;
    }
  }
  return "the gradient's norm";
}

}  // namespace

NonFinite trace_non_finite(Engine& engine, const flow::ArenaLayout& layout, const WindowBatch& batch,
                           std::span<const WindowRef> refs, std::span<const double> nll,
                           kernels::Array<const float> gradient) {
  NonFinite found;
  for (size_t i = 0; i < refs.size(); ++i) {
    if (std::isfinite(nll[i])) {
      continue;
    }
    found.windows.push_back(refs[i]);
    if (found.layer.empty()) {
      found.layer = engine.first_non_finite(batch, static_cast<int64_t>(i));
    }
  }
  if (found.windows.empty()) {
    found.windows.assign(refs.begin(), refs.end());
    found.layer = last_non_finite(layout, gradient);
  }
  if (found.layer.empty()) {
    found.layer = "the likelihood";
  }
  return found;
}

std::string describe_windows(std::span<const WindowRef> windows, const std::vector<const io::Shard*>& shards) {
  std::vector<std::string> places;
  for (const WindowRef& window : windows) {
    const io::Shard& shard = *shards[static_cast<size_t>(window.shard)];
    const auto clip = static_cast<size_t>(window.clip);
    const double seconds = static_cast<double>((window.frame - shard.offsets()[clip]) * shard.frontend().hop_samples) /
                           shard.frontend().sample_rate_hz;
    places.push_back(fmt::format("clip '{}' at {:.3f} s", shard.clips()[clip].path.string(), seconds));
  }
  return io::first_names(places);
}

}  // namespace evenflow::train
