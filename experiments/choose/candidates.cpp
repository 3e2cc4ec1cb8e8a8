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
  std::string name = fmt::format("{}_{}", setting.key.substr(setting.key.find('.') + 1), setting.value);
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

std::vector<std::string> usual_candidates(const std::vector<double>& training_values, bool is_speed) {
  constexpr double span = 6.0, smaller = 1.0 / 3.0, range_in_steps = 0.6, noise = 0.2;
  double step = std::numeric_limits<double>::infinity();
  for (size_t i = 1; i < training_values.size(); ++i) {
    step = std::min(step, training_values[i] - training_values[i - 1]);
  }
  const double k = span / (training_values.back() - training_values.front());
  std::vector<std::string> texts;
  for (const char* coupling : {"sigmoid", "additive"}) {
    for (const double slope : {k, smaller * k}) {
      const std::string plain = fmt::format("model.coupling={} condition.k={:.3g}", coupling, slope);
      texts.push_back(plain);
      if (is_speed) {
        texts.push_back(fmt::format("{} augment.speed={:.3g} augment.noise={:g}", plain, range_in_steps * step, noise));
      }
    }
  }
  return texts;
}

}  // namespace evenflow::experiments
