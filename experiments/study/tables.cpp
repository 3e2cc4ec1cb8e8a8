#include "experiments/study/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "experiments/console.h"
#include "experiments/study/csv.h"
#include "experiments/study/groups.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/manifest.h"
#include "train/loop/budget.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

using train::ClipScore;
using train::Interval;

/// With which the others are compared.
constexpr const char* compared_with = "nll";

class Tables {
 public:
  Tables(const Study& study, const train::BootstrapSettings& bootstrap)
      : study_(study), bootstrap_(bootstrap), trained_(study.training_values) {
    require_alike();
  }

  StudyTables make() {
    for (const SystemScores& system : study_.systems) {
      add_without_score(system);
    }
    for (const ClipGroup& group : test_groups(study_)) {
      for (const SystemScores& system : study_.systems) {
        for (const std::string& score : scores_to_compare(system)) {
          add_auc(system, score, group);
        }
        add_differences(system, group);
      }
    }
    for (const SystemScores& system : study_.systems) {
      if (system.system.config.condition.enabled) {
        add_estimates(system);
      }
      tables_.causes.push_back({system.system.name, causes(study_, system)});
    }
    tables_.alarms = alarms(study_);
    tables_.challenge = challenge_figures(study_);
    return std::move(tables_);
  }

 private:
  // Row by row the same clips in every table.
  void require_alike() const {
    const train::ScoreTable& first = study_.systems.front().runs.front();
    for (const SystemScores& system : study_.systems) {
      for (const train::ScoreTable& run : system.runs) {
        const bool alike = std::equal(run.clips.begin(), run.clips.end(), first.clips.begin(), first.clips.end(),
                                      [](const auto& a, const auto& b) { return a.clip.path == b.clip.path; });
        if (!alike) {
          throw io::DataError(
              fmt::format("the scores of {} are not of the same clips as those of {}; remove its "
                          "folder and run the study again",
                          system.system.name, study_.systems.front().system.name));
        }
      }
    }
  }

  void add_without_score(const SystemScores& system) {
    for (size_t i = 0; i < system.runs.size(); ++i) {
      const std::vector<ClipScore>& clips = system.runs[i].clips;
      const auto count = std::count_if(clips.begin(), clips.end(), [](const ClipScore& clip) {
        return is_tested(clip) && !std::isfinite(clip.score);
      });
      if (count == 0) {
        continue;
      }
      tables_.without_score.push_back(fmt::format("{}, seed {}: {} without a finite score", system.system.title,
                                                  study_.seeds[i], count_text(count, "clip")));
    }
  }

  /// What needs the parameters says the same as another score where there are none, and nothing where a clip's value is
  /// unknown.
  static bool says_something(const SystemScores& system, const std::string& score, const train::RunScores& runs) {
    if (train::needs_parameters(score) && !system.system.config.condition.enabled) {
      return false;
    }
    return std::all_of(runs.begin(), runs.end(), [](const std::vector<double>& scores) {
      return std::all_of(scores.begin(), scores.end(), [](double s) { return std::isfinite(s); });
    });
  }

  void add_auc(const SystemScores& system, const std::string& score, const ClipGroup& group) {
    const train::RunScores runs = scores_in(system, score, group);
    if (!says_something(system, score, runs)) {
      return;
    }
    std::vector<double> figures;
    for (const std::vector<double>& scores : runs) {
      figures.push_back(train::auc(scores, group.labels));
    }
    tables_.auc.push_back({system.system.name, score, group.name, group.normal(), group.anomalous(),
                           train::bounded_mean_interval(figures, 0, 1),
                           train::auc_interval(runs, group.labels, bootstrap_)});
  }

  /// The conventional flow of the same scale, trained as long.
  const SystemScores* conventional(const SystemScores& system) const {
    const bool flow = system.system.config.model.kind == io::ModelKind::glow;
    if (!flow || !system.system.config.condition.enabled) {
      return nullptr;
    }
    const io::Config& config = system.system.config;
    const SystemScores* found = nullptr;
    for (const SystemScores& other : study_.systems) {
      io::ModelSettings model = other.system.config.model;
      const bool same_coupling = model.coupling == config.model.coupling;
      model.coupling = config.model.coupling;
      const bool fits = !other.system.config.condition.enabled && !other.system.centred && !other.system.statistics &&
                        model == config.model &&
                        train::describe_budget(other.system.config.train) == train::describe_budget(config.train);
      // A study may have conventional flows of one kind of coupling only.
      if (fits && (found == nullptr || same_coupling)) {
        found = &other;
      }
    }
    return found;
  }

