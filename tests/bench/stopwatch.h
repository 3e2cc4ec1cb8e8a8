// Hears the operations of a stream and adds up their time, each alone.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/trace.h"

namespace evenflow::bench {

// Block ("block1", or empty outside the steps) and the operation, parts of one below it: "coupling_forward/conv1".
using Key = std::pair<std::string, std::string>;

// Seconds of every range, own time alone: what nested ranges take is theirs.
class Stopwatch final : public kernels::Tracer {
 public:
  void begin(const char* name, const kernels::Cost& cost) override {
    const auto now = Clock::now();
    if (!open_.empty()) {
      open_.back().own += seconds(open_.back().since, now);
    }
    open_.push_back({name, now, 0.0});
    current_flop_[key()] += cost.flop;
  }
  void end() noexcept override {
    const auto now = Clock::now();
    Open& last = open_.back();
    current_[key()] += last.own + seconds(last.since, now);
    open_.pop_back();
    if (!open_.empty()) {
      open_.back().since = Clock::now();
    }
  }
  /// Ends a repetition: keeps each key's least.
  void next() {
    for (auto& [key, time] : current_) {
      const auto [best, fresh] = best_.emplace(key, time);
      if (!fresh) {
        best->second = std::min(best->second, time);
      }
    }
    current_.clear();
    flop_ = std::exchange(current_flop_, {});
  }
  const std::map<Key, double>& best() const { return best_; }
  /// Of the last repetition.
  double flop(const Key& key) const { return flop_.at(key); }

 private:
  using Clock = std::chrono::steady_clock;
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
  std::map<Key, double> current_, best_, current_flop_, flop_;
};

}  // namespace evenflow::bench
