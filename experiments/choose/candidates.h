// The settings that `evenflow choose` tries.
#pragma once

#include <string>
#include <vector>

#include "experiments/configuration.h"
#include "io/config.h"

namespace evenflow::experiments {

struct Candidate {
  std::string name;  ///< of its folder, and for people: "coupling_additive.k_0.01"; without settings "base"
  std::vector<KeyFlag> settings;
  io::Config config;  ///< the base's with the settings
};

/// A candidate for each text, keys and values with blanks between them: "model.coupling=additive condition.k=0.01".
/// io::UsageError: what is no key and value, a value that is not allowed, a key that may not differ between candidates
/// (what prepare was told, the seed, what is left out, the score that decides), two candidates that are the same.
std::vector<Candidate> parse_candidates(const std::vector<std::string>& texts, const io::Config& base);

/// What is tried where no candidates are named, for a parameter with these training values, ascending: each combination
/// of
/// - of a flow, the affine and the additive coupling;
/// - of a constrained flow with one parameter and no k in the base, a slope k that spans [-3, 3] over the training
/// values
///   and a third of it;
/// - of a speed (its name; empty: it is none) that is never 0, no augmentation and one by three fifths of the smallest
///   step between the values with a noise of 0.2.
std::vector<std::string> usual_candidates(const io::Config& base, const std::vector<double>& training_values,
                                          const std::string& speed, bool only_parameter);

}  // namespace evenflow::experiments
