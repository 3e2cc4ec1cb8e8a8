// Clipping: a recording that was louder than its recorder could hold.
#pragma once

#include <cstdint>
#include <span>

namespace evenflow::frontend {

/// Samples that stand at a recording's greatest or least value, three or more in a row: what a limit leaves, and what
/// sound hardly ever does, whose crests are round. Found at any limit, not only at full scale, but in the samples as
/// they were recorded alone: resampling and lossy coding round the edges off.
struct Clipping {
  int64_t samples = 0;  ///< in such runs
  int64_t runs = 0;
  double first_s = 0, last_s = 0;  ///< of their first and last sample
  double level = 0;                ///< the larger of the limits that they stand at, of 1 at full scale
  /// It takes so many runs to be sure of: a few equal crests come by chance.
  static constexpr int64_t least_runs = 5;
  bool found() const { return runs >= least_runs; }
};

/// Of samples in [-1, 1]. None below 1 % of full scale, where the steps of 16 bits flatten crests.
Clipping clipping_of(std::span<const float> samples, int rate_hz);

}  // namespace evenflow::frontend
