#include "experiments/study/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <stdexcept>

#include "experiments/console.h"
#include "experiments/recordings.h"
#include "experiments/study/cell.h"
#include "experiments/study/centring.h"
#include "experiments/study/groups.h"
#include "experiments/study/mixtures.h"
#include "frontend/prepare.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "io/shard.h"
#include "train/detect/config_match.h"
#include "train/loop/selection.h"
#include "train/loop/training_data.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

void require_number(const io::Manifest& manifest, const std::string& named) {
  if (!io::categories_of(manifest.categories, 0).empty()) {
    throw io::DataError(fmt::format(
        "{} has names of '{}', its first parameter, and a study goes over the values of a number; put the column of "
        "one first",
        named, manifest.parameter_names.front()));
  }
}

namespace {

namespace fs = std::filesystem;

/// What the training clips combine.
train::Combinations trained_combinations(const io::Manifest& manifest) {
  std::vector<std::vector<double>> rows;
  for (const io::Clip& clip : manifest.clips) {
    if (clip.split == io::Split::train) {
      rows.push_back(clip.parameter);
    }
  }
  return combinations_of(rows, manifest.parameter_names, manifest.categories);
}

/// What a study needs of its recordings: a parameter with two or more values in training, and clips of both classes at
/// values, or at combinations of values, that training has not.
void require_study(const io::Manifest& manifest, const fs::path& file) {
  const std::string named = fmt::format("'{}'", file.string());
  if (manifest.parameter_names.empty()) {
    throw io::DataError(named +
                        " has no parameter column; a study compares seen with unseen values of one, so add a "
                        "column with its unit in the name (velocity_mm_s)");
  }
  const std::string& parameter = manifest.parameter_names.front();
  require_number(manifest, named);
  std::set<double> trained;
  for (const io::Clip& clip : manifest.clips) {
    const double value = clip.parameter.front();
    if (clip.split == io::Split::train && !std::isnan(value)) {
      trained.insert(value);
    }
  }
  if (trained.size() < 2) {
    throw io::DataError(fmt::format("{} has {} of {} in its training clips; a study needs two or more", named,
                                    count_text(static_cast<int64_t>(trained.size()), "value"), parameter));
  }
  const train::OperatingPoints points({trained.begin(), trained.end()});
  const train::Combinations combinations = trained_combinations(manifest);
  const auto is_unseen = [&](const io::Clip& clip) {
    return clip.split == io::Split::test && (points.of(clip.parameter.front()) == train::Familiarity::unseen ||
                                             combinations.of(clip.parameter) == train::Familiarity::unseen);
  };
  if (std::none_of(manifest.clips.begin(), manifest.clips.end(), is_unseen)) {
    throw io::DataError(
        fmt::format("{} has no test clip at a value of {} that was not trained on, nor at values that were not "
                    "trained on together; move the clips of one value out of training",
                    named, parameter));
  }
  int64_t normal = 0, anomalous = 0;
  for (const io::Clip& clip : manifest.clips) {
    if (clip.label < 0 || !is_unseen(clip)) {
      continue;
    }
    ++(clip.label == 1 ? anomalous : normal);
  }
  if (normal == 0 || anomalous == 0) {
    throw io::DataError(
        fmt::format("{} has {} normal and {} anomalous test clips at values of {} that were not trained on, or not "
                    "together with another parameter's; an AUC takes both",
                    named, normal, anomalous, parameter));
  }
}

std::string to_csv(const io::Manifest& manifest) {
  // Most have neither, and studies of older programs have neither column.
  const bool places = std::any_of(manifest.clips.begin(), manifest.clips.end(),
                                  [](const io::Clip& clip) { return !clip.domain.empty() || !clip.section.empty(); });
  std::string text = places ? "path,split,label,machine,domain,section" : "path,split,label,machine";
  for (size_t p = 0; p < manifest.parameter_names.size(); ++p) {
    const bool is_category = !io::categories_of(manifest.categories, p).empty();
    text += fmt::format(",{}", io::csv_cell(manifest.parameter_names[p] + (is_category ? io::category_suffix : "")));
  }
  text += "\n";
  for (const io::Clip& clip : manifest.clips) {
    text += fmt::format("{},{},{},{}", io::csv_cell(file_of(manifest, clip).string()),
                        clip.split == io::Split::train ? "train" : "test", clip.label, io::csv_cell(clip.machine));
    if (places) {
      text += fmt::format(",{},{}", clip.domain, io::csv_cell(clip.section));
    }
    for (size_t p = 0; p < clip.parameter.size(); ++p) {
      text += fmt::format(",{}",
                          io::csv_cell(io::value_text(clip.parameter[p], io::categories_of(manifest.categories, p))));
    }
    text += "\n";
  }
  return text;
}

class Running {
 public:
  explicit Running(const StudyOptions& options)
      : o_(options), manifest_(options.recordings ? *options.recordings : read_clips(options.manifest)) {}

