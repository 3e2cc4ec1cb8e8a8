#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "experiments/console.h"
#include "experiments/study/alarms.h"
#include "experiments/study/csv.h"
#include "experiments/study/groups.h"
#include "experiments/study/leave_out.h"
#include "experiments/study/tables.h"
#include "io/atomic_file.h"
#include "io/manifest.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

constexpr double wanted_false_alarms = 0.05;

struct FoldFigure {
  const char* name;
  double FoldRow::*of;
  bool compared;  ///< with the best detector on clip statistics
};
constexpr std::array fold_figures = {
    FoldFigure{"auc_unseen", &FoldRow::auc_unseen, true}, FoldFigure{"auc_seen", &FoldRow::auc_seen, true},
    FoldFigure{"auc_all", &FoldRow::auc_all, true}, FoldFigure{"false_alarms", &FoldRow::false_alarms, false},
    FoldFigure{"found", &FoldRow::found, false}};

/// Mean over the runs, or NaN.
double mean_auc(const train::RunScores& runs, const ClipGroup& group) {
  if (group.normal() == 0 || group.anomalous() == 0 || !are_finite(runs)) {
    return std::nan("");
  }
  std::vector<double> of_runs;
  for (const std::vector<double>& scores : runs) {
    of_runs.push_back(train::auc(scores, group.labels));
  }
  return train::mean(of_runs);
}

/// The test clips of a fold.
struct FoldGroups {
  ClipGroup unseen, seen, all;

  FoldGroups(const train::OperatingPoints& points, const FoldStudy& fold) {
    const size_t left_out = points.nearest(fold.value.centre());
    std::set<size_t> trained;
    for (const double value : fold.study.training_values) {
      trained.insert(points.nearest(value));
    }
    const auto group = [&](const char* name, const auto& wanted) {
      return group_of(fold.study, name, [&](const train::ClipScore& clip) {
        const double value = clip.clip.parameter.front();
        return !std::isnan(value) && wanted(points.nearest(value));
      });
    };
    unseen = group("unseen", [&](size_t point) { return point == left_out; });
    seen = group("seen", [&](size_t point) { return trained.contains(point); });
    all = group_of(fold.study, "all", [](const train::ClipScore&) { return true; });
  }
};

FoldRow row_of(const FoldStudy& fold, const FoldGroups& groups, const SystemScores& system, const std::string& score) {
  const auto scores = [&](const ClipGroup& group) { return scores_in(system, score, group); };
  const train::RunScores unseen = scores(groups.unseen);
  FoldRow row{.left_out = train::to_text(fold.value),
              .system = system.system.name,
              .score = score,
              .normal = groups.unseen.normal(),
              .anomalous = groups.unseen.anomalous(),
              .auc_unseen = mean_auc(unseen, groups.unseen),
              .auc_seen = mean_auc(scores(groups.seen), groups.seen),
              .auc_all = mean_auc(scores(groups.all), groups.all),
              .false_alarms = std::nan(""),
              .found = std::nan("")};
  if (const auto thresholds = alarm_thresholds(system, score, wanted_false_alarms); thresholds && are_finite(unseen)) {
    row.false_alarms = train::mean(shares_above(unseen, *thresholds, groups.unseen, 0));
    row.found = train::mean(shares_above(unseen, *thresholds, groups.unseen, 1));
  }
  return row;
}

/// Rows of one system and score, a row per fold.
struct OneOfAll {
  const System* system;
  std::string score;
  std::vector<FoldRow> rows;
};

/// In the order in which systems and scores first come.
std::vector<OneOfAll> rows_by_score(const LeaveOut& study) {
  std::vector<OneOfAll> all;
  for (const FoldStudy& fold : study.folds) {
    const FoldGroups groups(study.points, fold);
    for (const SystemScores& system : fold.study.systems) {
      for (const std::string& score : scores_to_compare(system)) {
        if (train::needs_parameters(score) && !system.system.config.condition.enabled) {
          continue;  // the same as another
        }
        auto own = std::find_if(all.begin(), all.end(), [&](const OneOfAll& one) {
          return one.system->name == system.system.name && one.score == score;
        });
        if (own == all.end()) {
          own = all.insert(all.end(), {&system.system, score, {}});
        }
        own->rows.push_back(row_of(fold, groups, system, score));
      }
    }
  }
  return all;
}

/// A figure of the folds that have it.
std::vector<double> figures_of(const OneOfAll& one, double FoldRow::*figure) {
  std::vector<double> values;
  for (const FoldRow& row : one.rows) {
    if (!std::isnan(row.*figure)) {
      values.push_back(row.*figure);
    }
  }
  return values;
}

/// The detector on clip statistics with the highest mean; null if there is none.
const OneOfAll* best_simple(const std::vector<OneOfAll>& all, double FoldRow::*figure) {
  const OneOfAll* best = nullptr;
  double highest = 0;
  for (const OneOfAll& one : all) {
    const std::vector<double> values = figures_of(one, figure);
    if (!one.system->statistics || values.empty()) {
      continue;
    }
    if (best == nullptr || train::mean(values) > highest) {
      best = &one;
      highest = train::mean(values);
    }
  }
  return best;
}

void add_difference(const OneOfAll& one, const OneOfAll& best, double FoldRow::*figure, OverFolds& row) {
  std::vector<double> differences;
  for (const FoldRow& own : one.rows) {
    for (const FoldRow& other : best.rows) {
      const double difference = own.*figure - other.*figure;
      if (own.left_out == other.left_out && !std::isnan(difference)) {
        differences.push_back(difference);
      }
    }
  }
  if (!differences.empty()) {
    row.against_system = best.system->name;
    row.against_score = best.score;
    row.difference = train::bounded_mean_interval(differences, -1, 1);
  }
}

