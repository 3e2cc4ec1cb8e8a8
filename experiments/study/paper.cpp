#include "experiments/study/paper.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "experiments/study/tables.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr double dense_learning_rate = 1e-3;  // of autoencoders and classifiers

std::string scale_of(int blocks) {
  return blocks == 1 ? "single" : "multi";
}

System conventional(const PaperPlan& plan, int blocks) {
  System system;
  system.config = plan.config;
  system.config.model.blocks = blocks;
  system.config.condition.enabled = false;
  system.name = scale_of(blocks) + "_scale_conventional";
  system.title = scale_of(blocks) + "-scale, conventional";
  return system;
}

System constrained(const PaperPlan& plan, int blocks, const std::vector<double>& k, io::CouplingKind coupling) {
  System system;
  system.config = plan.config;
  system.config.model.blocks = blocks;
  system.config.model.coupling = coupling;
  system.config.condition.k = k;
  const bool additive = coupling == io::CouplingKind::additive;
  system.name = scale_of(blocks) + (additive ? "_scale_additive" : "_scale_constrained");
  system.title = scale_of(blocks) + (additive ? "-scale, constrained, additive" : "-scale, constrained");
  return system;
}

System chosen_system(const Choice& choice) {
  System system;
  system.config = choice.chosen;
  system.name = "chosen";
  system.title = "multi-scale, chosen on normal clips";
  return system;
}

/// An autoencoder or a classifier.
System dense(const PaperPlan& plan, io::ModelKind kind, const std::string& name, const std::string& title) {
  System system;
  system.config = plan.config;
  system.config.model.kind = kind;
  system.config.train.learning_rate = dense_learning_rate;
  system.name = name;
  system.title = title;
  return system;
}

System autoencoder(const PaperPlan& plan, const std::vector<double>& k) {
  System system = dense(plan, io::ModelKind::vae, "vae", "autoencoder (VAE)");
  system.config.condition.k = k;
  return system;
}

System plain_autoencoder(const PaperPlan& plan) {
  System system = dense(plan, io::ModelKind::vae, "autoencoder_gmm", "autoencoder, GMM of its errors");
  system.config.vae.beta = 0.0;
  system.config.condition.enabled = false;
  system.mixtures = true;
  return system;
}

System classifier(const PaperPlan& plan) {
  System system = dense(plan, io::ModelKind::classifier, "classifier_gmm", "classifier, GMM of its embedding");
  system.mixtures = true;
  return system;
}

System centred(const PaperPlan& plan) {
  System system = conventional(plan, plan.config.model.blocks);
  system.name += "_centred";
  system.title += ", target-mean adaptation";
  system.centred = true;
  return system;
}

/// The paper's training (section 6.2): Adam at a constant rate of 1e-4, batches of 128, all windows.
System literally(const PaperPlan& plan, System system) {
  io::TrainSettings& train = system.config.train;
  const io::TrainSettings as_ours = train;
  train = {};
  train.device = as_ours.device;
  train.threads = as_ours.threads;
  train.batch = 128;
  train.learning_rate = 1e-4;
  train.epochs = plan.literal_epochs.back();
  system.name += "_literal";
  system.title += ", trained as in the paper";
  return system;
}

std::vector<uint64_t> first_seeds(int64_t count) {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  std::iota(seeds.begin(), seeds.end(), uint64_t{1});
  return seeds;
}

/// False: stopped.
bool make_rail(const PaperOptions& options) {
  SynthOptions data = options.plan.data;
  data.threads = options.plan.config.train.threads;
  data.stop = options.stop;
  data.progress = [&](size_t done, size_t total) {
    options.progress("recordings", static_cast<double>(done) / static_cast<double>(total));
  };
  return make_recordings(
      options.folder,
      fmt::format("# evenflow experiment paper: the recordings of this folder\nscale = {}\n", options.plan.scale),
      data);
}

Study run(const PaperOptions& options, const std::vector<System>& systems) {
  StudyOptions study;
  study.manifest = options.folder / "rail" / "manifest.csv";
  study.folder = options.folder;
  study.systems = systems;
  study.seeds = first_seeds(options.plan.seeds);
  study.stop = options.stop;
  study.log = options.log;
  study.progress = options.progress;
  return run_study(study);
}

/// Settings and score, on the normal training clips alone.
Choice choose_settings(const PaperOptions& options, const std::filesystem::path& features) {
  ChooseOptions choose_options;
  choose_options.shard = features;
  choose_options.folder = options.folder / "choice";
  choose_options.candidates = options.plan.candidates;
  choose_options.config = options.plan.config;
  choose_options.config.condition.parameters.clear();  // whoever chooses may use every column
  choose_options.search_epochs =
      options.plan.search_epochs < options.plan.config.train.epochs ? options.plan.search_epochs : 0;
  choose_options.stop = options.stop;
  choose_options.log = options.log;
  choose_options.progress = options.progress;
  Choice choice = choose(choose_options);
  if (!choice.interrupted) {
    write_choice(choice, choose_options.folder);
    options.log(fmt::format("chosen on normal clips: {}, decided by {}", choice.best().candidate, choice.best().score));
  }
  return choice;
}

std::vector<ScoreCurve> literal_curves(const PaperOptions& options, const Study& study,
                                       const std::vector<System>& systems) {
  std::vector<ScoreCurve> curves;
  for (const System& system : systems) {
    CurveOptions curve;
    curve.system = literally(options.plan, system);
    curve.epochs = options.plan.literal_epochs;
    curve.folder = options.folder / "cells" / curve.system.name / "seed_1";
    curve.stop = options.stop;
    curve.log = options.log;
    curve.progress = options.progress;
    curves.push_back(score_curve(study, curve));
    if (curves.back().interrupted) {
      break;
    }
  }
  return curves;
}

}  // namespace

