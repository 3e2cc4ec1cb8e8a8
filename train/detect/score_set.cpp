#include "train/detect/score_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "flow/factory.h"
#include "io/error.h"

namespace evenflow::train {
namespace {

/// Names of the scores that decisions can be made on, with models of this kind.
std::vector<std::string> deciding_scores_of(const flow::ModelFactory& factory) {
  std::vector<std::string> names;
  for (const flow::Score& score : factory.scores()) {
    if (!score.needs_parameters) {
      names.push_back(score.name);
    }
  }
  for (const DerivedScore& derived : derived_scores()) {
    if (operands_of(derived, names)) {
      names.push_back(derived.score.name);
    }
  }
  return names;
}

}  // namespace

ScoreSet::ScoreSet(const std::vector<flow::Score>& of_model, const io::NormalData& normal) : scores_(of_model) {
  for (const DerivedScore& derived : derived_scores()) {
    const std::optional<Operands> of = operands_of(derived, names());
    if (!of) {
      continue;
    }
    Derivation derivation = derived.derivation(*of, normal);
    if (!derivation) {
      continue;
    }
    derivations_.push_back(std::move(derivation));
    scores_.push_back(derived.score);
    calibrated_ = calibrated_ || derived.rests_on == DerivedScore::RestsOn::calibration;
  }
}

std::vector<std::string> ScoreSet::names() const {
  std::vector<std::string> names;
  for (const flow::Score& score : scores_) {
    names.push_back(score.name);
  }
  return names;
}

std::optional<size_t> ScoreSet::find(const std::string& name) const {
  const auto found =
      std::find_if(scores_.begin(), scores_.end(), [&](const auto& score) { return score.name == name; });
  if (found == scores_.end()) {
    return std::nullopt;
  }
  return static_cast<size_t>(found - scores_.begin());
}

void ScoreSet::derive(ClipScore& clip) const {
  bool outside = false;
  for (const Derivation& derivation : derivations_) {
    const DerivedValue value = derivation(clip);
    clip.scores.push_back(value.score);
    outside = outside || value.outside;
  }
  clip.outside_calibration = calibrated_ ? (outside ? 1 : 0) : -1;
}

std::vector<io::ScoreReference> references_of(const std::vector<flow::Score>& of_model,
                                              std::span<const ClipScore> clips) {
  std::vector<io::ScoreReference> references;
  for (size_t s = 0; s < of_model.size(); ++s) {
    std::vector<double> values;
    for (const ClipScore& clip : clips) {
      if (std::isfinite(clip.scores[s])) {
        values.push_back(clip.scores[s]);
      }
    }
    if (values.empty()) {
      continue;
    }
    const auto n = static_cast<double>(values.size());
    double mean = 0, squares = 0;
    for (const double value : values) {
      mean += value / n;
    }
    for (const double value : values) {
      squares += (value - mean) * (value - mean);
    }
    // Of finite scores beyond 1e150 either may overflow; such a score has no reference.
    if (!std::isfinite(mean) || !std::isfinite(squares)) {
      continue;
    }
    references.push_back({of_model[s].name, mean, std::sqrt(squares / n)});
  }
  return references;
}

void require_score(const io::Config& config) {
  if (config.score.score == "auto") {
    return;
  }
  if (!config.condition.enabled && needs_calibration(config.score.score)) {
    throw io::UsageError(fmt::format(
        "score.score = {} takes a model that estimates its operating point, and condition.enabled is false; set it to "
        "true, or choose another score",
        config.score.score));
  }
  const flow::ModelFactory& factory = flow::factory_of(config);
  const std::vector<std::string> names = deciding_scores_of(factory);
  if (std::find(names.begin(), names.end(), config.score.score) != names.end()) {
    return;
  }
  throw io::UsageError(fmt::format("score.score = {} is not a score of model.kind = {}; use {}", config.score.score,
                                   io::name_of(factory.kind), fmt::join(names, " or ")));
}

std::vector<std::string> deciding_scores(const io::ModelData& model) {
  const flow::ModelFactory& factory = flow::factory_of(model.config);
  const ScoreSet has(factory.scores(), model.normal);
  std::vector<std::string> names = deciding_scores_of(factory);
  std::erase_if(names, [&](const std::string& name) { return !has.find(name); });
  return names;
}

std::string resolve_score(const io::Config& config) {
  return config.score.score == "auto" ? flow::factory_of(config).decides_by : config.score.score;
}

std::string decided_by(const io::ModelData& model) {
  io::Config config = model.config;
  if (!model.threshold.score.empty()) {
    config.score.score = model.threshold.score;
  }
  try {
    require_score(config);
  } catch (const io::UsageError& error) {
    throw io::DataError(fmt::format("the model cannot be used: {}; train it again", error.what()));
  }
  return resolve_score(config);
}

}  // namespace evenflow::train
