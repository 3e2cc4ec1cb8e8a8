// Who says which values a sweep tries next: ask and tell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "experiments/sweep/space.h"

namespace evenflow::experiments {

/// What became of a point that a sampler gave.
struct Told {
  enum class End { paused, finished, failed };
  int64_t index = 0;  ///< the sampler's, of the point
  End end = End::finished;
  int64_t epoch = 0;             ///< after which the values are; 0: at the training's end
  std::vector<double> values{};  ///< an objective each, as it is reported; none of one that failed
};

class Sampler {
 public:
  struct Point {
    int64_t index = 0;  ///< by which it is told; above those of all points before
    Values values;
  };
  virtual ~Sampler() = default;
  /// The next point behind `after`, -1 for the first. None: the space is exhausted.
  virtual std::optional<Point> ask(int64_t after) = 0;
  virtual void tell(const Told& told) = 0;
};

/// Grid, random and Sobol: the point of an index is a function of the index and the seed, so a sweep that goes on asks
/// for what it would have asked for. io::UsageError: a grid of a space that has none.
std::unique_ptr<Sampler> make_sampler(const io::SweepFile& sweep);

/// A child process that runs Optuna, which keeps all that it is asked and told in `folder`/optuna.log, a journal of its
/// own that its dashboard reads. `known`: the indices that became trials. io::UsageError as require_optuna's.
std::unique_ptr<Sampler> make_optuna_sampler(const io::SweepFile& sweep, const std::filesystem::path& folder,
                                             const std::vector<bool>& maximised, const std::vector<int64_t>& known);

bool is_optunas(io::SamplerKind kind);
/// io::UsageError: no Python, or no Optuna in it. $EVENFLOW_PYTHON names a Python in place of python3.
void require_optuna();

}  // namespace evenflow::experiments
