// The paper's whole study on generated slide rails (`evenflow experiment paper`). docs/study.md is its protocol: what
// is trained, and the rules, written before any result, by which anything is chosen.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/rail/synth.h"
#include "experiments/study/figures.h"
#include "experiments/study/study.h"

namespace evenflow::experiments {

enum class PaperScale {
  full,       ///< the paper's recordings, five seeds: hours
  quick,      ///< a first look in under 15 minutes on two cores
  miniature,  ///< the same code on next to nothing, for tests: its figures mean nothing
};

struct PaperPlan {
  std::string scale;  ///< "full", "quick", "miniature"
  SynthOptions data;
  io::Config config;  ///< of every training, but for blocks, condition and seed
  int64_t seeds = 5;
  int64_t sweep_seeds = 2;  ///< the first so many: of the sweep over k and of zd's other half
  std::vector<double> k;    ///< to choose from, 1/(mm/s), ascending
  int long_factor = 4;      ///< epochs of the two long trainings (single-scale, the first seed), in those of the others
};
PaperPlan paper_plan(PaperScale scale);

struct PaperOptions {
  std::filesystem::path folder;
  PaperPlan plan;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const std::string& line)> log;
  std::function<void(const std::string& what, double fraction)> progress;
};

struct PaperStudy {
  PaperPlan plan;
  Study study;  ///< every system; interrupted: what is here is not whole
  std::vector<SweepPoint> sweep;
  double k = 0;  ///< the chosen one
  // Names of systems: the table's autoencoder and four flows, what else was the best of its day, and the constrained
  // ones with zd in the other half.
  std::string vae, autoencoder_gmm, classifier_gmm, multi_centred, clip_statistics;
  std::string single_conventional, multi_conventional, single_constrained, multi_constrained;
  std::string single_zd_first, multi_zd_first;
  std::string single_conventional_long, single_constrained_long;  ///< more epochs, the first seed alone
};

/// Makes the recordings, runs what is not done yet, chooses k. Errors as run_study's; io::UsageError: a folder that
/// holds a study of another plan.
PaperStudy run_paper(const PaperOptions& options);

/// The rule: of the centred k, the one whose multi-scale models give the held-out normal clips the lowest marginal nll,
/// mean over the sweep's seeds; the lower k of two that are equal.
double choose_k(const std::vector<SweepPoint>& sweep);

}  // namespace evenflow::experiments
