#include "train/detect/score_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

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

}  // namespace

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

std::vector<std::string> outside_calibration(std::span<const ClipScore> clips) {
  std::vector<std::string> paths;
  for (const ClipScore& clip : clips) {
    if (clip.outside_calibration == 1) {
      paths.push_back(clip.clip.path.string());
    }
  }
  return paths;
}

}  // namespace evenflow::train
