#include "experiments/study/evidence.h"

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "experiments/study/groups.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {
namespace {

using train::ClipScore;

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

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

EvidenceRow of_run(const train::OperatingPoints& trained, const train::ScoreTable& run, const Part& part) {
  std::map<double, std::pair<std::vector<double>, std::vector<double>>> by_value;  // normal, anomalous
  for (const ClipScore& clip : run.clips) {
    if (clip.clip.split != io::Split::test || clip.clip.label < 0 || std::isnan(clip.clip.parameter.front())) {
      continue;
    }
    auto& [normal, anomalous] = by_value[clip.clip.parameter.front()];
    (clip.clip.label == 1 ? anomalous : normal).push_back(part([&](const char* name) {
      return run.value(clip, name);
    }));
  }
  std::vector<double> gaps, spreads, centres, seen, unseen;
  for (const auto& [value, clips] : by_value) {
    const auto& [normal, anomalous] = clips;
    if (normal.empty() || anomalous.empty()) {
      continue;
    }
    gaps.push_back(mean(anomalous) - mean(normal));
    spreads.push_back(deviation(normal));
    centres.push_back(mean(normal));
    (trained.of(value) == train::Familiarity::seen ? seen : unseen).push_back(centres.back());
  }
  if (gaps.empty()) {
    return {"", std::nan(""), std::nan(""), std::nan(""), std::nan("")};
  }
  const double inflation = seen.empty() || unseen.empty() ? std::nan("") : mean(unseen) - mean(seen);
  return {"", mean(gaps), mean(spreads), deviation(centres), inflation};
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
