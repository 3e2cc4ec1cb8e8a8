#include "experiments/study/evidence.h"

#include <cmath>
#include <functional>
#include <utility>

#include "experiments/study/groups.h"
#include "train/statistics/metrics.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

using train::ClipScore;
using train::mean;

double deviation(const std::vector<double>& x) {
  if (x.size() < 2) {
    return 0.0;
  }
  double sum = 0;
  for (const double value : x) {
    sum += std::pow(value - mean(x), 2);
  }
  return std::sqrt(sum / static_cast<double>(x.size() - 1));
}

/// Computed over a clip's scores by name.
using Part = std::function<double(const std::function<double(const char*)>& score)>;

struct Clips {
  std::vector<double> normal, anomalous;
};

/// By operating point, ascending.
std::vector<std::pair<double, Clips>> by_point(const train::OperatingPoints& trained, const train::ScoreTable& run,
                                               const Part& part) {
  const auto is_wanted = [](const ClipScore& clip) {
    return is_tested(clip) && !std::isnan(clip.clip.parameter.front());
  };
  std::vector<double> values;
  for (const ClipScore& clip : run.clips) {
    if (is_wanted(clip)) {
      values.push_back(clip.clip.parameter.front());
    }
  }
  const train::OperatingPoints points = trained.of_others(values);
  std::vector<std::pair<double, Clips>> out;
  for (size_t i = 0; i < points.size(); ++i) {
    out.push_back({points[i].centre(), {}});
  }
  for (const ClipScore& clip : run.clips) {
    if (is_wanted(clip)) {
      Clips& clips = out[points.nearest(clip.clip.parameter.front())].second;
      (clip.clip.label == 1 ? clips.anomalous : clips.normal).push_back(part([&](const char* name) {
        return run.value(clip, name);
      }));
    }
  }
  return out;
}

EvidenceRow of_run(const train::OperatingPoints& trained, const train::ScoreTable& run, const Part& part) {
  std::vector<double> gaps, spreads, centres, seen, unseen;
  for (const auto& [value, clips] : by_point(trained, run, part)) {
    const auto& [normal, anomalous] = clips;
    if (normal.empty() || anomalous.empty()) {
      continue;
    }
    gaps.push_back(mean(anomalous) - mean(normal));
    if (normal.size() > 1) {
      spreads.push_back(deviation(normal));
    }
    centres.push_back(mean(normal));
    (trained.of(value) == train::Familiarity::seen ? seen : unseen).push_back(centres.back());
  }
  if (gaps.empty()) {
    return {"", std::nan(""), std::nan(""), std::nan(""), std::nan("")};
  }
  const double inflation = seen.empty() || unseen.empty() ? std::nan("") : mean(unseen) - mean(seen);
  return {"", mean(gaps), spreads.empty() ? std::nan("") : mean(spreads), deviation(centres), inflation};
}

/// The mean over the runs; not finite if one run's is not.
EvidenceRow over_runs(const Study& study, const SystemScores& system, const std::string& name, const Part& part) {
  const train::OperatingPoints trained(study.training_values);
  EvidenceRow row{name, 0, 0, 0, 0};
  for (const train::ScoreTable& run : system.runs) {
    const EvidenceRow one = of_run(trained, run, part);
    const auto n = static_cast<double>(system.runs.size());
    row.gap += one.gap / n;
    row.spread += one.spread / n;
    row.drift += one.drift / n;
    row.inflation += one.inflation / n;
  }
  return row;
}

}  // namespace

std::vector<EvidenceRow> evidence(const Study& study, const SystemScores& flow) {
  const std::vector<std::pair<std::string, Part>> parts = {
      {"zc", [](const auto& score) { return score("score_zc"); }},
      {"zd", [](const auto& score) { return score("nll") - score("score_zc_logdet"); }},
      {"log-det", [](const auto& score) { return score("score_zc_logdet") - score("score_zc"); }},
      {"nll", [](const auto& score) { return score("nll"); }}};
  std::vector<EvidenceRow> rows;
  for (const auto& [name, part] : parts) {
    const EvidenceRow row = over_runs(study, flow, name, part);
    if (std::isfinite(row.gap)) {
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<EvidenceRow> causes(const Study& study, const SystemScores& system) {
  std::vector<EvidenceRow> rows;
  for (const std::string& name : scores_to_compare(system)) {
    const EvidenceRow row = over_runs(study, system, name, [&](const auto& score) { return score(name.c_str()); });
    if (std::isfinite(row.gap)) {
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace evenflow::experiments
