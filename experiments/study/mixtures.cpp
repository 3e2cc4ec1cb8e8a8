#include "experiments/study/mixtures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

// Its headers alone: mixtures need none of the libraries behind it. A fit that fails is an error of ours, not a line on
// the terminal.
#define ARMA_DONT_USE_WRAPPER
#define ARMA_DONT_USE_BLAS
#define ARMA_DONT_USE_LAPACK
#define ARMA_DONT_USE_ARPACK
#define ARMA_DONT_USE_SUPERLU
#define ARMA_DONT_USE_HDF5
#define ARMA_DONT_USE_OPENMP
#define ARMA_WARN_LEVEL 0
#include <armadillo>

#include "io/error.h"
#include "train/loop/selection.h"

namespace evenflow::experiments {
namespace {

constexpr double least_variance = 0.01;

/// Mean and standard deviation of each element.
struct Scale {
  arma::vec mean, deviation;
  explicit Scale(const Descriptors& all)
      : mean(all.length, arma::fill::zeros), deviation(all.length, arma::fill::zeros) {
    const auto n = static_cast<double>(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < all.length; ++j) {
        mean[j] += all[i][j] / n;
      }
    }
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j < all.length; ++j) {
        deviation[j] += std::pow(all[i][j] - mean[j], 2) / n;
      }
    }
    // An element that never changes says nothing in training; a change of it later does.
    for (double& d : deviation) {
      d = d > 0 ? std::sqrt(d) : 1.0;
    }
  }
  arma::vec operator()(std::span<const float> descriptor) const {
    arma::vec out(descriptor.size());
    for (size_t j = 0; j < descriptor.size(); ++j) {
      out[j] = (descriptor[j] - mean[j]) / deviation[j];
    }
    return out;
  }
};

std::string condition_of(const io::Clip& clip) {
  return fmt::format("{}", fmt::join(clip.parameter, ", "));
}

double mean_score(const ConditionMixtures& mixtures, const Descriptors& windows) {
  double sum = 0;
  for (size_t i = 0; i < windows.size(); ++i) {
    sum += mixtures.score(windows[i]);
  }
  return sum / static_cast<double>(windows.size());
}

}  // namespace

struct ConditionMixtures::State {
  Scale scale;
  std::vector<arma::gmm_diag> mixtures;
};

ConditionMixtures::ConditionMixtures(const Descriptors& normal, int64_t components)
    : state_(std::make_unique<State>(State{Scale(normal), {}})) {
  std::map<std::string, std::vector<size_t>> windows;
  for (size_t i = 0; i < normal.size(); ++i) {
    windows[normal.conditions[i]].push_back(i);
  }
  for (const auto& [condition, rows] : windows) {
    arma::mat data(normal.length, rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      data.col(i) = state_->scale(normal[rows[i]]);
    }
    arma::gmm_diag mixture;
    const auto count = std::min(static_cast<arma::uword>(components), static_cast<arma::uword>(rows.size()));
    // static_spread: starts that are spread out by a fixed rule, so that a fit is a function of its data.
    if (!data.is_finite() ||
        !mixture.learn(data, count, arma::eucl_dist, arma::static_spread, 10, 30, least_variance, false)) {
      throw io::DataError(fmt::format(
          "no Gaussian mixture can be fitted to the windows of condition {}; is the model's training sound?",
          condition));
    }
    state_->mixtures.push_back(std::move(mixture));
  }
}

ConditionMixtures::~ConditionMixtures() = default;
ConditionMixtures::ConditionMixtures(ConditionMixtures&&) noexcept = default;
ConditionMixtures& ConditionMixtures::operator=(ConditionMixtures&&) noexcept = default;

double ConditionMixtures::score(std::span<const float> descriptor) const {
  const arma::vec x = state_->scale(descriptor);
  double best = -std::numeric_limits<double>::infinity();
  for (const arma::gmm_diag& mixture : state_->mixtures) {
    best = std::max(best, mixture.log_p(x));
  }
  return -best;
}

train::ScoreTable mixture_scores(train::Detector& detector, const io::Shard& shard, uint64_t seed) {
  std::vector<Descriptors> clips;
  const auto length = static_cast<size_t>(detector.network().descriptor_size());
  detector.score_windows(shard, {}, [&](size_t clip, const flow::WindowScores& windows, int64_t first, int64_t end) {
    const std::span<const float> values = windows.descriptors.range(first, end);
    clips.push_back({length,
                     {values.begin(), values.end()},
                     {static_cast<size_t>(end - first), condition_of(shard.clips()[clip])}});
  });
  const io::TrainSettings& settings = detector.model().config.train;
  const train::HeldOut sides =
      train::hold_out(train::clips_to_train_on({&shard}, settings), settings.validation_fraction, seed);
  const auto gather = [&](const train::ClipSelection& side) {
    Descriptors all;
    for (const auto& [file, clip] : side.clips) {
      const Descriptors& own = clips.at(static_cast<size_t>(clip));
      all.length = own.length;
      all.values.insert(all.values.end(), own.values.begin(), own.values.end());
      all.conditions.insert(all.conditions.end(), own.conditions.begin(), own.conditions.end());
    }
    return all;
  };
  const Descriptors training = gather(sides.train), held_out = gather(sides.validation);
  std::unique_ptr<ConditionMixtures> best;
  double lowest = std::numeric_limits<double>::infinity();
  for (const int64_t components : {1, 2, 4}) {
    auto mixtures = std::make_unique<ConditionMixtures>(training, components);
    const double figure = held_out.size() == 0 ? static_cast<double>(components) : mean_score(*mixtures, held_out);
    if (best != nullptr && !(figure < lowest)) {
      continue;
    }
    lowest = figure;
    best = std::move(mixtures);
  }
  train::ScoreTable table = detector.table(shard.parameter_names(), detector.score(shard), shard.categories());
  table.score_names.emplace_back("score_gmm");
  for (size_t i = 0; i < table.clips.size(); ++i) {
    train::ClipScore& clip = table.clips[i];
    clip.score = clip.scores.emplace_back(mean_score(*best, clips[i]));
    clip.decision = -1;
  }
  return table;
}

}  // namespace evenflow::experiments
