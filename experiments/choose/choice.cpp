#include "experiments/choose/choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "experiments/choose/left_out.h"
#include "experiments/choose/probes.h"
#include "experiments/console.h"
#include "experiments/study/cell.h"
#include "experiments/study/csv.h"
#include "experiments/study/tables.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "io/shard.h"
#include "kernels/communicator.h"
#include "kernels/device_ranks.h"
#include "train/detect/config_match.h"
#include "train/detect/score.h"
#include "train/detect/speeds.h"
#include "train/loop/augmentation.h"
#include "train/loop/budget.h"
#include "train/loop/selection.h"
#include "train/loop/training_data.h"
#include "train/statistics/conformal.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// One score in a training without a value: of the normal clips of that value, and of the probes made of them.
struct LeftOut {
  std::vector<double> normal, probes;
};

/// Higher than all but a share of the scores, by as much as their number can tell: with too few for the share, than
/// all. Scores that are not finite have no part in it; infinite if there are no others.
double threshold_for(std::vector<double> scores, double share) {
  std::erase_if(scores, [](double score) { return !std::isfinite(score); });
  std::sort(scores.begin(), scores.end());
  if (scores.empty()) {
    return std::numeric_limits<double>::infinity();
  }
  return train::conformal_threshold(scores, share).value_or(scores.back());
}

/// What is not finite lies above every threshold.
double share_above(const std::vector<double>& scores, double threshold) {
  const auto above = std::count_if(scores.begin(), scores.end(), [&](double score) { return !(score <= threshold); });
  return static_cast<double>(above) / static_cast<double>(scores.size());
}

class Choosing {
 public:
  explicit Choosing(const ChooseOptions& options) : o_(options), shard_(options.shard) {
    train::require_frontend(shard_, o_.config.frontend, "the configuration");
    normal_ = train::clips_to_train_on({&shard_}, o_.config.train);
    find_values();
    deal_values();
    io::Config base = o_.config;
    base.score.threshold_quantile = 1.0 - o_.false_alarms;
    std::vector<std::vector<KeyFlag>> settings;
    std::transform(o_.candidates.begin(), o_.candidates.end(), std::back_inserter(settings), parse_settings);
    candidates_ = make_candidates(settings.empty() ? usual() : settings, base);
    std::for_each(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { require_same_condition(c); });
    std::for_each(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { require_same_length(c); });
    std::for_each(candidates_.begin(), candidates_.end(), [&](Candidate& c) { resolve_range(c); });
  }

  Choice run() {
    require_own_folder();
    require_trainable();
    claim_folder();
    Choice choice;
    choice.parameter = shard_.parameter_names()[column_];
    choice.folds = o_.folds;
    for (size_t i = 0; i < points_.size(); ++i) {
      choice.values.push_back(train::to_text(points_[i]));
    }
    make_probes();
    o_.log(fmt::format("{} without each of {} of {}{}: {}{}", count_text(std::ssize(candidates_), "candidate"),
                       count_text(static_cast<int64_t>(points_.size()), "value"), choice.parameter,
                       o_.folds == 0 ? "" : fmt::format(", in {} groups", folds_.size()),
                       count_text(std::ssize(candidates_) * std::ssize(folds_), "training"),
                       search_epochs() == 0 ? ""
                                            : fmt::format(" of {}, then {} of whole length",
                                                          count_text(search_epochs(), "epoch"), folds_.size())));
    choice.interrupted = !run_cells(candidates_, Length::search);
    if (choice.interrupted) {
      return choice;
    }
    compare(choice);
    if (search_epochs() > 0) {
      finish(choice);
    }
    if (!choice.interrupted) {
      decide(choice);
    }
    return choice;
  }

 private:
  using Fold = std::vector<size_t>;  ///< places in points_ that are left out together, ascending
  /// Of trainings: by which candidates are compared, or as long as the detector's. Without search_epochs() all are of
  /// whole length, and called Length::search.
  enum class Length { search, whole };

