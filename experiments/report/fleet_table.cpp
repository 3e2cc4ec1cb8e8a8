#include "experiments/report/fleet_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "experiments/console.h"
#include "experiments/study/csv.h"
#include "io/error.h"
#include "io/manifest.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

constexpr double no_fleet_figure = std::numeric_limits<double>::quiet_NaN();

using OwnClips = std::vector<const train::ClipScore*>;

FleetRow row_of(const std::string& machine, const OwnClips& clips) {
  FleetRow row{.machine = machine, .auc = no_fleet_figure, .pauc = no_fleet_figure};
  std::vector<double> scores;
  std::vector<int> labels;
  for (const train::ClipScore* clip : clips) {
    const bool anomalous = clip->clip.label == 1;
    scores.push_back(clip->score);
    labels.push_back(clip->clip.label);
    ++(anomalous ? row.anomalous : row.normal);
    row.decided += clip->decision >= 0 ? 1 : 0;
    (anomalous ? row.found : row.false_alarms) += clip->decision == 1 ? 1 : 0;
  }
  if (row.normal > 0 && row.anomalous > 0) {
    row.auc = train::auc(scores, labels);
    row.pauc = train::partial_auc(scores, labels);
  }
  return row;
}

std::string fleet_percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.1f}", 100.0 * value);
}

std::string share_cell(int64_t count, int64_t all, bool decided) {
  return decided && all > 0 ? fmt::format("{} of {}", count, all) : "-";
}

}  // namespace

FleetTable fleet_table(const std::vector<train::ClipScore>& clips) {
  FleetTable table;
  std::map<std::string, OwnClips> by_machine;
  for (const train::ClipScore& clip : clips) {
    if (clip.clip.split != io::Split::test || clip.clip.label < 0) {
      continue;
    }
    if (clip.clip.machine.empty()) {
      throw io::DataError(
          fmt::format("clip '{}' does not say its machine, and --each machine goes by it; leave the "
                      "option out, or name it in the scores' column machine",
                      clip.clip.path.string()));
    }
    OwnClips& own = by_machine[clip.clip.machine];
    if (std::isfinite(clip.score)) {
      own.push_back(&clip);
    } else {
      ++table.without_score;
    }
  }
  if (by_machine.empty()) {
    throw io::DataError(
        "no test clip in the scores has a label, and without labels there is nothing to evaluate; score clips of a "
        "manifest with normal and anomaly in the column label");
  }
  std::vector<double> auc, pauc;
  for (const auto& [machine, own] : by_machine) {
    table.machines.push_back(row_of(machine, own));
    if (!std::isnan(table.machines.back().auc)) {
      auc.push_back(table.machines.back().auc);
      pauc.push_back(table.machines.back().pauc);
    }
  }
  table.mean_auc = train::mean(auc);
  table.mean_pauc = train::mean(pauc);
  table.harmonic_auc = auc.empty() ? no_fleet_figure : train::harmonic_mean(auc);
  table.harmonic_pauc = auc.empty() ? no_fleet_figure : train::harmonic_mean(pauc);
  return table;
}

std::string to_text(const FleetTable& table) {
  TextTable text;
  text.add({"", "normal", "anomalous", "AUC %", "pAUC %", "false alarms", "found"});
  FleetRow all{.machine = "all machines"};
  int64_t one_class = 0;
  for (const FleetRow& row : table.machines) {
    const bool decided = row.decided > 0;
    text.add({row.machine, std::to_string(row.normal), std::to_string(row.anomalous), fleet_percent(row.auc),
              fleet_percent(row.pauc), share_cell(row.false_alarms, row.normal, decided),
              share_cell(row.found, row.anomalous, decided)});
    all.normal += row.normal;
    all.anomalous += row.anomalous;
    all.decided += row.decided;
    all.false_alarms += row.false_alarms;
    all.found += row.found;
    one_class += std::isnan(row.auc) ? 1 : 0;
  }
  const bool decided = all.decided == all.normal + all.anomalous;
  text.add({"mean", "", "", fleet_percent(table.mean_auc), fleet_percent(table.mean_pauc), "", ""});
  text.add({"harmonic mean", "", "", fleet_percent(table.harmonic_auc), fleet_percent(table.harmonic_pauc), "", ""});
  text.add({all.machine, std::to_string(all.normal), std::to_string(all.anomalous), "", "",
            share_cell(all.false_alarms, all.normal, decided), share_cell(all.found, all.anomalous, decided)});
  std::string out =
      "Machine by machine, by the score that each model decides by (pAUC: where at most 10 % of normal clips raise an "
      "alarm)\n\n" +
      text.text();
  if (one_class > 0) {
    out += fmt::format("{} {} test clips of one class only, and no AUC.\n", count_text(one_class, "machine"),
                       one_class == 1 ? "has" : "have");
  }
  if (table.without_score > 0) {
    out += fmt::format("Left out, as the score is not finite: {}.\n", count_text(table.without_score, "clip"));
  }
  return out;
}

std::string to_csv(const FleetTable& table) {
  std::string out = "machine,normal,anomalous,auc,pauc,decided,false_alarms,found\n";
  for (const FleetRow& row : table.machines) {
    out += fmt::format("{},{},{},{},{},{},{},{}\n", io::csv_cell(row.machine), row.normal, row.anomalous,
                       csv_number(row.auc), csv_number(row.pauc), row.decided, row.false_alarms, row.found);
  }
  out += fmt::format("mean,,,{},{},,,\n", csv_number(table.mean_auc), csv_number(table.mean_pauc));
  return out +
         fmt::format("harmonic mean,,,{},{},,,\n", csv_number(table.harmonic_auc), csv_number(table.harmonic_pauc));
}

}  // namespace evenflow::experiments