  Study run() {
    if (!o_.recordings) {
      require_study(manifest_, o_.manifest);
    }
    require_recordings(manifest_, o_.manifest);
    drop_repeated(manifest_, o_.manifest);
    for (const std::string& note : manifest_.notes) {
      o_.log("note: " + note);
    }
    if (o_.claim) {
      o_.claim();
    }
    claim_recordings(manifest_, o_.manifest, o_.folder);
    Study study;
    study.seeds = o_.seeds;
    study.parameter = manifest_.parameter_names.front();
    study.features = features();
    study.interrupted = !prepare();
    if (study.interrupted) {
      return study;
    }
    study.training_values = training_values();
    log_left_out();
    // Seed by seed: the table is complete, if rough, after the first.
    for (const uint64_t seed : o_.seeds) {
      for (const System& system : o_.systems) {
        study.interrupted = study.interrupted || !run_cell(system, seed);
        if (study.interrupted) {
          return study;
        }
      }
    }
    for (const System& system : o_.systems) {
      SystemScores scores{system, {}, {}, {}};
      for (const uint64_t seed : o_.seeds) {
        scores.runs.push_back(train::read_scores(cell(system, seed) / "scores.csv"));
        scores.folders.push_back(cell(system, seed) / "run");
        scores.normal.push_back(normal_rows(system, seed));
      }
      log_missing_scores(scores);
      study.systems.push_back(std::move(scores));
    }
    return study;
  }

 private:
  fs::path features() const { return o_.folder / "features.h5"; }
  fs::path features_of(const System& system) const { return system.centred ? o_.folder / "centred.h5" : features(); }
  fs::path cell(const System& system, uint64_t seed) const {
    return o_.folder / "cells" / system.name / fmt::format("seed_{}", seed);
  }

  std::vector<double> training_values() const {
    const io::Shard shard(features());
    std::vector<io::Clip> trained;
    for (const auto& [file, clip] : train::clips_to_train_on({&shard}, o_.systems.front().config.train).clips) {
      trained.push_back(shard.clips()[static_cast<size_t>(clip)]);
    }
    return distinct_values(trained, 0);
  }

  /// What zd does not carry of the parameters, and why, which else only the trainings' logs say.
  void log_left_out() const {
    const io::Shard shard(features());
    std::set<std::string> notes;
    for (const System& system : o_.systems) {
      std::vector<std::string> own;
      if (!system.statistics) {
        train::fit_condition_to(train::clips_to_train_on({&shard}, system.config.train), system.config, own);
      }
      notes.insert(own.begin(), own.end());
    }
    for (const std::string& note : notes) {
      o_.log("note: " + note);
    }
  }

  /// A cell that an older program left may lack scores.
  void log_missing_scores(const SystemScores& system) const {
    std::set<std::string> all;
    for (const train::ScoreTable& run : system.runs) {
      all.insert(run.score_names.begin(), run.score_names.end());
    }
    for (size_t i = 0; i < system.runs.size(); ++i) {
      std::vector<std::string> missing(all.begin(), all.end());
      const std::vector<std::string>& own = system.runs[i].score_names;
      std::erase_if(missing,
                    [&](const std::string& name) { return std::find(own.begin(), own.end(), name) != own.end(); });
      if (!missing.empty()) {
        o_.log(
            fmt::format("note: '{}' has no {}, unlike another seed of the same system, so the tables leave that out; "
                        "remove the folder, and this program trains it again",
                        cell(system.system, o_.seeds[i]).string(), fmt::join(missing, ", ")));
      }
    }
  }

  // The tables have the shard's clips in its order.
  NormalRows normal_rows(const System& system, uint64_t seed) const {
    const io::Shard shard(features());
    const io::TrainSettings& train = system.config.train;
    const train::HeldOut sides =
        train::hold_out(train::clips_to_train_on({&shard}, train), train.validation_fraction, seed);
    const auto rows_of = [](const train::ClipSelection& side) {
      std::vector<size_t> rows;
      for (const auto& [file, clip] : side.clips) {
        rows.push_back(static_cast<size_t>(clip));
      }
      return rows;
    };
    return {rows_of(sides.train), rows_of(sides.validation)};
  }

  bool same_names(const io::Shard& shard) const {
    for (size_t p = 0; p < manifest_.parameter_names.size(); ++p) {
      if (io::categories_of(shard.categories(), p) != io::categories_of(manifest_.categories, p)) {
        return false;
      }
    }
    return true;
  }

  /// Features that lie in the folder are of the recordings of this study.
  void require_of_recordings(const io::Shard& shard) const {
    const auto same = [](const io::Clip& a, const io::Clip& b) { return a.path == b.path && agree(a, b); };
    const std::span<const io::Clip> clips = shard.clips();
    if (shard.parameter_names() == manifest_.parameter_names && same_names(shard) &&
        std::equal(clips.begin(), clips.end(), manifest_.clips.begin(), manifest_.clips.end(), same)) {
      return;
    }
    throw io::UsageError(
        fmt::format("'{}' holds features of other recordings than '{}' lists; move it away, or choose another folder",
                    features().string(), o_.manifest.string()));
  }

