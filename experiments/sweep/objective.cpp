#include "experiments/sweep/objective.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "experiments/sweep/space.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/shard.h"
#include "train/detect/score_table.h"
#include "train/loop/selection.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;
using io::Objective;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

double number_in(const std::string& cell) {
  double value = nan;
  std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return value;
}

/// A column of a table, as numbers.
std::vector<double> column_of(const fs::path& file, const std::string& name) {
  const std::vector<std::vector<std::string>> rows = io::read_csv(file);
  const auto found = rows.empty() ? 0 : std::find(rows[0].begin(), rows[0].end(), name) - rows[0].begin();
  if (rows.empty() || found == static_cast<std::ptrdiff_t>(rows[0].size())) {
    throw io::DataError("'" + file.string() + "' has no column " + name);
  }
  std::vector<double> values;
  for (size_t i = 1; i < rows.size(); ++i) {
    values.push_back(static_cast<size_t>(found) < rows[i].size() ? number_in(rows[i][static_cast<size_t>(found)])
                                                                 : nan);
  }
  return values;
}

double least(const std::vector<double>& values) {
  double best = nan;
  for (const double value : values) {
    best = !std::isfinite(value) || value >= best ? best : value;
  }
  return best;
}

double auc_of(const fs::path& scores) {
  const train::ScoreTable table = train::read_scores(scores);
  std::vector<double> values;
  std::vector<int> labels;
  for (const train::ClipScore& clip : table.clips) {
    if (clip.clip.label >= 0 && std::isfinite(clip.score)) {
      values.push_back(clip.score);
      labels.push_back(clip.clip.label);
    }
  }
  return values.empty() ? nan : train::auc(values, labels);
}

/// Of the first number that the model estimates, on normal clips.
double estimate_error_of(const fs::path& scores) {
  const train::ScoreTable table = train::read_scores(scores);
  const auto& names = table.parameter_names;
  const auto column_of = [&](const std::string& name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const auto estimated = std::find_if(
      table.estimated_names.begin(), table.estimated_names.end(),
      [&](const std::string& name) { return io::categories_of(table.categories, column_of(name)).empty(); });
  if (estimated == table.estimated_names.end()) {
    return nan;
  }
  const auto place = static_cast<size_t>(estimated - table.estimated_names.begin());
  const size_t column = column_of(*estimated);
  double sum = 0;
  int64_t count = 0;
  for (const train::ClipScore& clip : table.clips) {
    if (clip.clip.label == 0 && column < clip.clip.parameter.size() && !std::isnan(clip.clip.parameter[column])) {
      sum += std::abs(clip.estimate[place] - clip.clip.parameter[column]);
      ++count;
    }
  }
  return count == 0 ? nan : sum / static_cast<double>(count);
}

// ------------------------------------------------------------------------------------------------ can it be reported?

[[noreturn]] void cannot(Objective objective, const std::string& why) {
  throw io::UsageError(fmt::format("no trial can report {}: {}", io::name_of(objective), why));
}

void require_comparable(const io::SweepFile& sweep, Objective objective, const std::string& key,
                        const std::string& why) {
  if (varies(sweep.space, key)) {
    throw io::UsageError(
        fmt::format("trials that differ in {} cannot be compared by {}: {}; leave the key out of the "
                    "space, or choose another objective",
                    key, io::name_of(objective), why));
  }
}

void require_held_out(const io::SweepFile& sweep, const std::vector<const io::Shard*>& shards) {
  constexpr auto objective = Objective::held_out_loss;
  require_comparable(sweep, objective, "train.validation_fraction", "they hold out different clips");
  require_comparable(sweep, objective, "train.machine", "they hold out different clips");
  require_comparable(sweep, objective, "train.leave_out", "they hold out different clips");
  require_comparable(sweep, objective, "model.kind", "each kind of model has a loss of its own");
  const io::TrainSettings& train = sweep.base.train;
  if (train.validation_fraction == 0) {
    cannot(objective, "train.validation_fraction is 0, so no clip is held out; raise it");
  }
  const train::HeldOut held =
      train::hold_out(train::clips_to_train_on(shards, train), train.validation_fraction, train.seed);
  if (held.validation.clips.empty()) {
    cannot(objective, "the features have too few normal training clips to hold one out; choose another objective");
  }
}

void require_labels(const io::SweepFile& sweep, Objective objective) {
  if (sweep.labelled.empty()) {
    cannot(objective, "it takes test clips with labels; name their feature shard: [sweep] labelled = \"FILE\"");
  }
  const io::Shard shard(sweep.labelled);
  const std::vector<std::string> estimated = io::declared_names(sweep.base.condition.parameters);
  const bool any_number = estimated.empty() || varies(sweep.space, "condition.parameters");
  int64_t normal = 0, anomalous = 0, valued = 0;
  for (const io::Clip& clip : shard.clips()) {
    if (clip.split == io::Split::test) {
      normal += clip.label == 0 ? 1 : 0;
      anomalous += clip.label == 1 ? 1 : 0;
      bool known = false;
      for (size_t p = 0; p < clip.parameter.size(); ++p) {
        const bool asked =
            any_number || std::find(estimated.begin(), estimated.end(), shard.parameter_names()[p]) != estimated.end();
        known = known || (asked && io::categories_of(shard.categories(), p).empty() && !std::isnan(clip.parameter[p]));
      }
      valued += clip.label == 0 && known ? 1 : 0;
    }
  }
  if (objective == Objective::auc && (normal == 0 || anomalous == 0)) {
    cannot(objective,
           fmt::format("'{}' has {} normal and {} anomalous test clips, and it takes both; name another shard",
                       sweep.labelled, normal, anomalous));
  }
  if (objective == Objective::estimate_error && valued == 0) {
    cannot(objective, fmt::format("'{}' has no normal test clip with a known value of a number that the models "
                                  "estimate; name another shard, or a number in "
                                  "condition.parameters",
                                  sweep.labelled));
  }
  if (objective == Objective::estimate_error && !sweep.base.condition.enabled &&
      !varies(sweep.space, "condition.enabled")) {
    cannot(objective, "condition.enabled is false, so no model estimates a parameter; set it to true");
  }
}

void require_values_to_leave_out(const io::SweepFile& sweep, Objective objective,
                                 const std::vector<const io::Shard*>& shards) {
  if (shards.size() != 1) {
    cannot(objective, "`evenflow choose`, which computes it, takes one shard; prepare all recordings into one");
  }
  if (sweep.halving.min_epochs > 0) {
    throw io::UsageError(
        fmt::format("{} is known only once the trainings have ended, so [halving] cannot stop one "
                    "early; leave it out",
                    io::name_of(objective)));
  }
  if (varies(sweep.space, "train.leave_out") || varies(sweep.space, "score.threshold_quantile") ||
      varies(sweep.space, "score.score")) {
    cannot(objective,
           "`evenflow choose`, which computes it, sets train.leave_out, score.score and "
           "score.threshold_quantile itself; leave them out of the space");
  }
  const train::ClipSelection clips = train::clips_to_train_on(shards, sweep.base.train);
  const size_t columns = shards.front()->parameter_names().size();
  // `choose` leaves out the values of the first number that varies; where none does, of the first name.
  for (const bool name : {false, true}) {
    for (size_t column = 0; column < columns; ++column) {
      const std::vector<std::string>& names = io::categories_of(shards.front()->categories(), column);
      if (names.empty() == name) {
        continue;
      }
      std::vector<double> values;
      for (const auto& at : clips.clips) {
        values.push_back(shards.front()->clips()[static_cast<size_t>(at.second)].parameter[column]);
      }
      const size_t points = train::OperatingPoints(std::move(values), names).size();
      if (points < 2) {
        continue;
      }
      const std::string& parameter = shards.front()->parameter_names()[column];
      if (points < 3) {
        cannot(objective, fmt::format("the normal training clips have {} values of {}, and leaving one out takes three",
                                      points, parameter));
      }
      if (name && objective == Objective::leave_out_estimate_error) {
        cannot(objective, fmt::format("what is left out is a name of {}, and a model knows no name but those that it "
                                      "was trained on; take leave_out_missed",
                                      parameter));
      }
      return;
    }
  }
  cannot(objective, "no parameter varies in the normal training clips; add a column for one to the manifest");
}

}  // namespace

