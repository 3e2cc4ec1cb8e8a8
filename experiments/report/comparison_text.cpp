// What a person or a program reads of a comparison.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "experiments/console.h"
#include "experiments/report/comparison.h"
#include "experiments/report/page.h"
#include "experiments/study/csv.h"
#include "io/manifest.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

/// A table under a heading: a row per figure, a column per run.
struct ComparisonPart {
  std::string heading, caption;
  std::vector<std::vector<std::string>> rows;
};

/// A, B, ..., Z, 27, 28, ...
std::string letter_of(size_t run) {
  return run < 26 ? std::string(1, static_cast<char>('A' + static_cast<char>(run))) : std::to_string(run + 1);
}

std::string loss_text(double loss) {
  return std::isnan(loss) ? "-" : fmt::format("{:.4f}", loss);
}

/// "90.1 (85.2 to 94.0)", in %.
std::string interval_text(const train::Interval& interval, bool sign) {
  const double value = 100.0 * interval.value, low = 100.0 * interval.low, high = 100.0 * interval.high;
  return sign ? fmt::format("{:+.1f} ({:+.1f} to {:+.1f})", value, low, high)
              : fmt::format("{:.1f} ({:.1f} to {:.1f})", value, low, high);
}

ComparisonPart settings_part(const Comparison& comparison) {
  ComparisonPart part{"Settings that differ", "", {}};
  for (const SettingRow& setting : comparison.settings) {
    std::vector<std::string> row = {setting.key};
    for (const auto& value : setting.values) {
      row.push_back(!value ? "-" : value->empty() ? "(none)" : *value);
    }
    part.rows.push_back(std::move(row));
  }
  return part;
}

ComparisonPart training_part(const Comparison& comparison) {
  ComparisonPart part{"How they were trained", "Losses in nats per dimension, of the last epoch and the least.", {}};
  const auto add = [&](const std::string& name, const std::function<std::string(const ComparedRun&)>& cell) {
    std::vector<std::string> row = {name};
    for (const ComparedRun& run : comparison.runs) {
      row.push_back(cell(run));
    }
    part.rows.push_back(std::move(row));
  };
  const auto of_end = [](const std::function<std::string(const TrainingEnd&)>& cell) {
    return [=](const ComparedRun& run) { return run.end ? cell(*run.end) : "-"; };
  };
  const auto of_model = [](const std::function<std::string(const io::Provenance&)>& cell) {
    return [=](const ComparedRun& run) { return run.provenance ? cell(*run.provenance) : "-"; };
  };
  add("epochs", of_end([](const TrainingEnd& end) { return std::to_string(end.epochs); }));
  add("training loss", of_end([](const TrainingEnd& end) { return loss_text(end.training_loss); }));
  add("held-out loss", of_end([](const TrainingEnd& end) { return loss_text(end.held_out_loss); }));
  add("least held-out loss", of_end([](const TrainingEnd& end) { return loss_text(end.least_held_out_loss); }));
  add("data", of_model([](const io::Provenance& p) { return p.data_hash; }));
  add("evenflow", of_model([](const io::Provenance& p) { return p.version; }));
  return part;
}

std::string p_value_text(double p) {
  return std::isnan(p) ? "-" : p < 0.0001 ? "< 0.0001" : fmt::format("{:.4f}", p);
}

std::string group_heading(const ComparedGroup& group) {
  const std::string heading = "How well they detect";
  return group.kind == "all" ? heading : fmt::format("{} at operating points {} in training", heading, group.kind);
}

std::string group_caption(const ComparedGroup& group) {
  const std::string counts = fmt::format("On {} and {}", count_text(group.normal, "normal clip"),
                                         count_text(group.anomalous, "anomalous clip"));
  if (group.kind != "all") {
    return counts + ", read as above.";
  }
  return counts +
         " that all have; 95 % intervals: of AUC and pAUC by a paired bootstrap over clips, of shares exact. A "
         "difference whose interval holds 0 may be chance; p is DeLong's, of a difference of AUCs as large as this by "
         "chance alone.";
}