  /// False: stopped.
  bool prepare() {
    const io::Config& config = o_.systems.front().config;
    if (fs::exists(features())) {
      const io::Shard shard(features());
      train::require_frontend(shard, config.frontend, "the configuration");
      require_of_recordings(shard);
      return true;
    }
    frontend::PrepareOptions options;
    options.frontend = config.frontend;
    options.min_frames = config.window.window_frames;
    options.threads = config.train.threads;
    options.stop = o_.stop;
    options.progress = [&](size_t done, size_t total) {
      o_.progress("features", static_cast<double>(done) / static_cast<double>(total));
    };
    const frontend::PrepareResult result = frontend::prepare(manifest_, features(), options);
    for (const std::string& line : result.notes) {
      o_.log(line);
    }
    return !result.stopped;
  }

  /// False: stopped.
  bool run_cell(const System& system, uint64_t seed) {
    const fs::path folder = cell(system, seed);
    Cell training{folder / "run", fmt::format("{}, seed {}", system.title, seed), system.config, features_of(system)};
    training.config.train.seed = seed;
    require_same_training(training);
    const fs::path scores = folder / "scores.csv";
    if (fs::exists(scores)) {
      return true;
    }
    if (!fs::exists(training.shard)) {
      centre_by_value(io::Shard(features()), training.shard);
    }
    if (system.statistics) {
      io::make_folder(folder);
      train::write_scores(scores,
                          statistics_scores(io::Shard(training.shard), training.config.train, *system.statistics));
      return true;
    }
    if (!train_cell(training, {o_.stop, o_.progress})) {
      return false;
    }
    score(system, seed, training.run / "model.h5", training.config.train, scores);
    o_.log(fmt::format("{}: done", training.title));
    return true;
  }

  void score(const System& system, uint64_t seed, const fs::path& model, const io::TrainSettings& compute,
             const fs::path& out) const {
    train::Detector detector(model, compute.device, compute.threads);
    const io::Shard shard(features_of(system));
    const train::ScoreTable table =
        system.mixtures ? mixture_scores(detector, shard, seed)
                        : detector.table(shard.parameter_names(), detector.score(shard), shard.categories());
    const auto without =
        std::count_if(table.clips.begin(), table.clips.end(), [](const auto& s) { return !std::isfinite(s.score); });
    if (without > 0) {
      o_.log(fmt::format("{}, seed {}: {} without a finite score; the tables leave out its figures", system.title, seed,
                         count_text(without, "clip")));
    }
    train::write_scores(out, table);
  }

  const StudyOptions& o_;
  io::Manifest manifest_;
};

}  // namespace

std::vector<System> flow_systems(const io::Config& base) {
  std::vector<System> systems;
  for (const bool multi : {false, true}) {
    for (const bool constrained : {false, true}) {
      io::Config config = base;
      config.model.blocks = !multi ? 1 : base.model.blocks > 1 ? base.model.blocks : io::ModelSettings{}.blocks;
      config.condition.enabled = constrained;
      const std::string scale = multi ? "multi" : "single";
      const std::string kind = constrained ? "constrained" : "conventional";
      systems.push_back({scale + "_scale_" + kind, scale + "-scale, " + kind, config});
    }
  }
  return systems;
}

const SystemScores& Study::find(const std::string& name) const {
  const auto found =
      std::find_if(systems.begin(), systems.end(), [&](const SystemScores& s) { return s.system.name == name; });
  if (found == systems.end()) {
    throw std::out_of_range("the study has no system " + name);
  }
  return *found;
}

System clip_statistics_system(const io::Config& base) {
  System system;
  system.config = base;
  system.config.condition.enabled = false;
  system.name = "clip_statistics";
  system.title = "clip statistics (10th, 50th, 90th percentile by mel band)";
  system.statistics = ClipStatistics::percentiles;
  return system;
}

Study run_study(const StudyOptions& options) {
  return Running(options).run();
}

void claim_recordings(const io::Manifest& manifest, const fs::path& file, const fs::path& folder) {
  io::make_folder(folder);
  const fs::path copy = folder / "manifest.csv";
  const std::string text = to_csv(manifest);
  if (!fs::exists(copy)) {
    io::write_text(copy, text);
  } else if (io::read_text(copy) != text) {
    throw io::UsageError(
        fmt::format("the folder '{}' holds a study of other recordings than '{}'; choose another folder",
                    folder.string(), file.string()));
  }
}

train::NormalScores normal_scores(const SystemScores& system, size_t run, const std::string& score) {
  const train::ScoreTable& table = system.runs[run];
  const auto values_of = [&](const std::vector<size_t>& rows) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const size_t row : rows) {
      values.push_back(table.value(table.clips.at(row), score));
    }
    return values;
  };
  return {values_of(system.normal[run].training), values_of(system.normal[run].held_out)};
}

}  // namespace evenflow::experiments
