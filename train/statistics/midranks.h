// Ranks as rank tests take them.
#pragma once

#include <span>
#include <vector>

namespace evenflow::train {

/// Of each value, from 1; equal values share the mean of their ranks.
std::vector<double> midranks(std::span<const double> values);

}  // namespace evenflow::train