ComparisonPart detection_part(const ComparedGroup& group) {
  ComparisonPart part{group_heading(group), group_caption(group), {}};
  size_t first = 0;
  while (!group.detection[first]) {
    ++first;
  }
  const auto add = [&](const std::string& name, const std::function<std::string(const DetectionFigures&)>& cell) {
    std::vector<std::string> row = {name};
    for (const auto& figures : group.detection) {
      row.push_back(figures ? cell(*figures) : "-");
    }
    part.rows.push_back(std::move(row));
  };
  const auto difference = [](const std::optional<train::Interval>& interval) {
    return interval && !std::isnan(interval->low) ? interval_text(*interval, true) : "-";
  };
  const auto share = [](const std::optional<train::Interval>& interval, int64_t count) {
    return interval ? fmt::format("{}: {}", count, interval_text(*interval, false)) : "-";
  };
  const std::string less = fmt::format("AUC less that of {}", letter_of(first));
  add("by score", [](const DetectionFigures& f) { return f.score; });
  add("AUC %", [](const DetectionFigures& f) { return interval_text(f.auc, false); });
  add(less, [&](const DetectionFigures& f) { return difference(f.auc_difference); });
  add("the same, DeLong", [&](const DetectionFigures& f) { return f.delong ? difference(f.delong->difference) : "-"; });
  add("p, DeLong", [](const DetectionFigures& f) { return f.delong ? p_value_text(f.delong->p_value) : "-"; });
  add("pAUC %", [](const DetectionFigures& f) { return interval_text(f.pauc, false); });
  add("p" + less, [&](const DetectionFigures& f) { return difference(f.pauc_difference); });
  add("false alarms, in %", [&](const DetectionFigures& f) { return share(f.false_alarm_share, f.false_alarms); });
  add("found, in %", [&](const DetectionFigures& f) { return share(f.found_share, f.found); });
  return part;
}

bool is_scored(const Comparison& comparison) {
  return !comparison.groups.empty();
}

bool is_trained(const Comparison& comparison) {
  for (const ComparedRun& run : comparison.runs) {
    if (run.config) {
      return true;
    }
  }
  return false;
}

std::vector<ComparisonPart> parts_of(const Comparison& comparison) {
  std::vector<ComparisonPart> parts;
  if (!comparison.settings.empty()) {
    parts.push_back(settings_part(comparison));
  }
  if (is_trained(comparison)) {
    parts.push_back(training_part(comparison));
  }
  for (const ComparedGroup& group : comparison.groups) {
    parts.push_back(detection_part(group));
  }
  return parts;
}

/// What else is to be said, a sentence each.
std::vector<std::string> remarks_on(const Comparison& comparison) {
  std::vector<std::string> remarks;
  if (is_trained(comparison) && comparison.settings.empty()) {
    remarks.emplace_back("No setting differs.");
  }
  if (!is_scored(comparison)) {
    remarks.emplace_back("Nothing was scored; --on SHARD compares how well they detect.");
  }
  remarks.insert(remarks.end(), comparison.notes.begin(), comparison.notes.end());
  if (comparison.left_out > 0) {
    remarks.push_back(fmt::format(
        "Left out, as not all have {} a finite score of {}: {}.", comparison.left_out == 1 ? "it or" : "them or",
        comparison.left_out == 1 ? "it" : "them", count_text(comparison.left_out, "labelled test clip")));
  }
  return remarks;
}

nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json interval_json(const std::optional<train::Interval>& interval) {
  if (!interval) {
    return nullptr;
  }
  return {{"value", json_number(interval->value)},
          {"low", json_number(interval->low)},
          {"high", json_number(interval->high)}};
}

nlohmann::json figures_json(const DetectionFigures& figures) {
  nlohmann::json out = {{"score", figures.score},
                        {"auc", interval_json(figures.auc)},
                        {"pauc", interval_json(figures.pauc)},
                        {"false_alarms", interval_json(figures.false_alarm_share)},
                        {"found", interval_json(figures.found_share)},
                        {"auc_difference", interval_json(figures.auc_difference)},
                        {"auc_difference_delong", nullptr},
                        {"auc_p", nullptr},
                        {"pauc_difference", interval_json(figures.pauc_difference)}};
  if (figures.delong) {
    out["auc_difference_delong"] = interval_json(figures.delong->difference);
    out["auc_p"] = json_number(figures.delong->p_value);
  }
  return out;
}

}  // namespace

std::string to_text(const Comparison& comparison) {
  std::string text;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    text += fmt::format("{}  {}\n", letter_of(i), io::escaped(comparison.runs[i].name));
  }
  for (const ComparisonPart& part : parts_of(comparison)) {
    TextTable table;
    std::vector<std::string> head = {""};
    for (size_t i = 0; i < comparison.runs.size(); ++i) {
      head.push_back(letter_of(i));
    }
    table.add(std::move(head));
    for (const std::vector<std::string>& row : part.rows) {
      table.add(row);
    }
    text += fmt::format("\n{}{}\n\n{}", part.heading, part.caption.empty() ? "" : fmt::format("\n{}", part.caption),
                        table.text());
  }
  const std::vector<std::string> remarks = remarks_on(comparison);
  for (size_t i = 0; i < remarks.size(); ++i) {
    text += fmt::format("{}{}\n", i == 0 ? "\n" : "", io::escaped(remarks[i]));
  }
  for (const std::string& warning : comparison.warnings) {
    text += fmt::format("warning: {}\n", io::escaped(warning));
  }
  return text;
}

