// SPACE.toml: what a sweep varies, over which configuration, and what for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/choice.h"
#include "io/config.h"

namespace evenflow::io {

/// Where a key's values come from.
enum class DomainKind { choice, uniform, log_uniform, integer, log_integer };
template <>
inline constexpr auto choices<DomainKind> = std::to_array<Choice<DomainKind>>({{DomainKind::choice, "choice"},
                                                                               {DomainKind::uniform, "uniform"},
                                                                               {DomainKind::log_uniform, "log_uniform"},
                                                                               {DomainKind::integer, "integer"},
                                                                               {DomainKind::log_integer,
                                                                                "log_integer"}});

/// Who says which values are tried next. The last three are Optuna's.
enum class SamplerKind { grid, random, sobol, tpe, cmaes, nsga2 };
template <>
inline constexpr auto choices<SamplerKind> = std::to_array<Choice<SamplerKind>>({{SamplerKind::grid, "grid"},
                                                                                 {SamplerKind::random, "random"},
                                                                                 {SamplerKind::sobol, "sobol"},
                                                                                 {SamplerKind::tpe, "tpe"},
                                                                                 {SamplerKind::cmaes, "cmaes"},
                                                                                 {SamplerKind::nsga2, "nsga2"}});

/// What makes a trial good (docs/how-to/sweep.md).
enum class Objective {
  held_out_loss,
  auc,
  estimate_error,
  windows_per_s,
  leave_out_false_alarms,
  leave_out_missed,
  leave_out_estimate_error
};
template <>
inline constexpr auto choices<Objective> =
    std::to_array<Choice<Objective>>({{Objective::held_out_loss, "held_out_loss"},
                                      {Objective::auc, "auc"},
                                      {Objective::estimate_error, "estimate_error"},
                                      {Objective::windows_per_s, "windows_per_s"},
                                      {Objective::leave_out_false_alarms, "leave_out_false_alarms"},
                                      {Objective::leave_out_missed, "leave_out_missed"},
                                      {Objective::leave_out_estimate_error, "leave_out_estimate_error"}});

/// Holds where the key has one of the values; not where the key is itself left out.
struct DomainCondition {
  std::string key;
  std::vector<std::string> values;
  bool operator==(const DomainCondition&) const = default;
};

/// A key and the values that are tried. Values are texts as ConfigKey::set takes them.
struct Domain {
  std::string key;
  DomainKind kind = DomainKind::choice;
  std::vector<std::string> choices;
  double low = 0, high = 0;           ///< of all kinds but choice; both are values
  int64_t points = 0;                 ///< of a grid; 0: all whole numbers
  std::vector<DomainCondition> when;  ///< all must hold; otherwise the key keeps its value in the base
  bool operator==(const Domain&) const = default;
};

/// Asynchronous successive halving: of the trials that have trained for so many epochs, the best 1/factor go on.
struct HalvingSettings {
  int64_t min_epochs = 0;  ///< of the first rung; 0: every trial is trained to its end
  int64_t factor = 3;
  bool operator==(const HalvingSettings&) const = default;
};

struct SlurmSettings {
  std::vector<std::string> arguments;  ///< of sbatch: "--partition=gpu"
  int64_t grace_s = 120;               ///< from the signal to the time limit
  double poll_s = 10;                  ///< between questions to SLURM
  bool operator==(const SlurmSettings&) const = default;
};

struct SweepFile {
  Config base;
  std::vector<Domain> space;  ///< in the order of the file, but a condition's key before those that ask for it
  std::vector<Objective> objectives = {Objective::held_out_loss};
  SamplerKind sampler = SamplerKind::sobol;
  int64_t trials = 0;    ///< 0: all of a grid, 32 of the others
  int64_t repeats = 1;   ///< trainings of each trial, with the seeds train.seed, train.seed + 1, ...
  uint64_t seed = 1;     ///< the sampler's
  std::string labelled;  ///< features with labels, for auc and estimate_error; relative to the file
  HalvingSettings halving;
  SlurmSettings slurm;
  bool operator==(const SweepFile&) const = default;
};

/// UsageError names the file and line: an unknown key with the nearest known one, a value that its key does not allow,
/// a condition that can never hold, a key that no trial may change (the features', the seed). With `base`, that is the
/// base, whatever the file says of it.
SweepFile read_sweep_file(const std::filesystem::path& file, const Config* base = nullptr);

}  // namespace evenflow::io
