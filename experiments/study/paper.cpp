#include "experiments/study/paper.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "experiments/console.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr double dense_learning_rate = 1e-3;  // of autoencoders and classifiers

System constrained(const PaperPlan& plan, int blocks, double k, bool centred, bool zd_first = false) {
  System system;
  system.config = plan.config;
  system.config.model.blocks = blocks;
  system.config.condition.k = {k};
  if (!centred) {
    system.config.condition.v0 = {0.0};
  }
  if (zd_first) {
    system.config.condition.zd_half = io::ZdHalf::first;
  }
  system.name = fmt::format("{}_scale_k_{:g}{}{}", blocks == 1 ? "single" : "multi", k, centred ? "" : "_v0_0",
                            zd_first ? "_zd_first" : "");
  system.title = fmt::format("{}-scale, constrained (k {:g}{}{})", blocks == 1 ? "single" : "multi", k,
                             centred ? "" : ", v0 = 0", zd_first ? ", zd first half" : "");
  return system;
}

System conventional(const PaperPlan& plan, int blocks) {
  System system;
  system.config = plan.config;
  system.config.model.blocks = blocks;
  system.config.condition.enabled = false;
  const std::string scale = blocks == 1 ? "single" : "multi";
  system.name = scale + "_scale_conventional";
  system.title = scale + "-scale, conventional";
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

System autoencoder(const PaperPlan& plan, double k) {
  System system = dense(plan, io::ModelKind::vae, fmt::format("vae_k_{:g}", k), "autoencoder (VAE)");
  system.config.condition.k = {k};
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

System clip_statistics_system(const PaperPlan& plan) {
  System system;
  system.config = plan.config;
  system.config.condition.enabled = false;
  system.name = "clip_statistics";
  system.title = "clip statistics (10th, 50th, 90th percentile by mel band)";
  system.statistics = ClipStatistics::percentiles;
  return system;
}

System longer(const PaperPlan& plan, System system) {
  system.config.train.epochs *= plan.long_factor;
  system.name += "_long";
  system.title += fmt::format(", {} epochs", system.config.train.epochs);
  system.seeds = 1;
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

}  // namespace

PaperPlan paper_plan(PaperScale scale) {
  PaperPlan plan;
  plan.scale = "full";
  plan.data = synth_preset("paper");
  plan.k = {0.001, 0.003, 0.01, 0.03, 0.1};
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
  plan.sweep_seeds = 1;
  plan.k = {0.003, 0.01, 0.03};
  plan.data.train_distances_mm = {250, 500};
  plan.data.train_clips = 4;
  plan.data.test_normal_clips = 4;
  plan.data.test_anomaly_clips = 4;
  train.epochs = 20;
  if (scale == PaperScale::quick) {
    return plan;
  }

  plan.scale = "miniature";
  plan.k = {0.01, 0.03};
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

double choose_k(const std::vector<SweepPoint>& sweep) {
  const SweepPoint* best = nullptr;
  for (const SweepPoint& point : sweep) {
    if (!point.centred || !(point.held_out_nll == point.held_out_nll)) {
      continue;
    }
    const bool better = best == nullptr || point.held_out_nll < best->held_out_nll ||
                        (point.held_out_nll == best->held_out_nll && point.k < best->k);
    if (better) {
      best = &point;
    }
  }
  if (best == nullptr) {
    throw io::DataError("no k of the sweep trained to a finite likelihood of the held-out clips");
  }
  return best->k;
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

  std::vector<System> systems;
  for (const bool centred : {true, false}) {
    for (const double k : plan.k) {
      systems.push_back(constrained(plan, blocks, k, centred));
      systems.back().seeds = plan.sweep_seeds;
      paper.sweep.push_back({k, centred, systems.back().name, 0});
    }
  }
  paper.study = run(options, systems);
  if (paper.study.interrupted) {
    return paper;
  }
  for (SweepPoint& point : paper.sweep) {
    const std::vector<double> nll = held_out_nll(paper.study.find(point.system));
    point.held_out_nll = std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
  }
  paper.k = choose_k(paper.sweep);
  options.log(fmt::format("k = {:g} per mm/s: the lowest nll of held-out normal clips", paper.k));

  // The chosen k's sweep cells are the table's first seeds.
  const System multi = constrained(plan, blocks, paper.k, true), single = constrained(plan, 1, paper.k, true);
  for (System& system : systems) {
    if (system.name == multi.name) {
      system.seeds = 0;
    }
  }
  System multi_first = constrained(plan, blocks, paper.k, true, true),
         single_first = constrained(plan, 1, paper.k, true, true);
  multi_first.seeds = single_first.seeds = plan.sweep_seeds;
  const System single_plain = conventional(plan, 1), multi_plain = conventional(plan, blocks);
  const System vae = autoencoder(plan, paper.k);
  const System errors = plain_autoencoder(plan), classes = classifier(plan), adapted = centred(plan);
  const System statistics = clip_statistics_system(plan);
  systems.insert(systems.begin(), {vae, single_plain, single, multi_plain, errors, classes, adapted, statistics});
  const System long_plain = longer(plan, single_plain), long_single = longer(plan, single);
  systems.insert(systems.end(), {single_first, multi_first, long_plain, long_single});
  paper.vae = vae.name;
  paper.autoencoder_gmm = errors.name;
  paper.classifier_gmm = classes.name;
  paper.multi_centred = adapted.name;
  paper.clip_statistics = statistics.name;
  paper.single_conventional = single_plain.name;
  paper.multi_conventional = multi_plain.name;
  paper.single_constrained = single.name;
  paper.multi_constrained = multi.name;
  paper.single_zd_first = single_first.name;
  paper.multi_zd_first = multi_first.name;
  paper.single_conventional_long = long_plain.name;
  paper.single_constrained_long = long_single.name;
  paper.study = run(options, systems);
  return paper;
}

}  // namespace evenflow::experiments