std::string to_csv(const Comparison& comparison) {
  std::string out = "part,name,run,value,low,high\n";
  const auto add = [&](const std::string& part, const std::string& name, size_t run, const std::string& value,
                       const std::string& bounds = ",") {
    out += fmt::format("{},{},{},{},{}\n", part, name, io::csv_cell(comparison.runs[run].name), io::csv_cell(value),
                       bounds);
  };
  const auto add_interval = [&](const std::string& part, const std::string& name, size_t run,
                                const std::optional<train::Interval>& interval) {
    if (interval) {
      add(part, name, run, csv_number(interval->value), csv_number(interval->low) + ',' + csv_number(interval->high));
    }
  };
  for (const SettingRow& setting : comparison.settings) {
    for (size_t i = 0; i < setting.values.size(); ++i) {
      if (setting.values[i]) {
        add("setting", setting.key, i, *setting.values[i]);
      }
    }
  }
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    const ComparedRun& run = comparison.runs[i];
    if (run.end) {
      add("training", "epochs", i, std::to_string(run.end->epochs));
      add("training", "training_loss", i, csv_number(run.end->training_loss));
      add("training", "held_out_loss", i, csv_number(run.end->held_out_loss));
      add("training", "least_held_out_loss", i, csv_number(run.end->least_held_out_loss));
    }
    if (run.provenance) {
      add("training", "data_hash", i, run.provenance->data_hash);
      add("training", "version", i, run.provenance->version);
    }
  }
  for (const ComparedGroup& group : comparison.groups) {
    const std::string suffix = group.kind == "all" ? "" : "_" + group.kind;
    const std::string detection = "detection" + suffix, difference = "difference" + suffix;
    for (size_t i = 0; i < group.detection.size(); ++i) {
      const auto& figures = group.detection[i];
      if (!figures) {
        continue;
      }
      add(detection, "score", i, figures->score);
      add(detection, "normal", i, std::to_string(group.normal));
      add(detection, "anomalous", i, std::to_string(group.anomalous));
      add_interval(detection, "auc", i, figures->auc);
      add_interval(detection, "pauc", i, figures->pauc);
      add_interval(detection, "false_alarms", i, figures->false_alarm_share);
      add_interval(detection, "found", i, figures->found_share);
      add_interval(difference, "auc", i, figures->auc_difference);
      if (figures->delong) {
        add_interval(difference, "auc_delong", i, figures->delong->difference);
        add(difference, "auc_p", i, csv_number(figures->delong->p_value));
      }
      add_interval(difference, "pauc", i, figures->pauc_difference);
    }
  }
  return out;
}

std::string to_json(const Comparison& comparison) {
  nlohmann::json out;
  out["runs"] = nlohmann::json::array();
  for (const ComparedRun& run : comparison.runs) {
    nlohmann::json entry = {{"name", run.name}};
    if (run.end) {
      entry["epochs"] = run.end->epochs;
      entry["training_loss"] = json_number(run.end->training_loss);
      entry["held_out_loss"] = json_number(run.end->held_out_loss);
      entry["least_held_out_loss"] = json_number(run.end->least_held_out_loss);
    }
    if (run.provenance) {
      entry["data_hash"] = run.provenance->data_hash;
      entry["version"] = run.provenance->version;
    }
    out["runs"].push_back(std::move(entry));
  }
  out["settings"] = nlohmann::json::array();
  for (const SettingRow& setting : comparison.settings) {
    nlohmann::json values = nlohmann::json::array();
    for (const auto& value : setting.values) {
      values.push_back(value ? nlohmann::json(*value) : nlohmann::json(nullptr));
    }
    out["settings"].push_back({{"key", setting.key}, {"values", std::move(values)}});
  }
  out["groups"] = nlohmann::json::array();
  for (const ComparedGroup& group : comparison.groups) {
    nlohmann::json runs = nlohmann::json::array();
    for (const auto& figures : group.detection) {
      runs.push_back(figures ? figures_json(*figures) : nlohmann::json(nullptr));
    }
    out["groups"].push_back(
        {{"kind", group.kind}, {"normal", group.normal}, {"anomalous", group.anomalous}, {"runs", std::move(runs)}});
  }
  out["left_out"] = comparison.left_out;
  out["notes"] = comparison.notes;
  out["warnings"] = comparison.warnings;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string to_page(const Comparison& comparison) {
  Page page("Trainings compared", "What differs between them, and how well each detects on the same clips.");
  std::vector<std::string> names;
  for (size_t i = 0; i < comparison.runs.size(); ++i) {
    names.push_back(fmt::format("**{}** {}", letter_of(i), comparison.runs[i].name));
  }
  page.list(names);
  for (const std::string& warning : comparison.warnings) {
    page.paragraph(fmt::format("**Warning:** {}.", warning));
  }
  for (const ComparisonPart& part : parts_of(comparison)) {
    page.heading(part.heading);
    PageTable table{.head = {""}, .rows = part.rows, .caption = part.caption, .texts = true};
    for (size_t i = 0; i < comparison.runs.size(); ++i) {
      table.head.push_back(letter_of(i));
    }
    page.table(table);
  }
  for (const std::string& remark : remarks_on(comparison)) {
    page.paragraph(remark);
  }
  return page.html();
}

}  // namespace evenflow::experiments
