// A conformal test martingale: do values that come one by one stay alike, or do they creep or jump?
//
// Each value's p-value is its rank among those before it, ties broken at random; while the values are exchangeable the
// p-values are independent and uniform. The Simple Jumper bets against that, 1 + e (p - 1/2) with e in {-1, 0, 1} and a
// share of the capital that moves between the three at every step. The capital is a martingale, so by Ville's
// inequality it ever reaches c with a probability of at most 1 / c, whatever the values' distribution (Vovk, Petej,
// Nouretdinov, Ahlberg, Carlsson and Gammerman 2021, "Retrain or not retrain: conformal test martingales for
// change-point detection", PMLR 152, 191-210).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenflow::train {

class ConformalMartingale {
 public:
  /// So many values, then all is forgotten and begun anew: memory is bounded, and the bound of 1 / c holds for each run
  /// of so many.
  static constexpr int64_t run_length = 8640;
  /// Ties are broken by a function of the seed and the value's number.
  explicit ConformalMartingale(uint64_t seed = 1) : seed_(seed) {}

  /// A finite value.
  void add(double value);
  /// Over the capital at the beginning; 1 of no values.
  double capital() const { return capital_[0] + capital_[1] + capital_[2]; }
  /// What it was before: the median of the older half of the run's values; NaN of no values.
  double earlier_level() const;
  /// The median of the last 15 values; NaN of no values.
  double level() const;
  /// Begins anew.
  void restart();

  /// For a state that outlives the program.
  const std::vector<double>& values() const { return values_; }
  /// Begins anew with these values of a run, in their order: the same state as of one that was never interrupted.
  void replay(const std::vector<double>& values);

 private:
  static constexpr size_t recent = 15;
  uint64_t seed_;
  std::vector<double> values_, sorted_;                                // in order of arrival; ascending
  std::array<double, 3> capital_ = {1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0};  // on falling, none, rising
};

}  // namespace evenflow::train