  void add_differences(const SystemScores& system, const ClipGroup& group) {
    const SystemScores* against = conventional(system);
    if (against == nullptr) {
      return;
    }
    const train::RunScores theirs = scores_in(*against, compared_with, group);
    for (const std::string& score : scores_to_compare(system)) {
      const train::RunScores runs = scores_in(system, score, group);
      if (!says_something(system, score, runs)) {
        continue;
      }
      tables_.differences.push_back({system.system.name, score, against->system.name, compared_with, group.name,
                                     train::auc_difference(runs, theirs, group.labels, bootstrap_)});
    }
  }

  struct Line {
    double slope = 1, offset = 0;
    double operator()(double x) const { return slope * x + offset; }
  };

  /// Through the mean estimates at the lowest and the highest training value.
  Line calibration(const train::ScoreTable& run) const {
    const auto mean_at = [&](const train::OperatingPoint& point) {
      double sum = 0;
      int64_t count = 0;
      for (const ClipScore& clip : run.clips) {
        const double value = clip.clip.parameter.front();
        if (clip.clip.split != io::Split::train || !(value >= point.low && value <= point.high)) {
          continue;
        }
        if (!std::isfinite(clip.estimate.front())) {
          continue;
        }
        sum += clip.estimate.front();
        ++count;
      }
      return sum / static_cast<double>(count);
    };
    const train::OperatingPoint &first = trained_[0], &last = trained_[trained_.size() - 1];
    const double low = first.centre(), low_estimate = mean_at(first);
    const double slope = (last.centre() - low) / (mean_at(last) - low_estimate);
    return {slope, low - slope * low_estimate};
  }

  void add_estimates(const SystemScores& system) {
    for (const std::string group : {"all", "seen", "unseen"}) {
      std::vector<double> correlation, error, calibrated_error;
      int64_t count = 0;
      for (const train::ScoreTable& run : system.runs) {
        const Line line = calibration(run);
        std::vector<double> truth, estimate, calibrated;
        for (const ClipScore& clip : run.clips) {
          const std::string side = side_of(study_, clip);
          if (!is_tested(clip) || clip.clip.label != 0 || side.empty() || (group != "all" && group != side)) {
            continue;
          }
          if (!std::isfinite(clip.estimate.front())) {
            continue;
          }
          truth.push_back(clip.clip.parameter.front());
          estimate.push_back(clip.estimate.front());
          calibrated.push_back(line(clip.estimate.front()));
        }
        count = static_cast<int64_t>(truth.size());
        if (count < 2) {
          break;
        }
        correlation.push_back(train::pearson_correlation(truth, estimate));
        error.push_back(train::mean_absolute_error(truth, estimate));
        calibrated_error.push_back(train::mean_absolute_error(truth, calibrated));
      }
      const auto finite = [](const std::vector<double>& values) {
        return !values.empty() && std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
      };
      if (!finite(correlation) || !finite(calibrated_error)) {
        continue;  // one value only
      }
      constexpr double unbounded = std::numeric_limits<double>::infinity();
      tables_.estimates.push_back({system.system.name, group, count, train::bounded_mean_interval(correlation, -1, 1),
                                   train::bounded_mean_interval(error, 0, unbounded),
                                   train::bounded_mean_interval(calibrated_error, 0, unbounded)});
    }
  }

  const Study& study_;
  const train::BootstrapSettings& bootstrap_;
  train::OperatingPoints trained_;
  StudyTables tables_;
};

}  // namespace

StudyTables study_tables(const Study& study, const train::BootstrapSettings& bootstrap) {
  return Tables(study, bootstrap).make();
}

const AucRow* find_auc(const StudyTables& tables, const std::string& system, const std::string& score,
                       const std::string& group) {
  for (const AucRow& row : tables.auc) {
    if (row.system == system && row.score == score && row.group == group) {
      return &row;
    }
  }
  return nullptr;
}

