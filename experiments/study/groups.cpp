#include "experiments/study/groups.h"

#include <algorithm>

#include "train/statistics/finite.h"

namespace evenflow::experiments {
train::Combinations combinations_of(std::span<const std::vector<double>> rows, const std::vector<std::string>& names,
                                    const io::Categories& categories) {
  train::TrainingPoints points;
  for (size_t p = 0; p < names.size(); ++p) {
    std::vector<double> values;
    values.reserve(rows.size());
    for (const std::vector<double>& row : rows) {
      values.push_back(row.at(p));
    }
    points.emplace(names[p], train::OperatingPoints(std::move(values), io::categories_of(categories, p)));
  }
  return {rows, names, std::move(points)};
}

namespace {

using train::ClipScore;

constexpr const char* compare_first = "nll";

/// What the clips that the first run trained on or held out combine; of nothing where these are not known.
train::Combinations trained_combinations(const Study& study) {
  const SystemScores& system = study.systems.front();
  const train::ScoreTable& table = system.runs.front();
  if (system.normal.empty()) {
    return {};
  }
  std::vector<std::vector<double>> rows;
  for (const std::vector<size_t>* side : {&system.normal.front().training, &system.normal.front().held_out}) {
    for (const size_t row : *side) {
      rows.push_back(table.clips.at(row).clip.parameter);
    }
  }
  return combinations_of(rows, table.parameter_names, table.categories);
}

}  // namespace

int64_t ClipGroup::anomalous() const {
  return std::count(labels.begin(), labels.end(), 1);
}

int64_t ClipGroup::normal() const {
  return static_cast<int64_t>(labels.size()) - anomalous();
}

bool is_tested(const ClipScore& clip) {
  return clip.clip.split == io::Split::test && clip.clip.label >= 0;
}

std::string side_of(const Study& study, const ClipScore& clip) {
  const train::Familiarity familiarity = train::OperatingPoints(study.training_values).of(clip.clip.parameter.front());
  return familiarity == train::Familiarity::unknown ? "" : familiarity == train::Familiarity::seen ? "seen" : "unseen";
}

ClipGroup group_of(const Study& study, const std::string& name, const std::function<bool(const ClipScore&)>& wanted) {
  ClipGroup group{name, {}, {}};
  const std::vector<ClipScore>& clips = study.systems.front().runs.front().clips;
  for (size_t i = 0; i < clips.size(); ++i) {
    if (!is_tested(clips[i]) || !wanted(clips[i])) {
      continue;
    }
    group.rows.push_back(i);
    group.labels.push_back(clips[i].clip.label);
  }
  return group;
}

std::vector<ClipGroup> test_groups(const Study& study) {
  std::vector<ClipGroup> groups;
  const auto add = [&](ClipGroup group) {
    if (group.normal() > 0 && group.anomalous() > 0) {
      groups.push_back(std::move(group));
    }
  };
  add(group_of(study, "all", [](const ClipScore&) { return true; }));
  for (const std::string side : {"seen", "unseen"}) {
    add(group_of(study, side, [&](const ClipScore& clip) { return side_of(study, clip) == side; }));
  }
  const train::Combinations combinations = trained_combinations(study);
  const auto of = [&](const std::string& name, train::Familiarity wanted) {
    return group_of(study, name, [&](const ClipScore& clip) { return combinations.of(clip.clip.parameter) == wanted; });
  };
  if (ClipGroup unseen = of("unseen combination", train::Familiarity::unseen); !unseen.rows.empty()) {
    add(of("seen combination", train::Familiarity::seen));
    add(std::move(unseen));
  }
  std::vector<double> values;
  for (const ClipScore& clip : study.systems.front().runs.front().clips) {
    if (is_tested(clip)) {
      values.push_back(clip.clip.parameter.front());
    }
  }
  const train::OperatingPoints points = train::OperatingPoints(study.training_values).of_others(values);
  for (size_t i = 0; i < points.size(); ++i) {
    add(group_of(study, study.parameter + " = " + train::to_text(points[i]), [&](const ClipScore& clip) {
      return clip.clip.parameter.front() >= points[i].low && clip.clip.parameter.front() <= points[i].high;
    }));
  }
  return groups;
}

std::vector<std::string> scores_to_compare(const SystemScores& system) {
  std::vector<std::string> names;
  for (const std::string& name : system.runs.front().score_names) {
    const bool everywhere = std::all_of(system.runs.begin(), system.runs.end(), [&](const train::ScoreTable& run) {
      return std::find(run.score_names.begin(), run.score_names.end(), name) != run.score_names.end();
    });
    if (everywhere) {
      names.insert(name == compare_first ? names.begin() : names.end(), name);
    }
  }
  return names;
}

bool are_finite(const train::RunScores& runs) {
  return std::all_of(runs.begin(), runs.end(), [](const std::vector<double>& run) { return train::all_finite(run); });
}

train::RunScores scores_in(const SystemScores& system, const std::string& score, const ClipGroup& group) {
  train::RunScores runs;
  for (const train::ScoreTable& run : system.runs) {
    std::vector<double>& scores = runs.emplace_back();
    const size_t column = run.column(score);
    for (const size_t row : group.rows) {
      scores.push_back(run.clips[row].scores[column]);
    }
  }
  return runs;
}

}  // namespace evenflow::experiments
