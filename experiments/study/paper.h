// The paper's whole study on generated slide rails (`evenflow experiment paper`). docs/study.md is its protocol: what
// is trained, and the rules, written before any result, by which anything is chosen.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/choose/choice.h"
#include "experiments/rail/synth.h"
#include "experiments/study/score_curves.h"
#include "experiments/study/study.h"

namespace evenflow::experiments {

enum class PaperScale {
  full,       ///< the paper's recordings, five seeds: hours
  quick,      ///< a first look: 19 minutes of processor time
  miniature,  ///< the same code on next to nothing, for tests: its figures mean nothing
};

struct PaperPlan {
  std::string scale;  ///< "full", "quick", "miniature"
  SynthOptions data;
  io::Config config;  ///< of every training, but for blocks, coupling, condition, augmentation and seed
  int64_t seeds = 5;
  std::vector<std::string> candidates;  ///< of the choice (choose/candidates.h); empty: the usual ones
  int64_t search_epochs = 12;           ///< of the trainings by which these are compared, if all others are longer
  /// Epochs after which the paper's own trainings are looked at, ascending (score_curves.h); empty: there are none.
  std::vector<int64_t> literal_epochs;
};
PaperPlan paper_plan(PaperScale scale);
/// Epochs at which the paper's 1000 are looked at.
std::vector<int64_t> literal_epochs();

struct PaperOptions {
  std::filesystem::path folder;
  PaperPlan plan;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
};

struct PaperStudy {
  PaperPlan plan;
  Study study;         ///< every system; interrupted: what is here is not whole
  Choice choice;       ///< settings and score, on normal training clips alone
  std::string chosen;  ///< the system of these settings
  // Names of the other systems.
  std::string vae, autoencoder_gmm, classifier_gmm, multi_centred, clip_statistics;
  std::string single_conventional, multi_conventional;
  std::string single_constrained, multi_constrained;  ///< affine, with the chosen k
  std::string single_additive, multi_additive;        ///< constrained, with the chosen k
  std::vector<ScoreCurve> curves;                     ///< of the paper's own trainings
};

/// Makes the recordings, chooses, and runs what is not done yet. Errors as run_study's and choose's; io::UsageError: a
/// folder that holds a study of another plan.
PaperStudy run_paper(const PaperOptions& options);

}  // namespace evenflow::experiments