  const io::Clip& clip_at(std::pair<int32_t, int32_t> at) const {
    return shard_.clips()[static_cast<size_t>(at.second)];
  }

  bool is_name(size_t column) const { return !io::categories_of(shard_.categories(), column).empty(); }

  void find_values() {
    const std::vector<std::string>& names = shard_.parameter_names();
    const auto points_of = [&](size_t column) {
      std::vector<double> values;
      for (const auto& at : normal_.clips) {
        values.push_back(clip_at(at).parameter[column]);
      }
      return train::OperatingPoints(std::move(values), io::categories_of(shard_.categories(), column));
    };
    const auto first_varying = [&](bool name) {
      size_t column = 0;
      while (column < names.size() && (points_of(column).size() < 2 || is_name(column) != name)) {
        ++column;
      }
      return column;
    };
    if (!o_.parameter.empty()) {
      const auto named = std::find(names.begin(), names.end(), o_.parameter);
      if (named == names.end()) {
        throw io::UsageError(fmt::format("--parameter names '{}', which '{}' does not have; it has [{}]", o_.parameter,
                                         o_.shard.string(), fmt::join(names, ", ")));
      }
      column_ = static_cast<size_t>(named - names.begin());
    } else if (column_ = first_varying(false); column_ == names.size()) {
      column_ = first_varying(true);
    }
    if (column_ == names.size()) {
      throw io::DataError(
          fmt::format("'{}' has no parameter that varies in its normal training clips, so there is no "
                      "operating point to leave out; add a column for it to the manifest and prepare "
                      "again",
                      o_.shard.string()));
    }
    points_ = points_of(column_);
    if (points_.size() < 3) {
      throw io::DataError(
          fmt::format("'{}' has {} of {} in its normal training clips; leaving one out takes three or "
                      "more",
                      o_.shard.string(), count_text(static_cast<int64_t>(points_.size()), "value"), names[column_]));
    }
  }

  /// Every folds-th value together, so that of two neighbours one is always heard.
  void deal_values() {
    const auto values = static_cast<int64_t>(points_.size()), folds = o_.folds == 0 ? values : o_.folds;
    const int64_t fewest = values == 3 ? 3 : 2;  // so that two values are left to train on
    if (folds < fewest || folds > values) {
      throw io::UsageError(fmt::format("--folds must be {} to {} for the {} values of {}, or 0; it is {}", fewest,
                                       values, values, shard_.parameter_names()[column_], folds));
    }
    folds_.resize(static_cast<size_t>(folds));
    for (size_t value = 0; value < points_.size(); ++value) {
      folds_[value % folds_.size()].push_back(value);
    }
  }

  /// What zd is to carry in the training without these values.
  std::vector<std::string> carried(const io::Config& config, const Fold& without) const {
    std::vector<std::string> notes;
    return train::fit_condition_to(train::leave_out(normal_, left_out(without)), config, notes).names;
  }

  /// Values without which zd would carry other parameters than with all; none: there are none.
  std::optional<Fold> carries_others(const io::Config& config) const {
    const std::vector<std::string> whole = carried(config, {});
    const auto other =
        std::find_if(folds_.begin(), folds_.end(), [&](const Fold& fold) { return carried(config, fold) != whole; });
    return other == folds_.end() ? std::nullopt : std::optional(*other);
  }

  /// One name less is another deal of zd. io::UsageError if zd can carry the names with all of them, but not without
  /// one, or the other way round: the trainings would say nothing of the one that follows.
  void require_same_condition(const Candidate& candidate) const {
    if (!points_.are_categories()) {
      return;
    }
    const auto other = carries_others(candidate.config);
    if (!other) {
      return;
    }
    const std::string& parameter = shard_.parameter_names()[column_];
    io::Config longer = candidate.config;
    const int step = 1 << longer.model.blocks;
    constexpr int longest = 512;
    const auto fits = [&] {
      const std::vector<std::string> whole = carried(longer, {});
      return std::find(whole.begin(), whole.end(), parameter) != whole.end() && !carries_others(longer);
    };
    do {
      longer.window.window_frames += step;
    } while (longer.window.window_frames <= longest && !fits());
    throw io::UsageError(fmt::format(
        "zd cannot be dealt to the names of {} both with all of them and without {}, so that the trainings of {} would "
        "say nothing of the one with all; {}",
        parameter, text_of(*other), candidate.name,
        longer.window.window_frames <= longest
            ? fmt::format("set window.window_frames to {}", longer.window.window_frames)
            : "name other parameters in condition.parameters"));
  }