bool is_maximised(Objective objective) {
  return objective == Objective::auc || objective == Objective::windows_per_s;
}

std::string unit_of(Objective objective) {
  switch (objective) {
    case Objective::held_out_loss:
      return "nats per dimension";
    case Objective::windows_per_s:
      return "windows/s";
    case Objective::leave_out_false_alarms:
    case Objective::leave_out_missed:
      return "share";
    case Objective::estimate_error:
    case Objective::leave_out_estimate_error:
      return "unit of the parameter";
    default:
      return "";
  }
}

bool needs_leaving_out(Objective objective) {
  return objective == Objective::leave_out_false_alarms || objective == Objective::leave_out_missed ||
         objective == Objective::leave_out_estimate_error;
}

bool needs_training(Objective objective) {
  return !needs_leaving_out(objective);
}

bool needs_scores(Objective objective) {
  return objective == Objective::auc || objective == Objective::estimate_error;
}

double value_of(Objective objective, const RepeatFiles& files) {
  const auto chosen = [&](const char* column) {
    const std::vector<double> rows = column_of(files.choice / "choice.csv", column);
    return rows.empty() ? nan : rows.front();  // the best row comes first
  };
  switch (objective) {
    case Objective::held_out_loss:
      return least(column_of(files.run / "metrics.csv", "validation_loss"));
    case Objective::windows_per_s: {
      const std::vector<double> epochs = column_of(files.run / "metrics.csv", "windows_per_s");
      return epochs.empty() ? nan : train::quantile(epochs, 0.5);
    }
    case Objective::auc:
      return auc_of(files.scores);
    case Objective::estimate_error:
      return estimate_error_of(files.scores);
    case Objective::leave_out_false_alarms:
      return chosen("false_alarms");
    case Objective::leave_out_missed:
      return chosen("missed_probes");
    case Objective::leave_out_estimate_error:
      break;
  }
  return chosen("estimate_error");
}

void require_reportable(const io::SweepFile& sweep, const std::vector<fs::path>& features) {
  std::vector<std::unique_ptr<io::Shard>> opened;
  std::vector<const io::Shard*> shards;
  for (const fs::path& file : features) {
    opened.push_back(std::make_unique<io::Shard>(file));
    shards.push_back(opened.back().get());
  }
  train::require_alike(shards);
  for (const Objective objective : sweep.objectives) {
    if (objective == Objective::held_out_loss) {
      require_held_out(sweep, shards);
    } else if (needs_scores(objective)) {
      require_labels(sweep, objective);
    } else if (needs_leaving_out(objective)) {
      require_values_to_leave_out(sweep, objective, shards);
    }
  }
  if (sweep.halving.min_epochs > 0 && sweep.objectives.size() > 1) {
    throw io::UsageError(
        "[halving] stops trials by one objective, and the sweep has several; name one, or leave it out");
  }
  if (sweep.halving.min_epochs > 0 && (varies(sweep.space, "train.epochs") || varies(sweep.space, "train.steps"))) {
    throw io::UsageError(
        "[halving] compares trials after the same epochs, and the space varies their number; leave "
        "train.epochs and train.steps out of the space");
  }
}

}  // namespace evenflow::experiments