const DifferenceRow* find_difference(const StudyTables& tables, const std::string& system, const std::string& score,
                                     const std::string& group) {
  for (const DifferenceRow& row : tables.differences) {
    if (row.system == system && row.score == score && row.group == group) {
      return &row;
    }
  }
  return nullptr;
}

const AlarmRow* find_alarms(const StudyTables& tables, const std::string& system, const std::string& score,
                            const std::string& group) {
  for (const AlarmRow& row : tables.alarms) {
    if (row.system == system && row.score == score && row.group == group) {
      return &row;
    }
  }
  return nullptr;
}

const EstimateRow* find_estimate(const StudyTables& tables, const std::string& system, const std::string& group) {
  for (const EstimateRow& row : tables.estimates) {
    if (row.system == system && row.group == group) {
      return &row;
    }
  }
  return nullptr;
}

const std::vector<std::string>& study_table_files() {
  static const std::vector<std::string> files = {"auc.csv",    "differences.csv", "estimates.csv",
                                                 "causes.csv", "alarms.csv",      "challenge.csv"};
  return files;
}

void write_tables(const StudyTables& tables, const std::filesystem::path& folder) {
  std::string auc =
      "system,score,group,normal,anomalous,auc,auc_low_seeds,auc_high_seeds,auc_low_clips,auc_high_clips\n";
  for (const AucRow& row : tables.auc) {
    auc += fmt::format("{},{},{},{},{},{},{},{}\n", row.system, row.score, io::csv_cell(row.group), row.normal,
                       row.anomalous, csv_interval(row.over_seeds), csv_number(row.over_clips.low),
                       csv_number(row.over_clips.high));
  }
  std::string differences = "system,score,against_system,against_score,group,difference,low,high\n";
  for (const DifferenceRow& row : tables.differences) {
    differences += fmt::format("{},{},{},{},{},{}\n", row.system, row.score, row.against_system, row.against_score,
                               io::csv_cell(row.group), csv_interval(row.difference));
  }
  std::string estimates =
      "system,group,clips,correlation,correlation_low,correlation_high,mean_absolute_error,error_low,error_high,"
      "calibrated_error,calibrated_low,calibrated_high\n";
  for (const EstimateRow& row : tables.estimates) {
    estimates += fmt::format("{},{},{},{},{},{}\n", row.system, row.group, row.clips, csv_interval(row.correlation),
                             csv_interval(row.mean_absolute_error), csv_interval(row.calibrated_error));
  }
  io::write_text(folder / "auc.csv", auc);
  io::write_text(folder / "differences.csv", differences);
  io::write_text(folder / "estimates.csv", estimates);
  std::string causes = "system,score,gap,spread,drift,inflation\n";
  for (const CauseRows& system : tables.causes) {
    for (const EvidenceRow& row : system.of_scores) {
      causes += fmt::format("{},{},{},{},{},{}\n", system.system, row.part, row.gap, csv_number(row.spread), row.drift,
                            csv_number(row.inflation));
    }
  }
  io::write_text(folder / "causes.csv", causes);
  write_alarms(tables.alarms, tables.challenge, folder);
}

std::string with_half_width(const Interval& interval, int decimals) {
  if (std::isnan(interval.low)) {
    return fmt::format("{:.{}f}", interval.value, decimals);
  }
  const double below = interval.value - interval.low, above = interval.high - interval.value;
  if (std::abs(above - below) > 1e-9 * (above + below)) {
    return fmt::format("{:.{}f} ({:.{}f} to {:.{}f})", interval.value, decimals, interval.low, decimals, interval.high,
                       decimals);
  }
  return fmt::format("{:.{}f} ± {:.{}f}", interval.value, decimals, 0.5 * (interval.high - interval.low), decimals);
}

std::string per_cent(const Interval& interval) {
  return with_half_width({100 * interval.value, 100 * interval.low, 100 * interval.high}, 1);
}