  /// What the last training would refuse is said before the first.
  void require_trainable() const {
    for (const Candidate& candidate : candidates_) {
      require_trainable(candidate, {});
      for (const Fold& fold : folds_) {
        require_trainable(candidate, fold);
        require_same_training(training_of(candidate, fold, Length::search));
        if (search_epochs() > 0) {
          require_same_training(training_of(candidate, fold, Length::whole));
        }
      }
    }
  }

  void require_trainable(const Candidate& candidate, const Fold& fold) const {
    const auto named = [&](const std::exception& error) {
      const std::string of_candidate = candidates_.size() > 1 ? "candidate " + candidate.name : "";
      const std::string without =
          fold.empty() ? "" : fmt::format("without {} = {}", shard_.parameter_names()[column_], text_of(fold));
      return fmt::format("{}{}{}{}{}", of_candidate, of_candidate.empty() || without.empty() ? "" : ", ", without,
                         of_candidate.empty() && without.empty() ? "" : ": ", error.what());
    };
    io::Config config = config_without(candidate, fold, Length::whole);
    config.train.resident_mib = 0;
    try {
      kernels::device_of_rank(config.train.device, kernels::alone());
      const train::TrainingData data = train::open_training_data(config, {o_.shard}, {.listen = false, .learn = false});
      require_shorter_search(config, data);
    } catch (const io::UsageError& error) {
      throw io::UsageError(named(error));
    } catch (const io::DataError& error) {
      throw io::DataError(named(error));
    }
  }

  void require_shorter_search(const io::Config& config, const train::TrainingData& data) const {
    const int64_t windows = data.train->windows_per_epoch(config.train.windows_per_clip);
    const int64_t whole = train::epochs_to_train(config.train, (windows + config.train.batch - 1) / config.train.batch);
    if (search_epochs() >= whole) {
      throw io::UsageError(
          fmt::format("a whole training has {}, so that --search-epochs {} makes none shorter; leave it "
                      "out, or give fewer",
                      count_text(whole, "epoch"), search_epochs()));
    }
  }

  /// 0: there is no search apart from the trainings of whole length.
  int64_t search_epochs() const { return candidates_.size() > 1 ? o_.search_epochs : 0; }

  /// io::UsageError where --search-epochs would make alike what the candidate is to differ in.
  void require_same_length(const Candidate& candidate) const {
    const auto other = train::first_difference(candidate.config, o_.config, is_training_length);
    if (search_epochs() > 0 && other) {
      throw io::UsageError(fmt::format(
          "candidate {} sets {}, and --search-epochs gives all of them one length; leave one of the two out",
          candidate.name, other->key));
    }
  }

  /// What is automatic in numbers, by all of the clips: a range that is doubled has to be one.
  void resolve_range(Candidate& candidate) const {
    if (candidate.config.augment.speed == io::AugmentSettings::automatic) {
      io::Config config = candidate.config;
      config.train.resident_mib = 0;
      candidate.config.augment =
          train::open_training_data(config, {o_.shard}, {.listen = false, .learn = false}).augmentation;
    }
  }

