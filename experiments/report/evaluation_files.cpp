// What a program reads of an evaluation: evaluation.csv and evaluation.json.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/report/evaluation.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

/// Of an estimate's clips, as the columns of normal and anomalous ones; both together have no column.
template <class Quality>
std::string counts_text(const Quality& quality) {
  return quality.clips == "normal"      ? fmt::format("{},", quality.count)
         : quality.clips == "anomalous" ? fmt::format(",{}", quality.count)
                                        : ",";
}

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json merits_json(const std::map<std::string, Merit>& scores) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [name, merit] : scores) {
    out[name] = {{"auc", number(merit.auc)}, {"pauc", number(merit.pauc)}};
  }
  return out;
}

std::string csv_row(const std::string& group, const std::string& kind, const std::string& counts,
                    const std::string& measure, const std::string& of, double value) {
  return fmt::format("{},{},{},{},{},{}\n", io::csv_cell(group), kind, counts, measure, io::csv_cell(of),
                     std::isnan(value) ? std::string() : fmt::format("{}", value));
}

}  // namespace

std::string to_csv(const Evaluation& evaluation) {
  std::string out = "group,kind,normal,anomalous,measure,of,value\n";
  const auto merits = [&](const std::string& name, const std::string& kind, const std::string& counts,
                          const std::map<std::string, Merit>& scores) {
    for (const std::string& score : evaluation.score_names) {
      out += csv_row(name, kind, counts, "auc", score, scores.at(score).auc);
      out += csv_row(name, kind, counts, "pauc", score, scores.at(score).pauc);
    }
  };
  for (const Group& group : evaluation.groups) {
    const std::string counts = fmt::format("{},{}", group.normal, group.anomalous);
    merits(group.name, group.kind, counts, group.scores);
    if (!group.decisions) {
      continue;
    }
    const train::DecisionQuality& quality = *group.decisions;
    for (const auto& [measure, value] : {std::pair("precision", quality.precision), std::pair("recall", quality.recall),
                                         std::pair("f1", quality.f1), std::pair("accuracy", quality.accuracy)}) {
      out += csv_row(group.name, group.kind, counts, measure, "decision", value);
    }
  }
  for (const MeanOverValues& mean : evaluation.means) {
    merits(mean.name, "mean", ",", mean.scores);
  }
  for (const EstimateQuality& estimate : evaluation.estimates) {
    const std::string counts = counts_text(estimate);
    const std::string name = estimate.group + ", " + estimate.clips + " clips";
    out +=
        csv_row(name, estimate.group, counts, "mean_absolute_error", estimate.parameter, estimate.mean_absolute_error);
    out += csv_row(name, estimate.group, counts, "correlation", estimate.parameter, estimate.correlation);
  }
  for (const NameQuality& quality : evaluation.names) {
    const std::string name = quality.group + ", " + quality.clips + " clips", counts = counts_text(quality);
    out += csv_row(name, quality.group, counts, "accuracy", quality.parameter, quality.accuracy);
    out += csv_row(name, quality.group, counts, "mean_probability", quality.parameter, quality.mean_probability);
    out += csv_row(name, quality.group, counts, "calibration_error", quality.parameter, quality.calibration_error);
  }
  for (const NamesLeftOut& of : evaluation.names_left_out) {
    out += csv_row("all", "all", fmt::format("{},{}", of.normal, of.anomalous), "clips_of_untrained_name",
                   fmt::format("{} = {}", of.parameter, of.name), static_cast<double>(of.normal + of.anomalous));
  }
  if (!evaluation.without_score.empty()) {
    out += csv_row("all", "all", ",", "clips_without_finite_score", "score",
                   static_cast<double>(evaluation.without_score.size()));
  }
  for (const auto& [score, count] : evaluation.without_value) {
    out += csv_row("all", "all", ",", "clips_without_finite_score", score, static_cast<double>(count));
  }
  if (!evaluation.outside_calibration.empty()) {
    out += csv_row("all", "all", ",", "clips_outside_calibration", "",
                   static_cast<double>(evaluation.outside_calibration.size()));
  }
  return out;
}

std::string to_json(const Evaluation& evaluation) {
  nlohmann::json out;
  out["decided_by"] = evaluation.decided_by;
  out["groups"] = nlohmann::json::array();
  for (const Group& group : evaluation.groups) {
    nlohmann::json entry = {{"name", group.name},
                            {"kind", group.kind},
                            {"normal", group.normal},
                            {"anomalous", group.anomalous},
                            {"scores", merits_json(group.scores)}};
    if (group.decisions) {
      const train::DecisionQuality& quality = *group.decisions;
      entry["decisions"] = {{"true_positives", quality.true_positives},
                            {"false_positives", quality.false_positives},
                            {"true_negatives", quality.true_negatives},
                            {"false_negatives", quality.false_negatives},
                            {"precision", number(quality.precision)},
                            {"recall", number(quality.recall)},
                            {"f1", number(quality.f1)},
                            {"accuracy", quality.accuracy}};
    }
    out["groups"].push_back(std::move(entry));
  }
  out["means"] = nlohmann::json::array();
  for (const MeanOverValues& mean : evaluation.means) {
    out["means"].push_back({{"name", mean.name}, {"values", mean.values}, {"scores", merits_json(mean.scores)}});
  }
  out["estimates"] = nlohmann::json::array();
  for (const EstimateQuality& estimate : evaluation.estimates) {
    out["estimates"].push_back({{"parameter", estimate.parameter},
                                {"group", estimate.group},
                                {"clips", estimate.clips},
                                {"count", estimate.count},
                                {"mean_absolute_error", number(estimate.mean_absolute_error)},
                                {"correlation", number(estimate.correlation)}});
  }
  out["names"] = nlohmann::json::array();
  for (const NameQuality& name : evaluation.names) {
    out["names"].push_back({{"parameter", name.parameter},
                            {"group", name.group},
                            {"clips", name.clips},
                            {"count", name.count},
                            {"accuracy", number(name.accuracy)},
                            {"mean_probability", number(name.mean_probability)},
                            {"calibration_error", number(name.calibration_error)}});
  }
  out["names_left_out"] = nlohmann::json::array();
  for (const NamesLeftOut& of : evaluation.names_left_out) {
    out["names_left_out"].push_back(
        {{"parameter", of.parameter}, {"name", of.name}, {"normal", of.normal}, {"anomalous", of.anomalous}});
  }
  out["seen_rule"] = evaluation.seen_rule;
  out["clips_without_finite_score"] = evaluation.without_score;
  out["clips_outside_calibration"] = evaluation.outside_calibration;
  out["scores_not_finite"] = nlohmann::json::object();
  for (const auto& [score, count] : evaluation.without_value) {
    out["scores_not_finite"][score] = count;
  }
  out["estimates_not_finite"] = evaluation.without_estimate;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace evenflow::experiments
