#include "experiments/study/alarms.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/study/csv.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/manifest.h"
#include "train/detect/threshold.h"
#include "train/statistics/finite.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

/// Scores and labels of one run.
struct Labelled {
  std::vector<double> scores;
  std::vector<int> labels;
  bool has_normal() const { return std::find(labels.begin(), labels.end(), 0) != labels.end(); }
};

/// The normal clips of one side and all anomalous ones.
Labelled against_all_anomalies(const Study& study, const SystemScores& system, size_t run, const std::string& score,
                               const std::string& side) {
  Labelled out;
  for (const train::ClipScore& clip : system.runs[run].clips) {
    if (is_tested(clip) && (clip.clip.label == 1 || side.empty() || side_of(study, clip) == side)) {
      out.scores.push_back(system.runs[run].value(clip, score));
      out.labels.push_back(clip.clip.label);
    }
  }
  return out;
}

}  // namespace

std::optional<std::vector<double>> alarm_thresholds(const SystemScores& system, const std::string& score,
                                                    double false_alarms) {
  io::ScoreSettings settings = system.system.config.score;
  settings.threshold_quantile = 1.0 - false_alarms;
  std::vector<double> values;
  for (size_t run = 0; run < system.runs.size(); ++run) {
    try {
      values.push_back(train::fit_threshold(normal_scores(system, run, score), settings, score).data.value);
    } catch (const io::DataError&) {
      return std::nullopt;
    }
  }
  return values;
}

std::vector<double> shares_above(const train::RunScores& runs, const std::vector<double>& thresholds,
                                 const ClipGroup& group, int label) {
  std::vector<double> shares;
  for (size_t run = 0; run < runs.size(); ++run) {
    double above = 0, clips = 0;
    for (size_t i = 0; i < group.labels.size(); ++i) {
      if (group.labels[i] == label) {
        clips += 1.0;
        above += runs[run][i] > thresholds[run] ? 1.0 : 0.0;
      }
    }
    shares.push_back(above / clips);
  }
  return shares;
}

std::vector<AlarmRow> alarms(const Study& study, double false_alarms) {
  const auto share = [](const auto&... of) { return train::bounded_mean_interval(shares_above(of...), 0, 1); };
  std::vector<AlarmRow> rows;
  const std::vector<ClipGroup> groups = test_groups(study);
  for (const SystemScores& system : study.systems) {
    for (const std::string& score : scores_to_compare(system)) {
      const auto levels = alarm_thresholds(system, score, false_alarms);
      if (!levels) {
        continue;
      }
      for (const ClipGroup& group : groups) {
        const train::RunScores runs = scores_in(system, score, group);
        if (are_finite(runs)) {
          rows.push_back({system.system.name, score, group.name, group.normal(), group.anomalous(),
                          share(runs, *levels, group, 0), share(runs, *levels, group, 1)});
        }
      }
    }
  }
  return rows;
}

std::vector<ChallengeRow> challenge_figures(const Study& study) {
  std::vector<ChallengeRow> rows;
  for (const SystemScores& system : study.systems) {
    for (const std::string& score : scores_to_compare(system)) {
      std::vector<double> source, target, partial, mean;
      for (size_t run = 0; run < system.runs.size(); ++run) {
        const Labelled all = against_all_anomalies(study, system, run, score, "");
        const Labelled seen = against_all_anomalies(study, system, run, score, "seen");
        const Labelled unseen = against_all_anomalies(study, system, run, score, "unseen");
        if (!train::all_finite(all.scores) || !seen.has_normal() || !unseen.has_normal()) {
          break;
        }
        source.push_back(train::auc(seen.scores, seen.labels));
        target.push_back(train::auc(unseen.scores, unseen.labels));
        partial.push_back(train::partial_auc(all.scores, all.labels));
        mean.push_back(train::harmonic_mean(std::vector{source.back(), target.back(), partial.back()}));
      }
      if (mean.size() == system.runs.size()) {
        const auto interval = [](const std::vector<double>& x) { return train::bounded_mean_interval(x, 0, 1); };
        rows.push_back(
            {system.system.name, score, interval(source), interval(target), interval(partial), interval(mean)});
      }
    }
  }
  return rows;
}

void write_alarms(const std::vector<AlarmRow>& alarms, const std::vector<ChallengeRow>& challenge,
                  const std::filesystem::path& folder) {
  std::string text =
      "system,score,group,normal,anomalous,false_alarms,false_alarms_low,false_alarms_high,found,found_low,found_"
      "high\n";
  for (const AlarmRow& row : alarms) {
    text += fmt::format("{},{},{},{},{},{},{}\n", row.system, row.score, io::csv_cell(row.group), row.normal,
                        row.anomalous, csv_interval(row.false_alarms), csv_interval(row.found));
  }
  io::write_text(folder / "alarms.csv", text);
  text =
      "system,score,source_auc,source_low,source_high,target_auc,target_low,target_high,pauc,pauc_low,pauc_high,"
      "harmonic_mean,harmonic_low,harmonic_high\n";
  for (const ChallengeRow& row : challenge) {
    text += fmt::format("{},{},{},{},{},{}\n", row.system, row.score, csv_interval(row.source_auc),
                        csv_interval(row.target_auc), csv_interval(row.partial_auc), csv_interval(row.harmonic_mean));
  }
  io::write_text(folder / "challenge.csv", text);
}

}  // namespace evenflow::experiments
