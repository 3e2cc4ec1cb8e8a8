#include "experiments/choose/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <set>
#include <sstream>

#include "io/error.h"

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

KeyFlag parse_setting(const std::string& word) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == word.size()) {
    throw io::UsageError("--candidate has '" + word + "', which is no key and value; write condition.k=0.01");
  }
  KeyFlag setting{word.substr(0, equals), word.substr(equals + 1)};
  if (const std::string why = fixed(setting.key); !why.empty()) {
    throw io::UsageError(fmt::format("--candidate sets {}, but {}; leave it out", setting.key, why));
  }
  return setting;
}

Candidate parse_candidate(const std::string& text, const io::Config& base) {
  Candidate candidate{"", {}, base};
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const KeyFlag setting = parse_setting(word);
    io::config_key(setting.key).set(candidate.config, setting.value);
    candidate.name += fmt::format("{}{}", candidate.name.empty() ? "" : ".", short_name(setting));
    candidate.settings.push_back(setting);
  }
  const auto sets = [&](const char* key) {
    return std::any_of(candidate.settings.begin(), candidate.settings.end(),
                       [&](const KeyFlag& setting) { return setting.key == key; });
  };
  if (sets("train.steps") && !sets("train.epochs")) {
    candidate.config.train.epochs = 0;  // as of the flags
  }
  if (candidate.name.empty()) {
    candidate.name = std::string("base");
  }
  constexpr size_t longest = 200;
  if (candidate.name.size() > longest) {
    throw io::UsageError("--candidate '" + text +
                         "' is too long for the name of a folder; put what all candidates "
                         "share into --config");
  }
  io::validate(candidate.config);
  return candidate;
}

}  // namespace

std::vector<Candidate> parse_candidates(const std::vector<std::string>& texts, const io::Config& base) {
  std::vector<Candidate> candidates;
  for (const std::string& text : texts) {
    Candidate candidate = parse_candidate(text, base);
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

std::vector<std::string> usual_candidates(const io::Config& base, const std::vector<double>& training_values,
                                          const std::string& speed, bool only_parameter) {
  constexpr double span = 6.0, smaller = 1.0 / 3.0, range_in_steps = 0.6, noise = 0.2;
  const bool flow = base.model.kind == io::ModelKind::glow;
  std::vector<std::string> couplings = {""}, slopes = {""}, augmentations = {""};
  if (flow) {
    couplings = {"model.coupling=sigmoid", "model.coupling=additive"};
  }
  if (flow && base.condition.enabled && base.condition.k.empty() && only_parameter) {
    const double k = span / (training_values.back() - training_values.front());
    slopes = {fmt::format("condition.k={:.3g}", k), fmt::format("condition.k={:.3g}", smaller * k)};
  }
  const bool stands_still =
      std::any_of(training_values.begin(), training_values.end(), [](double v) { return v == 0; });
  if (!speed.empty() && !stands_still) {
    double step = std::numeric_limits<double>::infinity();
    for (size_t i = 1; i < training_values.size(); ++i) {
      step = std::min(step, training_values[i] - training_values[i - 1]);
    }
    augmentations.push_back(fmt::format("augment.speed={:.3g} augment.speed_parameter={} augment.noise={:g}",
                                        range_in_steps * step, speed, noise));
  }
  std::vector<std::string> texts;
  for (const std::string& coupling : couplings) {
    for (const std::string& slope : slopes) {
      for (const std::string& augmentation : augmentations) {
        texts.push_back(fmt::format("{} {} {}", coupling, slope, augmentation));
      }
    }
  }
  return texts;
}

}  // namespace evenflow::experiments
