#include "experiments/report/dcase_score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <span>

#include "experiments/console.h"
#include "io/manifest.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

constexpr double no_dcase_figure = std::numeric_limits<double>::quiet_NaN();
constexpr double max_fpr = 0.1;

using ClipPointers = std::vector<const train::ClipScore*>;
using Wanted = std::function<bool(const train::ClipScore&)>;

bool any_domain(const train::ClipScore& /*clip*/) {
  return true;
}

Wanted of_domain(const std::string& domain) {
  return [=](const train::ClipScore& clip) { return clip.clip.domain == domain; };
}

Wanted of_domain_or_anomalous(const std::string& domain) {
  return [=](const train::ClipScore& clip) { return clip.clip.label == 1 || clip.clip.domain == domain; };
}

double merit(const ClipPointers& clips, const Wanted& wanted, bool partial) {
  std::vector<double> scores;
  std::vector<int> labels;
  for (const train::ClipScore* clip : clips) {
    if (clip->clip.label < 0 || !wanted(*clip)) {
      continue;
    }
    scores.push_back(clip->score);
    labels.push_back(clip->clip.label);
  }
  const std::set<int> classes(labels.begin(), labels.end());
  if (classes.size() < 2) {
    return no_dcase_figure;
  }
  return partial ? train::partial_auc(scores, labels, max_fpr) : train::auc(scores, labels);
}

/// F1 of the decisions, as the baselines give it beside the AUC.
double f1(const ClipPointers& clips, const Wanted& wanted) {
  std::vector<int> decisions, labels;
  for (const train::ClipScore* clip : clips) {
    if (clip->clip.label < 0 || clip->decision < 0 || !wanted(*clip)) {
      continue;
    }
    decisions.push_back(clip->decision);
    labels.push_back(clip->clip.label);
  }
  return decisions.empty() ? no_dcase_figure : train::decision_quality(decisions, labels).f1;
}

void add_rows(DcaseTable& table, const DcaseSection& section, const ClipPointers& clips) {
  const auto add = [&](const std::string& domain, std::vector<double> figures) {
    table.rows.push_back({section.first, section.second, domain, std::move(figures)});
  };
  if (table.rule == DcaseRule::of_2022) {
    add("",
        {merit(clips, of_domain_or_anomalous("source"), false), merit(clips, of_domain_or_anomalous("target"), false),
         merit(clips, any_domain, true), f1(clips, of_domain("source")), f1(clips, of_domain("target"))});
    return;
  }
  if (table.rule == DcaseRule::of_2020) {
    add("", {merit(clips, any_domain, false), merit(clips, any_domain, true), f1(clips, any_domain)});
    return;
  }
  for (const std::string domain : {"source", "target"}) {
    const Wanted own = of_domain(domain);
    if (std::any_of(clips.begin(), clips.end(), [&](const train::ClipScore* clip) { return own(*clip); })) {
      add(domain, {merit(clips, own, false), merit(clips, own, true), f1(clips, own)});
    }
  }
}

double mean_of(const std::vector<double>& figures) {
  return figures.empty() ? no_dcase_figure : train::mean(figures);
}

double harmonic_mean_of(const std::vector<double>& figures) {
  return figures.empty() ? no_dcase_figure : train::harmonic_mean(figures);
}

std::string official_percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.2f}", 100.0 * value);
}

/// "auc_source 70.12, ..."
std::string pooled_text(const DcaseTable& table) {
  std::string text;
  for (size_t i = 0; i < table.ranked; ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", table.names[i], official_percent(table.pooled(i)));
  }
  return text;
}

}  // namespace

std::map<DcaseSection, ClipPointers> dcase_sections(const std::vector<train::ClipScore>& clips) {
  std::map<DcaseSection, ClipPointers> sections;
  for (const train::ClipScore& clip : clips) {
    if (clip.clip.split == io::Split::test) {
      sections[{clip.clip.machine.empty() ? "machine" : clip.clip.machine,
                clip.clip.section.empty() ? "00" : clip.clip.section}]
          .push_back(&clip);
    }
  }
  return sections;
}

