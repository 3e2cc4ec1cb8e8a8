#include "train/statistics/group_effects.h"

#include <algorithm>
#include <cstddef>

namespace evenflow::train {

GroupEffects group_effects(std::span<const double> residual, std::span<const int64_t> group) {
  const size_t groups = group.empty() ? 0 : static_cast<size_t>(*std::max_element(group.begin(), group.end()) + 1);
  GroupEffects out;
  out.effect.assign(groups, 0.0);
  out.explained.assign(groups, 0.0);
  std::vector<double> mean(groups, 0.0), count(groups, 0.0);
  for (size_t i = 0; i < residual.size(); ++i) {
    mean[static_cast<size_t>(group[i])] += residual[i];
    ++count[static_cast<size_t>(group[i])];
  }
  for (size_t g = 0; g < groups; ++g) {
    mean[g] /= count[g];
  }
  const auto observations = static_cast<double>(residual.size());
  const double repeated = observations - static_cast<double>(groups);
  if (repeated < static_cast<double>(least_repeated)) {
    return out;
  }
  constexpr double least_within = 0.1;
  double about_means = 0, of_means = 0;
  for (size_t i = 0; i < residual.size(); ++i) {
    const double deviation = residual[i] - mean[static_cast<size_t>(group[i])];
    about_means += deviation * deviation;
  }
  for (size_t g = 0; g < groups; ++g) {
    of_means += count[g] * mean[g] * mean[g];
  }
  out.within = std::max(about_means / repeated, least_within * (about_means + of_means) / observations);
  // E[sum of n_g mean_g^2] = n between + groups * within.
  out.between = std::max(0.0, (of_means - static_cast<double>(groups) * out.within) / observations);
  if (out.between <= 0.0) {
    return out;
  }
  for (size_t g = 0; g < groups; ++g) {
    const double known = count[g] * out.between / (count[g] * out.between + out.within);
    out.effect[g] = known * mean[g];
    out.explained[g] = known * out.between / (out.between + out.within);
  }
  return out;
}

}  // namespace evenflow::train