  std::vector<std::vector<KeyFlag>> usual() const {
    const std::vector<std::string>& names = shard_.parameter_names();
    const std::vector<std::string> speeds = train::speeds_among(names, o_.config.condition, shard_.categories());
    const bool is_speed = std::find(speeds.begin(), speeds.end(), names[column_]) != speeds.end();
    const std::vector<std::string> conditioned = io::declared_names(o_.config.condition.parameters);
    const bool only_parameter =
        conditioned.empty() ? names.size() == 1 : conditioned == std::vector<std::string>{names[column_]};
    return usual_settings(o_.config, centres(), is_speed ? names[column_] : "", only_parameter);
  }

  /// What slopes and ranges are made for: the values or, of a name, what zd says of a category, that it is not or is.
  std::vector<double> centres() const {
    if (points_.are_categories()) {
      return {0.0, 1.0};
    }
    std::vector<double> values;
    for (size_t i = 0; i < points_.size(); ++i) {
      values.push_back(points_[i].centre());
    }
    return values;
  }

  bool is_at(const io::Clip& clip, size_t value) const {
    const double v = clip.parameter[column_];
    return !std::isnan(v) && points_.nearest(v) == value;
  }

  fs::path probes() const { return o_.folder / "probes.h5"; }
  fs::path cell(const Candidate& candidate, const Fold& fold, Length length) const {
    std::string name = "without";
    for (const size_t value : fold) {
      name += "_" + word_of(value);
    }
    constexpr size_t longest = 100;  // a folder's name must not be longer than 255 bytes
    if (name.size() > longest) {
      name = fmt::format("fold_{}_of_{}", fold.front() + 1, folds_.size());
    }
    return o_.folder / (length == Length::search ? "cells" : "final") / candidate.name / name;
  }
  /// For people.
  std::string text_of(const Fold& fold) const {
    std::vector<std::string> values;
    std::transform(fold.begin(), fold.end(), std::back_inserter(values),
                   [&](size_t value) { return train::to_text(points_[value]); });
    return fmt::format("{}", fmt::join(values, ", "));
  }
  /// A value as a part of a folder's name.
  std::string word_of(size_t value) const {
    if (!points_.are_categories()) {
      return fmt::format("{}", points_[value].centre());
    }
    std::string word = points_[value].name;
    const auto is_plain = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    };
    if (std::all_of(word.begin(), word.end(), is_plain)) {
      return word;
    }
    std::replace_if(word.begin(), word.end(), std::not_fn(is_plain), '_');
    return fmt::format("{}_{}", value, word);
  }

  fs::path identity() const { return o_.folder / "choice.txt"; }
  /// What the folder is a choice of. Trainings tell their own settings.
  std::string identity_text() const {
    return fmt::format(
               "data {}\nparameter {}\nfalse alarms {:g}\nprobes {:g} to {:g} dB\nseed {}\nmachine {}\nleft out {}\n",
               shard_.data_hash(), shard_.parameter_names()[column_], o_.false_alarms, softest_probe_db,
               loudest_probe_db, o_.config.train.seed, o_.config.train.machine,
               fmt::join(o_.config.train.leave_out, ", ")) +
           (o_.folds == 0 ? "" : fmt::format("folds {}\n", o_.folds));
  }

  void require_own_folder() const {
    if (fs::exists(identity()) && io::read_text(identity()) != identity_text()) {
      throw io::UsageError(
          fmt::format("the folder '{}' holds a choice by other recordings or settings ('{}' tells "
                      "which); choose another folder",
                      o_.folder.string(), identity().string()));
    }
  }

  void claim_folder() const {
    if (o_.claim) {
      o_.claim();
    }
    io::make_folder(o_.folder);
    if (!fs::exists(identity())) {
      io::write_text(identity(), identity_text());
    }
  }

  void make_probes() const {
    if (fs::exists(probes())) {
      return;
    }
    std::vector<int32_t> clips;
    for (const auto& at : normal_.clips) {
      clips.push_back(at.second);
    }
    write_probes(shard_, clips, o_.config.train.seed, probes());
  }

  /// As train.leave_out has it.
  std::vector<std::string> left_out(const Fold& fold) const {
    std::vector<std::string> texts;
    for (const size_t value : fold) {
      const train::OperatingPoint& point = points_[value];
      texts.push_back(fmt::format("{}={}", shard_.parameter_names()[column_],
                                  points_.are_categories() ? point.name : fmt::format("{}", point.centre())));
    }
    return texts;
  }

  /// The same of a clip in a table that was read, whose codes of names may be others than the shard's.
  bool is_at(const train::ScoreTable& table, const io::Clip& clip, size_t value) const {
    const double v = clip.parameter[column_];
    const std::vector<std::string>& names = io::categories_of(table.categories, column_);
    return names.empty() ? is_at(clip, value) : !std::isnan(v) && names[static_cast<size_t>(v)] == points_[value].name;
  }

  bool is_in(const Fold& fold, const io::Clip& clip) const {
    return std::any_of(fold.begin(), fold.end(), [&](size_t value) { return is_at(clip, value); });
  }

  /// The value leaves a gap twice as wide as there will be, and sound is moved into it as far.
  io::Config config_without(const Candidate& candidate, const Fold& fold, Length length) const {
    io::Config config = candidate.config;
    if (length == Length::search && search_epochs() > 0) {
      config.train.epochs = search_epochs();
    }
    const std::vector<std::string> without = left_out(fold);
    config.train.leave_out.insert(config.train.leave_out.end(), without.begin(), without.end());
    if (!fold.empty() && config.augment.speed > 0 &&
        train::augmented_speed(config, shard_) == shard_.parameter_names()[column_]) {
      double fastest = 0;  // of those that are left, which a range must not exceed
      for (size_t other = 0; other < points_.size(); ++other) {
        const bool left = std::find(fold.begin(), fold.end(), other) != fold.end();
        fastest = left ? fastest : std::max(fastest, std::abs(points_[other].centre()));
      }
      config.augment.speed = std::min(2 * config.augment.speed, std::max(fastest, config.augment.speed));
    }
    return config;
  }

  Cell training_of(const Candidate& candidate, const Fold& fold, Length length) const {
    return {cell(candidate, fold, length) / "run",
            fmt::format("{} without {}{}", candidate.name, text_of(fold), length == Length::whole ? ", whole" : ""),
            config_without(candidate, fold, length), o_.shard};
  }

  /// False: stopped.
  bool run_cells(const std::vector<Candidate>& candidates, Length length) const {
    for (const Fold& fold : folds_) {
      for (const Candidate& candidate : candidates) {
        if (!run_cell(candidate, fold, length)) {
          return false;
        }
      }
    }
    return true;
  }

  /// False: stopped.
  bool run_cell(const Candidate& candidate, const Fold& fold, Length length) const {
    const fs::path folder = cell(candidate, fold, length);
    const Cell training = training_of(candidate, fold, length);
    require_same_training(training);
    const fs::path of_normal = folder / "scores.csv", of_probes = folder / "probes.csv";
    if (fs::exists(of_normal) && fs::exists(of_probes)) {
      return true;
    }
    if (!train_cell(training, {o_.stop, o_.progress})) {
      return false;
    }
    train::Detector detector(training.run / "model.h5", o_.config.train.device, o_.config.train.threads);
    const io::Shard made(probes());
    train::write_scores(
        of_probes,
        detector.table(made.parameter_names(),
                       detector.score(made, [&](const auto& clip) { return is_in(fold, clip); }), made.categories()));
    train::write_scores(
        of_normal,
        detector.table(shard_.parameter_names(),
                       detector.score(shard_, [](const auto& clip) { return clip.split == io::Split::train; }),
                       shard_.categories()));
    o_.log(fmt::format("{}: done", training.title));
    return true;
  }

  // ------------------------------------------------------------------------------------------------ comparing

  /// Rows of a training's table that are normal clips of the values it was without. io::DataError unless the tables of
  /// its cell hold the clips that they are of.
  std::vector<size_t> left_out_rows(const fs::path& folder, const Fold& fold, const train::ScoreTable& normal,
                                    const train::ScoreTable& probes) const {
    std::set<fs::path> paths;
    for (const auto& at : normal_.clips) {
      paths.insert(clip_at(at).path);
    }
    std::vector<size_t> rows;
    size_t kept = 0;
    for (size_t i = 0; i < normal.clips.size(); ++i) {
      const io::Clip& clip = normal.clips[i].clip;
      if (!paths.contains(clip.path)) {
        continue;
      }
      if (std::any_of(fold.begin(), fold.end(), [&](size_t value) { return is_at(normal, clip, value); })) {
        rows.push_back(i);
      } else {
        ++kept;
      }
    }
    if (rows.size() + kept != normal_.clips.size() || probes.clips.size() != probe_kinds * rows.size()) {
      throw io::DataError(
          fmt::format("'{}' does not hold the scores of all its clips; remove that folder, and it is made "
                      "again",
                      folder.string()));
    }
    return rows;
  }

  train::ScoreTable left_out_table(const Candidate& candidate, Length length) const {
    std::vector<train::ScoreTable> tables;
    for (const Fold& fold : folds_) {
      const fs::path folder = cell(candidate, fold, length);
      train::ScoreTable table = train::read_scores(folder / "scores.csv");
      std::vector<train::ClipScore> clips;
      for (const size_t row : left_out_rows(folder, fold, table, train::read_scores(folder / "probes.csv"))) {
        clips.push_back(table.clips[row]);
      }
      table.clips = std::move(clips);
      tables.push_back(std::move(table));
    }
    return train::joined(tables);
  }

  double estimate_error(const train::ScoreTable& table, const std::vector<size_t>& rows) const {
    const auto& names = table.estimated_names;
    const auto found = std::find(names.begin(), names.end(), shard_.parameter_names()[column_]);
    // A name that was left out is none that the model could estimate.
    if (found == names.end() || points_.are_categories()) {
      return std::nan("");
    }
    std::vector<double> errors;
    for (const size_t row : rows) {
      const train::ClipScore& clip = table.clips[row];
      errors.push_back(
          std::abs(clip.estimate[static_cast<size_t>(found - names.begin())] - clip.clip.parameter[column_]));
    }
    return train::mean(errors);
  }

  /// A row for each score, the best first; notes of scores that cannot have one.
  std::vector<ChoiceRow> rows_of(const Candidate& candidate, Length length, std::vector<std::string>& notes) const {
    std::map<std::string, std::vector<LeftOut>> left_out;  // by score, a value each
    std::vector<double> estimates;
    std::vector<std::string> scores;
    for (const Fold& fold : folds_) {
      const fs::path folder = cell(candidate, fold, length);
      const train::ScoreTable normal = train::read_scores(folder / "scores.csv");
      const train::ScoreTable probes = train::read_scores(folder / "probes.csv");
      const std::vector<size_t> rows = left_out_rows(folder, fold, normal, probes);
      scores = normal.score_names;
      for (const size_t value : fold) {
        std::vector<size_t> at_value;
        std::copy_if(rows.begin(), rows.end(), std::back_inserter(at_value),
                     [&](size_t row) { return is_at(normal, normal.clips[row].clip, value); });
        estimates.push_back(estimate_error(normal, at_value));
        for (const std::string& score : scores) {
          LeftOut& of_value = left_out[score].emplace_back();
          for (const size_t row : at_value) {
            of_value.normal.push_back(normal.value(normal.clips[row], score));
          }
          for (const train::ClipScore& clip : probes.clips) {
            if (is_at(probes, clip.clip, value)) {
              of_value.probes.push_back(probes.value(clip, score));
            }
          }
        }
      }
    }
    std::vector<ChoiceRow> rows;
    for (const std::string& score : scores) {
      if (left_out[score].size() != points_.size()) {
        const std::string note =
            fmt::format("{} by {} is not compared: not every training has that score", candidate.name, score);
        if (std::find(notes.begin(), notes.end(), note) == notes.end()) {
          notes.push_back(note);
        }
      } else if (!train::needs_parameters(score)) {
        rows.push_back(row_of(candidate, score, left_out[score], train::mean(estimates)));
      }
    }
    std::stable_sort(rows.begin(), rows.end(), is_better);
    return rows;
  }

  /// Normal clips of the values left out, of all but this one.
  static std::vector<double> normal_of_others(const std::vector<LeftOut>& values, std::optional<size_t> but) {
    std::vector<double> scores;
    for (size_t i = 0; i < values.size(); ++i) {
      if (i != but) {
        scores.insert(scores.end(), values[i].normal.begin(), values[i].normal.end());
      }
    }
    return scores;
  }

  ChoiceRow row_of(const Candidate& candidate, const std::string& score, const std::vector<LeftOut>& values,
                   double estimate_error) const {
    std::vector<double> false_alarms, missed;
    for (size_t i = 0; i < values.size(); ++i) {
      const double threshold = threshold_for(normal_of_others(values, i), o_.false_alarms);
      false_alarms.push_back(share_above(values[i].normal, threshold));
      missed.push_back(1.0 - share_above(values[i].probes, threshold));
    }
    return {.candidate = candidate.name,
            .score = score,
            .threshold = threshold_for(normal_of_others(values, std::nullopt), o_.false_alarms),
            .false_alarms = train::bounded_mean_interval(false_alarms, 0.0, 1.0),
            .worst_false_alarms = *std::max_element(false_alarms.begin(), false_alarms.end()),
            .missed = train::mean(missed),
            .holds = train::mean(false_alarms) <= tolerated * o_.false_alarms,
            .estimate_error = estimate_error};
  }

  static bool is_better(const ChoiceRow& a, const ChoiceRow& b) {
    if (a.holds != b.holds) {
      return a.holds;
    }
    const std::pair of_a(a.missed, a.false_alarms.value), of_b(b.missed, b.false_alarms.value);
    return a.holds ? of_a < of_b : std::pair(of_a.second, of_a.first) < std::pair(of_b.second, of_b.first);
  }

  /// Rows of every candidate, the best candidate's first. io::DataError: there are none.
  void compare(Choice& choice) const {
    std::vector<std::vector<ChoiceRow>> candidates;
    for (const Candidate& candidate : candidates_) {
      candidates.push_back(rows_of(candidate, Length::search, choice.notes));
    }
    std::erase_if(candidates, [](const auto& rows) { return rows.empty(); });
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const auto& a, const auto& b) { return is_better(a.front(), b.front()); });
    for (const std::vector<ChoiceRow>& of_candidate : candidates) {
      choice.rows.insert(choice.rows.end(), of_candidate.begin(), of_candidate.end());
    }
    require_rows(choice.rows, choice);
  }

  static void require_rows(const std::vector<ChoiceRow>& rows, const Choice& choice) {
    if (rows.empty()) {
      throw io::DataError("no candidate has a score that can be compared" +
                          (choice.notes.empty() ? "" : ": " + choice.notes.front()));
    }
  }

  const Candidate& chosen_by(const std::vector<ChoiceRow>& rows) const {
    return *std::find_if(candidates_.begin(), candidates_.end(),
                         [&](const Candidate& known) { return known.name == rows.front().candidate; });
  }

  /// How false alarms fare where a value is left out depends on how long the training is. So what short trainings chose
  /// is trained once more.
  void finish(Choice& choice) const {
    const Candidate& candidate = chosen_by(choice.rows);
    o_.log(fmt::format("chosen by the short trainings: {}; now {} of whole length", candidate.name,
                       count_text(std::ssize(folds_), "training")));
    choice.interrupted = !run_cells({candidate}, Length::whole);
    if (!choice.interrupted) {
      choice.final_rows = rows_of(candidate, Length::whole, choice.notes);
      require_rows(choice.final_rows, choice);
    }
  }

  void decide(Choice& choice) const {
    const ChoiceRow& best = choice.best();
    if (!best.holds) {
      choice.notes.push_back(fmt::format(
          "no score keeps to twice the false alarms that were asked for ({:g} %): the one with the fewest is "
          "taken; record more values, or closer ones",
          100.0 * tolerated * o_.false_alarms));
    } else if (1.0 - best.missed <= best.false_alarms.value) {
      choice.notes.emplace_back(
          "no score that keeps to the false alarms finds more of the probes than it raises false alarms: train longer, "
          "or record more clips at each value");
    }
    const Candidate& candidate = chosen_by(choice.rows);
    choice.chosen = candidate.config;
    choice.left_out = left_out_table(candidate, choice.final_rows.empty() ? Length::search : Length::whole);
    choice.chosen.score.score = best.score;
    if (std::isfinite(best.threshold)) {
      choice.chosen.score.threshold = io::ThresholdMethod::value;
      choice.chosen.score.threshold_value = best.threshold;
    }
  }

  const ChooseOptions& o_;
  io::Shard shard_;
  train::ClipSelection normal_;
  size_t column_ = 0;
  train::OperatingPoints points_;
  std::vector<Fold> folds_;
  std::vector<Candidate> candidates_;
};

