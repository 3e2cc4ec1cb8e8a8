// The settings that `evenflow choose` tries.
#pragma once

#include <string>
#include <vector>

#include "experiments/configuration.h"
#include "io/config.h"

namespace evenflow::experiments {

struct Candidate {
  std::string name;   ///< of its folder, and for people: "coupling_additive.k_0.01"; without settings "base"
  io::Config config;  ///< the base's with the settings
};

/// Keys and values with blanks between them: "model.coupling=additive condition.k=0.01". io::UsageError: a word that is
/// no key and value.
std::vector<KeyFlag> parse_settings(const std::string& text);

/// A candidate for each list of settings. io::UsageError: an unknown key, a value that is not allowed, a key that may
/// not differ between candidates (what prepare was told, the seed, the machine, what is left out, the score that
/// decides), two candidates that are the same.
std::vector<Candidate> make_candidates(const std::vector<std::vector<KeyFlag>>& settings, const io::Config& base);

/// Keys that say how long a training is.
bool is_training_length(const std::string& key);

/// Settings of an augmentation by train::usual_speed_range of the values, with train::usual_noise. None where that is
/// 0, or for a parameter that is no speed (`speed` is empty). training_values: two or more, ascending.
std::vector<KeyFlag> usual_augmentation(const std::vector<double>& training_values, const std::string& speed);

/// What is tried where no candidates are named: every combination of the affine and the additive coupling (of a flow),
/// of a slope k that spans [-3, 3] over the training values and a third of it (of a constrained flow with one
/// parameter, if the base gives no k), and of no augmentation and one by usual_augmentation. training_values:
/// ascending; speed: its name, empty if the parameter is none.
std::vector<std::vector<KeyFlag>> usual_settings(const io::Config& base, const std::vector<double>& training_values,
                                                 const std::string& speed, bool only_parameter);

}  // namespace evenflow::experiments