std::vector<int64_t> literal_epochs() {
  return {10, 25, 50, 100, 200, 400, 700, 1000};
}

PaperPlan paper_plan(PaperScale scale) {
  PaperPlan plan;
  plan.scale = "full";
  plan.data = synth_preset("paper");
  plan.data.stroke_column = true;
  plan.config.augment = io::AugmentSettings::none();
  plan.config.condition.parameters = {"velocity_mm_s"};
  io::TrainSettings& train = plan.config.train;
  train.epochs = 40;
  train.batch = 32;
  train.learning_rate = 3e-3;
  train.schedule = io::Schedule::cosine;
  train.warmup_steps = 20;
  train.clip_norm = 5.0;
  train.windows_per_clip = 8;
  if (scale == PaperScale::full) {
    return plan;
  }

  plan.scale = "quick";
  plan.seeds = 2;
  plan.candidates = {"model.coupling=sigmoid", "model.coupling=additive",
                     "model.coupling=sigmoid augment.speed=60 augment.noise=0.2",
                     "model.coupling=additive augment.speed=60 augment.noise=0.2"};
  plan.search_epochs = 6;
  plan.data.train_distances_mm = {250, 500};
  plan.data.train_clips = 4;
  plan.data.test_normal_clips = 4;
  plan.data.test_anomaly_clips = 4;
  train.epochs = 20;
  if (scale == PaperScale::quick) {
    return plan;
  }

  plan.scale = "miniature";
  plan.candidates = {"model.coupling=sigmoid condition.k=0.01", "model.coupling=additive condition.k=0.01"};
  plan.search_epochs = 1;
  plan.literal_epochs = {1, 2};
  plan.data.train_velocities_mm_s = {200, 400, 600};
  plan.data.test_velocities_mm_s = {200, 300, 400, 500};
  plan.data.train_distances_mm = {250};
  plan.data.test_distances_mm = {250};
  plan.data.train_clips = 3;
  plan.data.test_normal_clips = 2;
  plan.data.test_anomaly_clips = 2;
  plan.data.rail.duration_s = 1.6;
  plan.config.window.window_frames = 32;
  plan.config.model.blocks = 2;
  plan.config.model.steps = 1;
  plan.config.model.hidden = 4;
  plan.config.vae.hidden = 8;
  plan.config.classifier.hidden = 8;
  plan.config.classifier.embedding = 4;
  train.epochs = 2;
  train.batch = 8;
  train.windows_per_clip = 0;
  return plan;
}

PaperStudy run_paper(const PaperOptions& options) {
  const PaperPlan& plan = options.plan;
  const int blocks = plan.config.model.blocks;
  PaperStudy paper;
  paper.plan = plan;
  paper.study.interrupted = !make_rail(options);
  if (paper.study.interrupted) {
    return paper;
  }

  const System single_plain = conventional(plan, 1), multi_plain = conventional(plan, blocks);
  const System statistics = clip_statistics_system(plan.config);
  paper.study = run(options, {statistics, multi_plain});
  if (paper.study.interrupted) {
    return paper;
  }
  paper.choice = choose_settings(options, paper.study.features);
  if (paper.choice.interrupted) {
    paper.study.interrupted = true;
    return paper;
  }

  const std::vector<double>& all = paper.choice.chosen.condition.k;
  const std::vector<double> k = all.empty() ? all : std::vector{all.front()};  // of the velocity, the first column
  const System chosen = chosen_system(paper.choice);
  const System multi = constrained(plan, blocks, k, io::CouplingKind::sigmoid);
  const System multi_additive = constrained(plan, blocks, k, io::CouplingKind::additive);
  const System single = constrained(plan, 1, k, io::CouplingKind::sigmoid);
  const System single_additive = constrained(plan, 1, k, io::CouplingKind::additive);
  const System vae = autoencoder(plan, k);
  const System errors = plain_autoencoder(plan), classes = classifier(plan), adapted = centred(plan);
  paper.chosen = chosen.name;
  paper.vae = vae.name;
  paper.autoencoder_gmm = errors.name;
  paper.classifier_gmm = classes.name;
  paper.multi_centred = adapted.name;
  paper.clip_statistics = statistics.name;
  paper.single_conventional = single_plain.name;
  paper.multi_conventional = multi_plain.name;
  paper.single_constrained = single.name;
  paper.multi_constrained = multi.name;
  paper.single_additive = single_additive.name;
  paper.multi_additive = multi_additive.name;
  // What decides the study comes first, with tables of its own: the rest takes hours.
  paper.study = run(options, {chosen, multi_plain, statistics});
  if (paper.study.interrupted) {
    return paper;
  }
  write_tables(study_tables(paper.study), options.folder);
  options.log("auc.csv and alarms.csv have what was chosen and what it is compared with; the other systems follow");
  paper.study = run(options, {chosen, multi_plain, statistics, multi_additive, multi, single_plain, single_additive,
                              single, vae, errors, classes, adapted});
  if (paper.study.interrupted || plan.literal_epochs.empty()) {
    return paper;
  }
  paper.curves = literal_curves(options, paper.study, {single_plain, single, single_additive});
  paper.study.interrupted = paper.curves.back().interrupted;
  return paper;
}

}  // namespace evenflow::experiments
