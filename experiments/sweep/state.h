// Where a sweep stands: its journal, replayed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "experiments/sweep/journal.h"
#include "experiments/sweep/space.h"

namespace evenflow::experiments {

/// One seed's training of a trial.
struct Repeat {
  uint64_t seed = 0;
  int64_t rung = -1;                          ///< the last that it reached
  int64_t attempt = 0;                        ///< how often it was started
  int64_t crashes = 0;                        ///< how often it ended by itself since it last reached a rung
  bool running = false;                       ///< handed to the runner, and not collected yet
  int64_t running_to = 0;                     ///< the rung that it is on its way to
  std::string where{};                        ///< how the runner finds it
  std::vector<std::vector<double>> values{};  ///< by rung, an objective each
};

enum class TrialState { waiting, running, paused, finished, failed };
std::string_view name_of(TrialState state);

struct Trial {
  int64_t index = 0;  ///< the sampler's
  std::string hash;
  Values values;
  int64_t rung = 0;  ///< the one that it is to reach
  std::vector<Repeat> repeats{};
  bool failed = false;
  std::string why{};  ///< it failed
  double begun = 0, ended = 0;

  bool running() const;
  /// All repeats have reached the rung.
  bool reached(int64_t rung) const;
  /// An objective each, the mean over the repeats at a rung that all have reached.
  std::vector<double> mean(int64_t at_rung) const;
};

class SweepState {
 public:
  /// `rungs`: how many there are.
  SweepState(int64_t rungs, uint64_t first_seed, int64_t repeats)
      : rungs_(rungs), first_seed_(first_seed), repeats_(repeats) {}

  /// io::DataError: an event that nothing led to.
  void apply(const Event& event);

  const std::vector<Trial>& trials() const { return trials_; }
  Trial& trial(size_t i) { return trials_[i]; }
  int64_t rungs() const { return rungs_; }
  TrialState state_of(const Trial& trial) const;
  /// Whether a configuration is a trial already.
  bool knows(const std::string& hash) const { return by_hash_.contains(hash); }
  std::map<TrialState, int64_t> counts() const;

 private:
  Repeat& repeat_of(const Event& event);
  int64_t rungs_;
  uint64_t first_seed_;
  int64_t repeats_;
  std::vector<Trial> trials_;
  std::map<std::string, size_t> by_hash_;
};

}  // namespace evenflow::experiments
