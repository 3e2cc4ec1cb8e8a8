#include "experiments/choose/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>
#include <sstream>

#include "io/error.h"
#include "train/loop/augmentation.h"

namespace evenflow::experiments {
namespace {

/// Why candidates may not differ in a key; empty if they may.
std::string fixed(const std::string& key) {
  if (key.starts_with("frontend.")) {
    return "the features are prepared already";
  }
  if (key == "train.seed") {
    return "all candidates are trained from the same seed";
  }
  if (key == "train.machine") {
    return "all candidates are judged by the same clips";
  }
  if (key == "train.leave_out") {
    return "the values are left out one by one";
  }
  if (key == "score.score") {
    return "every score of a candidate is tried";
  }
  if (key == "score.threshold_quantile") {
    return "--false-alarms says it for all";
  }
  return "";
}

/// "coupling_additive": what can stand in a folder's name.
std::string short_name(const KeyFlag& setting) {
  const std::string last = setting.key.substr(setting.key.find('.') + 1);
  const auto& keys = io::config_keys();
  const auto alike =
      std::count_if(keys.begin(), keys.end(), [&](const io::ConfigKey& key) { return key.name.ends_with("." + last); });
  std::string name = fmt::format("{}_{}", alike > 1 ? setting.key : last, setting.value);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') {
      c = '_';
    }
  }
  return name;
}

Candidate make_candidate(const std::vector<KeyFlag>& settings, const io::Config& base) {
  std::string name;
  for (const KeyFlag& setting : settings) {
    if (const std::string why = fixed(setting.key); !why.empty()) {
      throw io::UsageError(fmt::format("a candidate sets {}, but {}; leave it out", setting.key, why));
    }
    name += fmt::format("{}{}", name.empty() ? "" : ".", short_name(setting));
  }
  constexpr size_t longest = 200;
  if (name.size() > longest) {
    throw io::UsageError(fmt::format(
        "the candidate {} is too long for the name of a folder; put what all candidates share into --config", name));
  }
  return {name.empty() ? std::string("base") : name, resolve({std::nullopt, settings}, base)};
}

}  // namespace

std::vector<KeyFlag> parse_settings(const std::string& text) {
  std::vector<KeyFlag> settings;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size()) {
      throw io::UsageError("--candidate has '" + word + "', which is no key and value; write condition.k=0.01");
    }
    settings.push_back({word.substr(0, equals), word.substr(equals + 1)});
  }
  return settings;
}

std::vector<Candidate> make_candidates(const std::vector<std::vector<KeyFlag>>& settings, const io::Config& base) {
  std::vector<Candidate> candidates;
  for (const std::vector<KeyFlag>& own : settings) {
    Candidate candidate = make_candidate(own, base);
    for (const Candidate& other : candidates) {
      if (other.config == candidate.config || other.name == candidate.name) {
        throw io::UsageError(
            fmt::format("the candidates {} and {} are the same; leave one out", other.name, candidate.name));
      }
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

bool is_training_length(const std::string& key) {
  return key == "train.epochs" || key == "train.steps" || key == "train.patience";
}

std::vector<KeyFlag> usual_augmentation(const std::vector<double>& training_values, const std::string& speed) {
  const double range = speed.empty() ? 0.0 : train::usual_speed_range(training_values);
  if (range == 0) {
    return {};
  }
  return {{"augment.speed", fmt::format("{:.3g}", range)},
          {"augment.speed_parameter", speed},
          {"augment.noise", fmt::format("{:g}", train::usual_noise)}};
}

std::vector<std::vector<KeyFlag>> usual_settings(const io::Config& base, const std::vector<double>& training_values,
                                                 const std::string& speed, bool only_parameter) {
  using Alternatives = std::vector<std::vector<KeyFlag>>;
  constexpr double span = 6.0, smaller = 1.0 / 3.0;
  const bool flow = base.model.kind == io::ModelKind::glow;
  Alternatives couplings = {{}}, slopes = {{}}, augmentations = {{}};
  if (flow) {
    couplings = {{{"model.coupling", "sigmoid"}}, {{"model.coupling", "additive"}}};
  }
  if (flow && base.condition.enabled && base.condition.k.empty() && only_parameter) {
    const double k = span / (training_values.back() - training_values.front());
    slopes = {{{"condition.k", fmt::format("{:.3g}", k)}}, {{"condition.k", fmt::format("{:.3g}", smaller * k)}}};
  }
  if (std::vector<KeyFlag> augmentation = usual_augmentation(training_values, speed); !augmentation.empty()) {
    augmentations.push_back(std::move(augmentation));
  }
  Alternatives all;
  for (const std::vector<KeyFlag>& coupling : couplings) {
    for (const std::vector<KeyFlag>& slope : slopes) {
      for (const std::vector<KeyFlag>& augmentation : augmentations) {
        std::vector<KeyFlag>& own = all.emplace_back(coupling);
        own.insert(own.end(), slope.begin(), slope.end());
        own.insert(own.end(), augmentation.begin(), augmentation.end());
      }
    }
  }
  return all;
}

}  // namespace evenflow::experiments
