#include "experiments/report/training_seen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "experiments/recordings.h"
#include "io/error.h"
#include "io/shard.h"
#include "io/text.h"
#include "train/loop/selection.h"

namespace evenflow::experiments {

/// The values as codes of the table's names; as they are where the table lacks the parameter, or it is a number.
std::vector<double> TrainingSeen::in_table(const std::string& parameter, std::vector<double> values,
                                           const std::vector<std::string>& names) {
  const std::vector<std::string>& columns = table_.parameter_names;
  const auto p = static_cast<size_t>(std::find(columns.begin(), columns.end(), parameter) - columns.begin());
  if (p == columns.size()) {
    return values;
  }
  const bool known = std::any_of(table_.clips.begin(), table_.clips.end(), [p](const train::ClipScore& clip) {
    return p < clip.clip.parameter.size() && !std::isnan(clip.clip.parameter[p]);
  });
  table_.categories.resize(columns.size());
  std::vector<std::string>& own = table_.categories[p];
  const bool any = std::any_of(values.begin(), values.end(), [](double value) { return !std::isnan(value); });
  if (known && any && own.empty() != names.empty()) {
    throw io::DataError(
        fmt::format("'{}' has {} in the scores and {} in the training; score recordings whose manifest has it as the "
                    "training's has",
                    parameter, own.empty() ? "numbers" : "names", own.empty() ? "names" : "numbers"));
  }
  for (double& value : values) {
    if (names.empty() || std::isnan(value)) {
      continue;
    }
    const std::string& name = names.at(static_cast<size_t>(value));
    if (std::isnan(io::code_of(name, own))) {
      own.push_back(name);
    }
    value = io::code_of(name, own);
  }
  return values;
}

void TrainingSeen::add(const std::string& parameter, std::vector<double> values,
                       const std::vector<std::string>& names) {
  values = in_table(parameter, std::move(values), names);
  std::vector<double>& known = values_[parameter];
  known.insert(known.end(), values.begin(), values.end());
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
}

void TrainingSeen::add(std::vector<io::Clip> clips, const std::vector<std::string>& names,
                       const io::Categories& categories) {
  std::erase_if(clips, [](const io::Clip& clip) { return clip.split != io::Split::train || clip.label == 1; });
  for (size_t p = 0; p < names.size(); ++p) {
    add(names[p], distinct_values(clips, p), io::categories_of(categories, p));
  }
  add_combinations(clips, names, categories);
}

void TrainingSeen::add_combinations(std::span<const io::Clip> clips, const std::vector<std::string>& names,
                                    const io::Categories& categories) {
  const std::vector<std::string>& columns = table_.parameter_names;
  TrainingRows rows(clips.size(), std::vector<double>(columns.size(), std::numeric_limits<double>::quiet_NaN()));
  for (size_t p = 0; p < names.size(); ++p) {
    const auto column = static_cast<size_t>(std::find(columns.begin(), columns.end(), names[p]) - columns.begin());
    for (size_t i = 0; column < columns.size() && i < clips.size(); ++i) {
      rows[i][column] = in_table(names[p], {clips[i].parameter[p]}, io::categories_of(categories, p)).front();
    }
  }
  rows_.insert(rows_.end(), rows.begin(), rows.end());
}

void TrainingSeen::add(const io::ConditionData& condition) {
  for (size_t p = 0; p < condition.names.size(); ++p) {
    add(condition.names[p], condition.training_values[p], io::categories_of(condition.categories, p));
  }
}

void TrainingSeen::add_shards(const std::vector<std::filesystem::path>& paths, const io::TrainSettings* settings) {
  std::vector<io::Shard> files;
  files.reserve(paths.size());
  std::vector<const io::Shard*> shards;
  shards.reserve(paths.size());
  for (const std::filesystem::path& path : paths) {
    shards.push_back(&files.emplace_back(path));
  }
  if (settings == nullptr) {
    for (const io::Shard& shard : files) {
      add(shard.clips(), shard.parameter_names(), shard.categories());
    }
    return;
  }
  train::require_alike(shards);
  std::vector<io::Clip> clips;
  for (const auto& [file, clip] : train::clips_to_train_on(shards, *settings).clips) {
    clips.push_back(files[static_cast<size_t>(file)].clips()[static_cast<size_t>(clip)]);
  }
  add(std::move(clips), files.front().parameter_names(), files.front().categories());
}

void TrainingSeen::add_own_clips() {
  std::vector<io::Clip> clips;
  for (const train::ClipScore& score : table_.clips) {
    clips.push_back(score.clip);
  }
  add(std::move(clips), table_.parameter_names, table_.categories);
}

train::TrainingPoints training_points(const train::ScoreTable& table, const TrainingValues& training) {
  const std::vector<std::string>& all = table.parameter_names;
  train::TrainingPoints points;
  for (const auto& [name, values] : training) {
    const auto p = static_cast<size_t>(std::find(all.begin(), all.end(), name) - all.begin());
    points.emplace(name, train::OperatingPoints(values, io::categories_of(table.categories, p)));
  }
  return points;
}

std::string seen_rule(const std::vector<std::string>& names, const train::TrainingPoints& training) {
  std::string text;
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    const auto points = training.find(name);
    if (points == training.end() || points->second.empty()) {
      unknown.push_back(name);
      continue;
    }
    text += text.empty() ? "Seen in training: " : "; ";
    text += points->second.are_categories()
                ? fmt::format("{} {}", name, points->second.text())
                : fmt::format("{} within {:.3g} of {}", name, points->second.tolerance(), points->second.text());
  }
  if (!text.empty()) {
    text += ".";
  }
  if (unknown.empty()) {
    return text;
  }
  return text + fmt::format(
                    "{}Of {} no training values are known (a model has those of what it carries, which varied): "
                    "neither seen nor unseen; --training SHARD tells them.",
                    text.empty() ? "" : " ", io::first_names(unknown));
}

}  // namespace evenflow::experiments
