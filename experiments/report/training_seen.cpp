#include "experiments/report/training_seen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "experiments/recordings.h"
#include "io/error.h"

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

}  // namespace evenflow::experiments