std::string estimate_text(double error) {
  return std::isnan(error) ? "-" : fmt::format("{:.3g}", error);
}

}  // namespace

Choice choose(const ChooseOptions& options) {
  return Choosing(options).run();
}

std::string to_csv(const Choice& choice) {
  std::string text =
      "candidate,trainings,score,false_alarms,false_alarms_low,false_alarms_high,worst_false_alarms,missed_probes,"
      "holds,estimate_error,threshold\n";
  const auto add = [&](const std::vector<ChoiceRow>& rows, const char* trainings) {
    for (const ChoiceRow& row : rows) {
      text += fmt::format("{},{},{},{},{},{},{},{},{}\n", row.candidate, trainings, row.score,
                          csv_interval(row.false_alarms), row.worst_false_alarms, row.missed, row.holds,
                          csv_number(row.estimate_error), csv_number(row.threshold));
    }
  };
  add(choice.final_rows, "final");
  add(choice.rows, choice.final_rows.empty() ? "all" : "search");
  return text;
}

void write_choice(const Choice& choice, const fs::path& folder) {
  io::write_text(folder / "choice.csv", to_csv(choice));
  train::write_scores(folder / left_out_file, choice.left_out);
  io::write_text(folder / "choice.toml",
                 "# Chosen by evenflow choose: " + choice.best().candidate + "\n\n" + io::to_toml(choice.chosen));
}

