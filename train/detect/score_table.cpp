#include "train/detect/score_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "flow/factory.h"
#include "io/error.h"

namespace evenflow::train {
namespace {

/// Is the clip's value of each conditioned parameter known?
bool knows_parameters(const ScoreTable& table, const ClipScore& clip) {
  return std::all_of(table.estimated_names.begin(), table.estimated_names.end(), [&](const std::string& name) {
    const auto found = std::find(table.parameter_names.begin(), table.parameter_names.end(), name);
    const auto p = static_cast<size_t>(found - table.parameter_names.begin());
    return p < clip.clip.parameter.size() && !std::isnan(clip.clip.parameter[p]);
  });
}

/// Values in the columns of `from`, moved to those of `to`; NaN where there is none.
std::vector<double> moved(const std::vector<double>& values, const std::vector<std::string>& from,
                          const std::vector<std::string>& to) {
  std::vector<double> out;
  for (const std::string& name : to) {
    const auto found = std::find(from.begin(), from.end(), name);
    out.push_back(found == from.end() ? std::numeric_limits<double>::quiet_NaN()
                                      : values[static_cast<size_t>(found - from.begin())]);
  }
  return out;
}

void add_missing(std::vector<std::string>& names, const std::vector<std::string>& more) {
  for (const std::string& name : more) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
}

/// What columns of a table hold: names of parameters and, of those that are categories, the names of these.
struct Columns {
  const std::vector<std::string>& names;
  const io::Categories& categories;
};

/// Codes of the names of `from` become those of `to`.
void recode(std::vector<double>& values, const Columns& from, const Columns& to) {
  for (size_t p = 0; p < std::min(values.size(), from.names.size()); ++p) {
    const std::vector<std::string>& names = io::categories_of(from.categories, p);
    if (names.empty()) {
      continue;
    }
    const auto found = std::find(to.names.begin(), to.names.end(), from.names[p]);
    const auto column = static_cast<size_t>(found - to.names.begin());
    values[p] = io::recoded(values[p], names, io::categories_of(to.categories, column));
  }
}

/// The names of an estimated parameter in any of the tables; none of a number.
std::vector<std::string> estimated_in(const std::vector<ScoreTable>& tables, const std::string& parameter) {
  std::vector<std::string> names;
  for (const ScoreTable& table : tables) {
    const auto found = std::find(table.estimated_names.begin(), table.estimated_names.end(), parameter);
    add_missing(names, io::categories_of(table.estimated_categories,
                                         static_cast<size_t>(found - table.estimated_names.begin())));
  }
  return names;
}

/// Has a clip a value of the parameter?
bool any_known(const ScoreTable& table, size_t p) {
  return std::any_of(table.clips.begin(), table.clips.end(), [p](const ClipScore& clip) {
    return p < clip.clip.parameter.size() && !std::isnan(clip.clip.parameter[p]);
  });
}

/// The names of a parameter in any of the tables; none of a number.
std::vector<std::string> names_in(const std::vector<ScoreTable>& tables, const std::string& parameter) {
  std::vector<std::string> names;
  bool numbers = false;
  for (const ScoreTable& table : tables) {
    const auto found = std::find(table.parameter_names.begin(), table.parameter_names.end(), parameter);
    const auto p = static_cast<size_t>(found - table.parameter_names.begin());
    if (found == table.parameter_names.end()) {
      continue;
    }
    const std::vector<std::string>& own = io::categories_of(table.categories, p);
    add_missing(names, own);
    numbers = numbers || (own.empty() && any_known(table, p));
  }
  if (numbers && !names.empty()) {
    throw io::DataError(fmt::format(
        "'{}' has numbers in one table and names, such as '{}', in another; name the recordings' column '{}:category' "
        "in all manifests and score again",
        parameter, names.front(), parameter));
  }
  return names;
}

}  // namespace

ScoreTable joined(const std::vector<ScoreTable>& tables) {
  ScoreTable all;
  for (const ScoreTable& table : tables) {
    add_missing(all.parameter_names, table.parameter_names);
    add_missing(all.score_names, table.score_names);
    add_missing(all.estimated_names, table.estimated_names);
  }
  for (const std::string& parameter : all.parameter_names) {
    all.categories.push_back(names_in(tables, parameter));
  }
  for (const std::string& parameter : all.estimated_names) {
    all.estimated_categories.push_back(estimated_in(tables, parameter));
  }
  for (const ScoreTable& table : tables) {
    for (ClipScore clip : table.clips) {
      recode(clip.clip.parameter, {table.parameter_names, table.categories}, {all.parameter_names, all.categories});
      recode(clip.estimate, {table.estimated_names, table.estimated_categories},
             {all.estimated_names, all.estimated_categories});
      clip.probability.resize(table.estimated_names.size(), std::numeric_limits<double>::quiet_NaN());
      clip.probability = moved(clip.probability, table.estimated_names, all.estimated_names);
      clip.clip.parameter = moved(clip.clip.parameter, table.parameter_names, all.parameter_names);
      clip.scores = moved(clip.scores, table.score_names, all.score_names);
      clip.estimate = moved(clip.estimate, table.estimated_names, all.estimated_names);
      all.clips.push_back(std::move(clip));
    }
  }
  return all;
}

bool needs_parameters(const std::string& score) {
  const auto& factories = flow::model_factories();
  return std::any_of(factories.begin(), factories.end(), [&](const flow::ModelFactory& factory) {
    return std::any_of(factory.scores().begin(), factory.scores().end(),
                       [&](const flow::Score& own) { return own.needs_parameters && own.name == score; });
  });
}

size_t ScoreTable::column(const std::string& score) const {
  const auto found = std::find(score_names.begin(), score_names.end(), score);
  if (found != score_names.end()) {
    return static_cast<size_t>(found - score_names.begin());
  }
  throw io::DataError(fmt::format("there is no score '{}'; there are {}", score, fmt::join(score_names, ", ")));
}

std::vector<std::pair<std::string, int64_t>> without_value(const ScoreTable& table,
                                                           const std::function<bool(const ClipScore&)>& wanted) {
  std::vector<std::pair<std::string, int64_t>> found;
  for (size_t s = 0; s < table.score_names.size(); ++s) {
    const bool needs = needs_parameters(table.score_names[s]);
    const auto count = std::count_if(table.clips.begin(), table.clips.end(), [&](const ClipScore& clip) {
      return wanted(clip) && std::isfinite(clip.score) && !std::isfinite(clip.scores[s]) &&
             (!needs || knows_parameters(table, clip));
    });
    if (count > 0) {
      found.emplace_back(table.score_names[s], count);
    }
  }
  return found;
}

TrainedNames trained_names(const io::ConditionData& condition) {
  TrainedNames names;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      names[condition.names[p]] = condition.categories[p];
    }
  }
  return names;
}

