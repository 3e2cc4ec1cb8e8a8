#include "experiments/sweep/state.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/error.h"

namespace evenflow::experiments {

std::string_view name_of(TrialState state) {
  switch (state) {
    case TrialState::waiting:
      return "waiting";
    case TrialState::running:
      return "running";
    case TrialState::paused:
      return "paused";
    case TrialState::finished:
      return "finished";
    case TrialState::failed:
      break;
  }
  return "failed";
}

bool Trial::running() const {
  return std::any_of(repeats.begin(), repeats.end(), [](const Repeat& repeat) { return repeat.running; });
}

bool Trial::reached(int64_t at_rung) const {
  return std::all_of(repeats.begin(), repeats.end(), [&](const Repeat& repeat) { return repeat.rung >= at_rung; });
}

std::vector<double> Trial::mean(int64_t at_rung) const {
  std::vector<double> sums = repeats.front().values[static_cast<size_t>(at_rung)];
  for (size_t r = 1; r < repeats.size(); ++r) {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] += repeats[r].values[static_cast<size_t>(at_rung)][i];
    }
  }
  for (double& sum : sums) {
    sum /= static_cast<double>(repeats.size());
  }
  return sums;
}

Repeat& SweepState::repeat_of(const Event& event) {
  if (event.trial < 0 || event.trial >= static_cast<int64_t>(trials_.size()) || event.seed < first_seed_ ||
      event.seed - first_seed_ >= static_cast<uint64_t>(repeats_) || event.rung < 0 || event.rung >= rungs_) {
    throw io::DataError(
        fmt::format("the journal tells of trial {}, seed {}, which it has not; was a file of it removed?", event.trial,
                    event.seed));
  }
  return trials_[static_cast<size_t>(event.trial)].repeats[event.seed - first_seed_];
}

void SweepState::apply(const Event& event) {
  if (event.kind == EventKind::trial) {
    if (event.trial != static_cast<int64_t>(trials_.size())) {
      throw io::DataError(fmt::format("the journal has no trial {}; was a file of it removed?", trials_.size()));
    }
    Trial trial{.index = event.index, .hash = event.hash, .values = event.values, .begun = event.time};
    for (int64_t i = 0; i < repeats_; ++i) {
      trial.repeats.push_back({.seed = first_seed_ + static_cast<uint64_t>(i)});
    }
    by_hash_[trial.hash] = trials_.size();
    trials_.push_back(std::move(trial));
    return;
  }
  Repeat& repeat = repeat_of(event);
  Trial& trial = trials_[static_cast<size_t>(event.trial)];
  trial.ended = event.time;
  repeat.running = event.kind == EventKind::start;
  switch (event.kind) {
    case EventKind::start:
      trial.rung = std::max(trial.rung, event.rung);
      repeat.running_to = event.rung;
      repeat.attempt = event.attempt;
      repeat.where = event.where;
      break;
    case EventKind::done:
      repeat.rung = event.rung;
      repeat.crashes = 0;
      repeat.values.resize(static_cast<size_t>(event.rung) + 1, event.objectives);
      repeat.values.back() = event.objectives;
      break;
    case EventKind::ended:
      repeat.crashes += event.why.empty() ? 0 : 1;
      break;
    case EventKind::failed:
      trial.failed = true;
      trial.why = event.why;
      break;
    default:  // retry
      trial.failed = false;
      trial.why.clear();
      repeat.crashes = 0;
  }
}

TrialState SweepState::state_of(const Trial& trial) const {
  if (trial.failed) {
    return TrialState::failed;
  }
  if (trial.running()) {
    return TrialState::running;
  }
  if (!trial.reached(trial.rung)) {
    return TrialState::waiting;
  }
  return trial.rung + 1 == rungs_ ? TrialState::finished : TrialState::paused;
}

std::map<TrialState, int64_t> SweepState::counts() const {
  std::map<TrialState, int64_t> counts;
  for (const Trial& trial : trials_) {
    ++counts[state_of(trial)];
  }
  return counts;
}

}  // namespace evenflow::experiments