std::string to_text(const Choice& choice) {
  const auto table_of = [](const std::vector<ChoiceRow>& rows) {
    constexpr size_t most_rows = 3;  // of a candidate
    TextTable table;
    table.add(
        {"candidate", "score", "false alarms %", "at worst %", "missed probes %", "threshold", "estimate off by"});
    std::map<std::string, size_t> shown;
    for (const ChoiceRow& row : rows) {
      if (++shown[row.candidate] > most_rows) {
        continue;
      }
      table.add({row.candidate, row.score, per_cent(row.false_alarms),
                 fmt::format("{:.1f}", 100.0 * row.worst_false_alarms), fmt::format("{:.1f}", 100.0 * row.missed),
                 fmt::format("{:.4g}", row.threshold), estimate_text(row.estimate_error)});
    }
    return table.text();
  };
  std::string text =
      fmt::format("Without {} = {}{}, what was left out then being the test:\n\n{}", choice.parameter,
                  fmt::join(choice.values, ", "),
                  choice.folds == 0 ? " in turn" : fmt::format(", in {} groups", choice.folds), table_of(choice.rows));
  if (!choice.final_rows.empty()) {
    text += "\nThe chosen settings in trainings of whole length, which decide score and threshold:\n\n" +
            table_of(choice.final_rows);
  }
  return text;
}

}  // namespace evenflow::experiments
