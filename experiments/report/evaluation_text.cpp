// What a person reads of an evaluation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/console.h"
#include "experiments/report/evaluation.h"
#include "experiments/report/score_notes.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

constexpr size_t most_values_shown = 24;

std::string percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.1f}", 100.0 * value);
}

std::string merit_text(const Merit& merit) {
  return std::isnan(merit.auc) ? "-" : percent(merit.auc) + " / " + percent(merit.pauc);
}

/// In the table "score_" goes without saying.
std::string heading(const std::string& score, const std::string& decided_by) {
  const std::string name = score.starts_with("score_") ? score.substr(6) : score;
  return score == decided_by ? name + " *" : name;
}

std::vector<std::string> merit_cells(const Evaluation& evaluation, const std::map<std::string, Merit>& scores,
                                     std::vector<std::string> cells) {
  for (const std::string& score : evaluation.score_names) {
    cells.push_back(merit_text(scores.at(score)));
  }
  return cells;
}

TextTable merit_table(const Evaluation& evaluation) {
  TextTable table;
  std::vector<std::string> header = {"", "normal", "anomalous"};
  for (const std::string& score : evaluation.score_names) {
    header.push_back(heading(score, evaluation.decided_by));
  }
  table.add(std::move(header));
  return table;
}

void add_group(TextTable& table, const Evaluation& evaluation, const Group& group) {
  table.add(merit_cells(evaluation, group.scores,
                        {group.name, std::to_string(group.normal), std::to_string(group.anomalous)}));
}

/// Single values, domains, machines; nothing if there are none.
std::string groups_text(const Evaluation& evaluation) {
  const auto values = std::count_if(evaluation.groups.begin(), evaluation.groups.end(),
                                    [](const Group& group) { return group.kind == "value"; });
  const bool show_values = values <= static_cast<int64_t>(most_values_shown);
  TextTable table = merit_table(evaluation);
  bool any = false;
  for (const Group& group : evaluation.groups) {
    if (group.is_overall() || (group.kind == "value" && !show_values)) {
      continue;
    }
    add_group(table, evaluation, group);
    any = true;
  }
  std::string text =
      any ? "Group by group, AUC / pAUC in % (read as below; few clips say little)\n\n" + table.text() : "";
  if (!show_values) {
    text += fmt::format("The {} single parameter values are in evaluation.csv (--out).\n", values);
  }
  return text.empty() ? text : text + "\n";
}

std::string scores_text(const Evaluation& evaluation) {
  TextTable table = merit_table(evaluation);
  for (const Group& group : evaluation.groups) {
    if (group.is_overall()) {
      add_group(table, evaluation, group);
    }
  }
  for (const MeanOverValues& mean : evaluation.means) {
    table.add(merit_cells(evaluation, mean.scores, {mean.name, "", ""}));
  }
  return "How well each score tells anomalous from normal clips: AUC / pAUC in %\n"
         "(100: perfectly, 50: not at all; pAUC: where at most 10 % of normal clips raise an alarm; *: what "
         "decides)\n\n" +
         table.text();
}

std::string estimates_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "clips", "mean error", "correlation"});
  bool any = false;
  for (const EstimateQuality& estimate : evaluation.estimates) {
    if (estimate.clips != "normal") {
      continue;
    }
    any = true;
    table.add({estimate.parameter + ", " + estimate.group, std::to_string(estimate.count),
               fmt::format("{:.4g}", estimate.mean_absolute_error),
               std::isnan(estimate.correlation) ? "-" : fmt::format("{:.3f}", estimate.correlation)});
  }
  if (!any) {
    return "";
  }
  return "\nHow well the sound of normal clips tells the parameters (mean error in the parameter's unit)\n\n" +
         table.text();
}

/// A line, or two; empty if no clip is left out of the rows of names.
std::string names_left_out_text(const Evaluation& evaluation) {
  std::string text;
  for (const bool known : {true, false}) {
    std::string names;
    for (const NamesLeftOut& of : evaluation.names_left_out) {
      if (of.known == known) {
        names += fmt::format("{}{} = {} ({} normal, {} anomalous)", names.empty() ? "" : ", ",
                             io::escaped(of.parameter), io::escaped(of.name), of.normal, of.anomalous);
      }
    }
    if (!names.empty()) {
      text += fmt::format(
          "In no row of names, as {}: {}.\n",
          known ? "the name was never trained" : "no estimate has the name (--model tells whether it was trained)",
          names);
    }
  }
  return text;
}

std::string names_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "clips", "right %", "mean probability %", "calibration error %"});
  bool any = false;
  for (const NameQuality& name : evaluation.names) {
    if (name.clips != "normal") {
      continue;
    }
    any = true;
    table.add({name.parameter + ", " + name.group, std::to_string(name.count), percent(name.accuracy),
               percent(name.mean_probability), percent(name.calibration_error)});
  }
  const std::string left_out = names_left_out_text(evaluation);
  if (!any) {
    return left_out.empty() ? "" : "\n" + left_out;
  }
  return "\nHow well the sound of normal clips tells the names (calibration error: how far their probabilities are "
         "from how often they are right)\n\n" +
         table.text() + left_out;
}

std::string decisions_text(const Evaluation& evaluation) {
  TextTable table;
  table.add({"", "false alarms", "missed", "precision %", "recall %", "F1 %"});
  bool any = false;
  for (const Group& group : evaluation.groups) {
    if (!group.decisions || !group.is_overall()) {
      continue;
    }
    any = true;
    const train::DecisionQuality& quality = *group.decisions;
    table.add({group.name, fmt::format("{} of {}", quality.false_positives, group.normal),
               fmt::format("{} of {}", quality.false_negatives, group.anomalous), percent(quality.precision),
               percent(quality.recall), percent(quality.f1)});
  }
  if (!any) {
    return "";
  }
  return "\nWhat the decisions were worth\n\n" + table.text();
}

/// What has no part in the figures, and what counts as seen.
std::string notes_text(const Evaluation& evaluation) {
  std::string text;
  if (!evaluation.seen_rule.empty()) {
    text += io::escaped(evaluation.seen_rule) + "\n";
  }
  if (const size_t count = evaluation.without_score.size(); count > 0) {
    text +=
        fmt::format("Left out, as the score is not finite: {} ({}).\n", count_text(static_cast<int64_t>(count), "clip"),
                    io::escaped(io::first_names(evaluation.without_score, 5)));
  }
  text += without_value_text(evaluation.without_value);
  for (const std::string& outside : evaluation.outside_texts) {
    text += fmt::format("Note: {}.\n", io::escaped(outside));
  }
  if (evaluation.without_estimate > 0) {
    text +=
        fmt::format("{} not finite and left out.\n",
                    evaluation.without_estimate == 1 ? "1 estimate is"
                                                     : fmt::format("{} estimates are", evaluation.without_estimate));
  }
  return text.empty() ? text : "\n" + text;
}

}  // namespace

std::string to_text(const Evaluation& evaluation) {
  return groups_text(evaluation) + scores_text(evaluation) + estimates_text(evaluation) + names_text(evaluation) +
         decisions_text(evaluation) + notes_text(evaluation);
}

}  // namespace evenflow::experiments
