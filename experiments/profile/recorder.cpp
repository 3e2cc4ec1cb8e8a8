#include "experiments/profile/recorder.h"

#include <algorithm>
#include <utility>

#include "kernels/copy.h"

namespace evenflow::experiments {

Recorder::Recorder(kernels::Stream& stream, std::vector<std::string> phases, int64_t flush_bytes, kernels::Tracer* also)
    : stream_(stream),
      phases_(std::move(phases)),
      other_(flush_bytes / static_cast<int64_t>(sizeof(float)), stream.device()),
      also_(also) {}

void Recorder::begin(const char* name, const kernels::Cost& cost) {
  if (also_ != nullptr) {
    also_->begin(name, cost);
  }
  open(name, cost);
}

void Recorder::open(const std::string& name, const kernels::Cost& cost) {
  Open range;
  const bool inside = !open_.empty() && (open_.back().kind == Kind::operation || open_.back().kind == Kind::part);
  if (inside) {
    range.kind = Kind::part;
  } else if (std::find(phases_.begin(), phases_.end(), name) != phases_.end()) {
    range.kind = Kind::phase;
    phase_ = name;
  } else if (name.starts_with("block")) {
    range.kind = Kind::place;
    place_ = name;
  } else {
    range.kind = Kind::operation;
  }
  if (range.kind == Kind::operation || range.kind == Kind::part) {
    const std::string operation = inside ? calls_[marks_[open_.back().mark].call].operation + "/" + name : name;
    range.mark = new_mark(call_of(operation, inside));
    if (mode_ == Mode::count) {
      kernels::Cost& counted = calls_[marks_[range.mark].call].cost;
      counted.bytes += cost.bytes;
      counted.flop += cost.flop;
    }
    if (mode_ == Mode::time) {
      if (!inside) {
        flush();
      }
      marks_[range.mark].begin.record(stream_);
    }
  }
  open_.push_back(range);
}

// A part is opened as often as it pleases its operation: its times are added up. An operation called twice at one
// place is two calls.
size_t Recorder::call_of(const std::string& operation, bool part) {
  const std::string here = phase_ + "/" + place_ + "/" + operation;
  int64_t occurrence = 0;
  if (part) {
    const auto owner =
        std::find_if(open_.rbegin(), open_.rend(), [](const Open& o) { return o.kind == Kind::operation; });
    occurrence = calls_[marks_[owner->mark].call].occurrence;
  } else {
    occurrence = occurrence_[here]++;
  }
  const auto [found, fresh] = index_.emplace(here + "#" + std::to_string(occurrence), calls_.size());
  if (fresh) {
    calls_.push_back({.phase = phase_,
                      .place = place_,
                      .operation = operation,
                      .occurrence = occurrence,
                      .part = part,
                      .seconds = {},
                      .launches = 0,
                      .cost = {}});
  }
  return found->second;
}

size_t Recorder::new_mark(size_t call) {
  if (used_marks_ == marks_.size()) {
    marks_.push_back({call, kernels::Event(stream_.device()), kernels::Event(stream_.device())});
  }
  marks_[used_marks_].call = call;
  return used_marks_++;
}

void Recorder::flush() {
  if (stream_.device().type != kernels::DeviceType::cpu) {
    stream_.set_tracer(nullptr);  // no part of the step
    if (other_.size() > 0) {
      kernels::zero(stream_, other_.view());
    }
    stream_.set_tracer(this);
    return;
  }
  // A word of every line, read and written: a library's memset may go round the caches.
  constexpr int64_t line = 64 / sizeof(float);
  for (int64_t i = 0; i < other_.size(); i += line) {
    other_[i] += 1.0F;
  }
}

void Recorder::end() noexcept {
  const Open range = open_.back();
  open_.pop_back();
  if (range.kind == Kind::phase) {
    phase_.clear();
  }
  if (range.kind == Kind::place) {
    place_.clear();
  }
  try {
    if (mode_ == Mode::time && (range.kind == Kind::operation || range.kind == Kind::part)) {
      marks_[range.mark].end.record(stream_);
    }
    if (also_ != nullptr) {
      also_->end();
    }
  } catch (...) {
    if (!failure_) {
      failure_ = std::current_exception();
    }
  }
}

void Recorder::launched(const kernels::KernelLaunch& launch) {
  const auto owner =
      std::find_if(open_.rbegin(), open_.rend(), [](const Open& o) { return o.kind == Kind::operation; });
  if (mode_ != Mode::count || owner == open_.rend()) {
    return;
  }
  ++calls_[marks_[owner->mark].call].launches;
  auto kernel = std::find_if(kernels_.begin(), kernels_.end(), [&](const auto& k) { return k.name == launch.name; });
  if (kernel == kernels_.end()) {
    kernel = kernels_.insert(kernel, {.launch = launch, .name = launch.name, .launches = 0});
  }
  if (launch.blocks > kernel->launch.blocks) {
    kernel->launch = launch;
  }
  ++kernel->launches;
}

void Recorder::next() {
  if (failure_) {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
  stream_.synchronise();
  if (mode_ == Mode::time) {
    std::vector<double> seconds(calls_.size());
    for (size_t i = 0; i < used_marks_; ++i) {
      seconds[marks_[i].call] += marks_[i].end.seconds_since(marks_[i].begin);
    }
    for (size_t i = 0; i < calls_.size(); ++i) {
      calls_[i].seconds.push_back(seconds[i]);
    }
  }
  used_marks_ = 0;
  occurrence_.clear();
}

}  // namespace evenflow::experiments