const OverFolds* find_over_folds(const LeaveOutTables& tables, const std::string& system, const std::string& score,
                                 const std::string& figure) {
  const auto found = std::find_if(tables.over_folds.begin(), tables.over_folds.end(), [&](const OverFolds& row) {
    return row.system == system && row.score == score && row.figure == figure;
  });
  return found == tables.over_folds.end() ? nullptr : &*found;
}

std::string signed_text(const OverFolds* row) {
  if (row == nullptr || row->against_system.empty()) {
    return "-";
  }
  const train::Interval& difference = row->difference;
  const std::string interval = std::isnan(difference.low)
                                   ? ""
                                   : fmt::format(" ({:+.1f} .. {:+.1f})", 100 * difference.low, 100 * difference.high);
  return fmt::format("{:+.1f}{}", 100 * difference.value, interval);
}

}  // namespace

LeaveOutTables leave_out_tables(const LeaveOut& study) {
  LeaveOutTables tables;
  const std::vector<OneOfAll> all = rows_by_score(study);
  for (const OneOfAll& one : all) {
    tables.folds.insert(tables.folds.end(), one.rows.begin(), one.rows.end());
    for (const FoldFigure& figure : fold_figures) {
      const std::vector<double> values = figures_of(one, figure.of);
      if (values.empty()) {
        continue;
      }
      OverFolds row{one.system->name, one.score, figure.name, static_cast<int64_t>(values.size()),
                    train::bounded_mean_interval(values, 0, 1)};
      const OneOfAll* best = figure.compared ? best_simple(all, figure.of) : nullptr;
      if (best != nullptr && best != &one) {
        add_difference(one, *best, figure.of, row);
      }
      tables.over_folds.push_back(std::move(row));
    }
  }
  return tables;
}

const std::vector<std::string>& leave_out_files() {
  static const std::vector<std::string> files = {"leave_out.csv", "leave_out_folds.csv"};
  return files;
}

void write_tables(const LeaveOutTables& tables, const std::filesystem::path& folder) {
  std::string over_folds =
      "system,score,figure,folds,mean,low,high,against_system,against_score,difference,difference_low,"
      "difference_high\n";
  for (const OverFolds& row : tables.over_folds) {
    const std::string difference = row.against_system.empty() ? ",," : csv_interval(row.difference);
    over_folds += fmt::format("{},{},{},{},{},{},{},{}\n", row.system, row.score, row.figure, row.folds,
                              csv_interval(row.mean), row.against_system, row.against_score, difference);
  }
  std::string folds = "left_out,system,score,normal,anomalous";
  for (const FoldFigure& figure : fold_figures) {
    folds += fmt::format(",{}", figure.name);
  }
  folds += "\n";
  for (const FoldRow& row : tables.folds) {
    folds +=
        fmt::format("{},{},{},{},{}", io::csv_cell(row.left_out), row.system, row.score, row.normal, row.anomalous);
    for (const FoldFigure& figure : fold_figures) {
      folds += fmt::format(",{}", csv_number(row.*figure.of));
    }
    folds += "\n";
  }
  io::write_text(folder / "leave_out.csv", over_folds);
  io::write_text(folder / "leave_out_folds.csv", folds);
}

std::string to_text(const LeaveOutTables& tables, const LeaveOut& study) {
  TextTable means, differences;
  means.add({"system", "score", "AUC unseen %", "seen %", "all %", "false alarms, unseen %", "faults found, unseen %"});
  differences.add({"against the best on clip statistics", "score", "AUC unseen", "seen", "all"});
  std::set<std::pair<std::string, std::string>> shown;
  for (const FoldRow& fold : tables.folds) {
    if (!shown.insert({fold.system, fold.score}).second) {
      continue;
    }
    std::vector<std::string> line = {fold.system, fold.score}, against = line;
    for (const FoldFigure& figure : fold_figures) {
      const OverFolds* row = find_over_folds(tables, fold.system, fold.score, figure.name);
      line.push_back(row == nullptr ? "-" : per_cent(row->mean));
      if (figure.compared) {
        against.push_back(signed_text(row));
      }
    }
    means.add(line);
    differences.add(against);
  }
  const auto folds = static_cast<int64_t>(study.folds.size());
  const auto seeds = static_cast<int64_t>(study.folds.front().study.seeds.size());
  std::string text = fmt::format(
      "{}\nEach value of {} left out once: mean over {} ± half of the 95 % interval (Student's t; where it is cut at 0 "
      "or "
      "100, its ends), each fold being the mean over {}. Unseen: clips of the value left out. Thresholds for alarms "
      "are "
      "set on normal training clips, for 5 % false alarms.\n",
      means.text(), study.parameter, count_text(folds, "fold"), count_text(seeds, "seed"));
  const bool whole = std::all_of(tables.over_folds.begin(), tables.over_folds.end(),
                                 [&](const OverFolds& row) { return row.folds == folds; });
  if (!whole) {
    text += "Not every figure is of all folds; leave_out.csv says of how many.\n";
  }
  return text +
         fmt::format(
             "\n{}\nPoints of AUC, fold by fold, against the one on clip statistics that has the highest mean of "
             "the column.\n",
             differences.text());
}

}  // namespace evenflow::experiments