namespace {

/// The groups that a text has columns of: "all", "seen" and "unseen" and, where they differ, combinations of values.
std::vector<std::string> shown_groups(const StudyTables& tables) {
  std::vector<std::string> groups = {"all", "seen", "unseen"};
  for (const char* combination : {"seen combination", "unseen combination"}) {
    if (std::any_of(tables.auc.begin(), tables.auc.end(),
                    [&](const AucRow& row) { return row.group == combination; })) {
      groups.emplace_back(combination);
    }
  }
  return groups;
}

/// What an operator sees, by the scores that decide or are compared with.
std::string alarms_text(const StudyTables& tables, const Study& study) {
  TextTable table;
  std::vector<std::string> head = {"at a threshold for 5 % false alarms", "score"};
  const std::vector<std::string> groups = shown_groups(tables);
  for (size_t g = 1; g < groups.size(); ++g) {
    head.push_back(fmt::format("{}{} %", g == 1 ? "false alarms, " : "", groups[g]));
  }
  head.emplace_back("faults found, all %");
  table.add(std::move(head));
  for (const SystemScores& system : study.systems) {
    for (const std::string& score : scores_to_compare(system)) {
      const AlarmRow* all = find_alarms(tables, system.system.name, score, "all");
      if (all == nullptr) {
        continue;
      }
      std::vector<std::string> line = {system.system.title, score};
      for (size_t g = 1; g < groups.size(); ++g) {
        const AlarmRow* row = find_alarms(tables, system.system.name, score, groups[g]);
        line.push_back(row == nullptr ? "-" : per_cent(row->false_alarms));
      }
      line.push_back(per_cent(all->found));
      table.add(std::move(line));
    }
  }
  return table.text() + "\nThresholds are set on normal training clips, one for all values.\n";
}

}  // namespace

std::string to_text(const StudyTables& tables, const Study& study) {
  TextTable table;
  const std::vector<std::string> groups = shown_groups(tables);
  std::vector<std::string> head = {"system", "score"};
  for (size_t g = 0; g < groups.size(); ++g) {
    head.push_back(fmt::format("{}{} %", g == 0 ? "AUC " : "", groups[g]));
  }
  table.add(std::move(head));
  for (const SystemScores& system : study.systems) {
    for (const std::string& score : scores_to_compare(system)) {
      std::vector<std::string> line = {system.system.title, score};
      for (const std::string& group : groups) {
        const AucRow* row = find_auc(tables, system.system.name, score, group);
        line.push_back(row == nullptr ? "-" : per_cent(row->over_seeds));
      }
      if (find_auc(tables, system.system.name, score, "all") != nullptr) {
        table.add(line);
      }
    }
  }
  std::string text = table.text();
  text +=
      fmt::format("\n{}, mean ± half of the 95 % interval (Student's t; where it is cut at 0 or 100, its ends).\n\n",
                  count_text(static_cast<int64_t>(study.seeds.size()), "seed"));
  for (const std::string& line : tables.without_score) {
    text += line + "; its figures are left out.\n\n";
  }
  TextTable gains;
  gains.add({"against the conventional flow's nll", "score", "where", "difference", "95 % interval"});
  for (const DifferenceRow& row : tables.differences) {
    if (row.group != "unseen" && row.group != "unseen combination") {
      continue;
    }
    gains.add({row.system, row.score, row.group, fmt::format("{:+.1f}", 100 * row.difference.value),
               fmt::format("{:+.1f} .. {:+.1f}", 100 * row.difference.low, 100 * row.difference.high)});
  }
  text += gains.text() + fmt::format(
                             "\nUnseen: values of {}; unseen combination: values that were trained on, but not "
                             "together. Points of AUC, paired bootstrap of clips and seeds.\n",
                             study.parameter);
  text += fmt::format("\n{}", alarms_text(tables, study));
  if (tables.estimates.empty()) {
    return text;
  }
  TextTable estimates;
  estimates.add({"estimates of " + study.parameter, "clips", "correlation", "error", "calibrated"});
  for (const EstimateRow& row : tables.estimates) {
    estimates.add({row.system + ", " + row.group, std::to_string(row.clips),
                   fmt::format("{:.3f}", row.correlation.value), fmt::format("{:.1f}", row.mean_absolute_error.value),
                   fmt::format("{:.1f}", row.calibrated_error.value)});
  }
  return text + "\n" + estimates.text() + "\nMean absolute errors of normal test clips, in the parameter's unit.\n";
}

}  // namespace evenflow::experiments