namespace {

/// Adds the clip where it is said to have a name that was never trained.
bool add_untrained(const ScoreTable& table, const TrainedNames& trained, const io::Clip& clip,
                   std::vector<OutsideClips::Untrained>& out) {
  for (size_t p = 0; p < std::min(table.parameter_names.size(), clip.parameter.size()); ++p) {
    const auto known = trained.find(table.parameter_names[p]);
    const std::vector<std::string>& names = io::categories_of(table.categories, p);
    if (known == trained.end() || names.empty() || std::isnan(clip.parameter[p])) {
      continue;
    }
    const std::string& name = names.at(static_cast<size_t>(clip.parameter[p]));
    if (std::find(known->second.begin(), known->second.end(), name) != known->second.end()) {
      continue;
    }
    auto same = std::find_if(out.begin(), out.end(), [&](const OutsideClips::Untrained& other) {
      return other.parameter == known->first && other.name == name;
    });
    if (same == out.end()) {
      same = out.insert(out.end(), {known->first, name, known->second, {}});
    }
    same->paths.push_back(clip.path.string());
    return true;
  }
  return false;
}

}  // namespace

OutsideClips outside_calibration(const ScoreTable& table, const TrainedNames& trained) {
  OutsideClips out;
  for (const ClipScore& clip : table.clips) {
    if (clip.outside_calibration != 1 || add_untrained(table, trained, clip.clip, out.untrained)) {
      continue;
    }
    (clip.no_category ? out.unlike : out.estimate).push_back(clip.clip.path.string());
  }
  return out;
}

std::vector<std::string> OutsideClips::paths() const {
  std::vector<std::string> all = estimate;
  all.insert(all.end(), unlike.begin(), unlike.end());
  for (const Untrained& of_name : untrained) {
    all.insert(all.end(), of_name.paths.begin(), of_name.paths.end());
  }
  return all;
}

}  // namespace evenflow::train
