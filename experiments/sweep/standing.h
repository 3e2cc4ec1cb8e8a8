// Which trials are best so far, and a sweep as a table and as text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/sweep/sweep.h"

namespace evenflow::experiments {

/// The last rung that all repeats of a trial have reached, and so have values at; -1: none.
int64_t rung_with_values(const Trial& trial);
/// A trial's values there.
std::vector<double> values_of(const Trial& trial);

/// Trials with finite values, as places in Sweep::state, the best first: who trained longer comes first, then who has
/// the better value. With several objectives, the Pareto front of the longest trained first, by the first objective.
std::vector<size_t> ranked(const Sweep& sweep);
/// Of the trials that trained longest those that no other beats in all objectives; with one objective, the best.
std::vector<size_t> best_of(const Sweep& sweep);

/// "4 of 16 trials: 1 running, 3 finished".
std::string progress_text(const Sweep& sweep);
/// "0.8123 nats per dimension", with an interval over the repeats where there are several.
std::string value_text(const Sweep& sweep, const Trial& trial, size_t objective);
/// The best trials, at most `most`, with their values.
std::string best_text(const Sweep& sweep, size_t most);
/// trial,state,epochs,OBJECTIVE...,KEY...,begun,ended,why: a row per trial, in the order in which they were taken up.
std::string to_csv(const Sweep& sweep);
/// The best trial's configuration, with what it is; with several objectives, that of the first of the front. Empty
/// while no trial has a value.
std::string best_toml(const Sweep& sweep);

}  // namespace evenflow::experiments