double DcaseTable::pooled(size_t figure) const {
  std::map<std::string, std::vector<double>> by_machine;
  std::vector<double> all;
  for (const DcaseRow& row : rows) {
    if (!std::isnan(row.figures[figure])) {
      all.push_back(row.figures[figure]);
      by_machine[row.machine].push_back(row.figures[figure]);
    }
  }
  if (rule != DcaseRule::of_2020) {
    return harmonic_mean_of(all);
  }
  std::vector<double> means;
  std::transform(by_machine.begin(), by_machine.end(), std::back_inserter(means),
                 [](const auto& machine) { return mean_of(machine.second); });
  return mean_of(means);
}

double DcaseTable::official_score() const {
  if (rule == DcaseRule::of_2020) {
    return no_dcase_figure;
  }
  std::vector<double> figures;
  for (const DcaseRow& row : rows) {
    std::copy_if(row.figures.begin(), row.figures.begin() + static_cast<std::ptrdiff_t>(ranked),
                 std::back_inserter(figures), [](double figure) { return !std::isnan(figure); });
  }
  return harmonic_mean_of(figures);
}

int64_t DcaseTable::ranked_figures() const {
  return static_cast<int64_t>(rows.size() * ranked) - missing_figures();
}

int64_t DcaseTable::missing_figures() const {
  int64_t missing = 0;
  for (const DcaseRow& row : rows) {
    const std::span<const double> figures(row.figures.data(), ranked);
    missing += std::count_if(figures.begin(), figures.end(), [](double figure) { return std::isnan(figure); });
  }
  return missing;
}

DcaseTable dcase_table(const std::vector<train::ClipScore>& clips, DcaseRule rule) {
  DcaseTable table;
  table.rule = rule;
  table.names = rule == DcaseRule::of_2022
                    ? std::vector<std::string>{"auc_source", "auc_target", "pauc", "f1_source", "f1_target"}
                    : std::vector<std::string>{"auc", "pauc", "f1"};
  table.ranked = rule == DcaseRule::of_2022 ? 3 : 2;
  for (const auto& [section, own] : dcase_sections(clips)) {
    add_rows(table, section, own);
  }
  return table;
}

std::vector<DcaseRule> dcase_rules(const std::vector<train::ClipScore>& clips) {
  const bool domains =
      std::any_of(clips.begin(), clips.end(), [](const train::ClipScore& clip) { return !clip.clip.domain.empty(); });
  return domains ? std::vector{DcaseRule::of_2022, DcaseRule::of_2021} : std::vector{DcaseRule::of_2020};
}

std::string name_of(DcaseRule rule) {
  return rule == DcaseRule::of_2020 ? "2020" : rule == DcaseRule::of_2021 ? "2021" : "2022 and later";
}

std::string official_scores_text(const std::vector<train::ClipScore>& clips) {
  if (std::none_of(clips.begin(), clips.end(), [](const auto& clip) { return clip.clip.label >= 0; })) {
    return "";
  }
  std::string text, missing;
  for (const DcaseRule rule : dcase_rules(clips)) {
    const DcaseTable table = dcase_table(clips, rule);
    if (rule == DcaseRule::of_2020) {
      text = fmt::format(
          "DCASE's figures of 2020, in % (means over sections, then machines; the clips have no domain, on which the "
          "official scores of later years rest)\n\n  2020            {}\n",
          pooled_text(table));
    } else {
      text += fmt::format("  {:<14}  {}  of {}: {}\n", name_of(rule), official_percent(table.official_score()),
                          count_text(table.ranked_figures(), "figure"), pooled_text(table));
    }
    if (table.missing_figures() > 0) {
      missing += fmt::format(
          "By the rule of {} {} a class that is not among the clips, and {} left out.\n", name_of(rule),
          table.missing_figures() == 1 ? "1 figure takes" : fmt::format("{} figures take", table.missing_figures()),
          table.missing_figures() == 1 ? "is" : "are");
    }
  }
  if (!text.starts_with("DCASE")) {
    text.insert(0, "DCASE's official score, in % (the harmonic mean of all AUC and pAUC)\n\n");
  }
  return text + missing;
}

}  // namespace evenflow::experiments
