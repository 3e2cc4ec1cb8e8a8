#include "experiments/report/estimate_quality.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "io/manifest.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

class Estimates {
 public:
  Estimates(const train::ScoreTable& table, const std::vector<train::ClipScore>& clips,
            const train::TrainingPoints& training, Evaluation& out)
      : table_(table), clips_(clips), training_(training), out_(out) {}

  void run() {
    for (size_t e = 0; e < table_.estimated_names.size(); ++e) {
      const auto found =
          std::find(table_.parameter_names.begin(), table_.parameter_names.end(), table_.estimated_names[e]);
      if (found == table_.parameter_names.end()) {
        continue;
      }
      const auto p = static_cast<size_t>(found - table_.parameter_names.begin());
      // A name that was trained may have no clip here: the estimate's own list tells.
      const bool name = !io::categories_of(table_.estimated_categories, e).empty();
      if (name != !io::categories_of(table_.categories, p).empty()) {
        continue;  // no clip says a name
      }
      out_.without_estimate += std::count_if(clips_.begin(), clips_.end(), [=](const train::ClipScore& clip) {
        return !std::isnan(clip.clip.parameter[p]) && !std::isfinite(clip.estimate[e]);
      });
      for (const Group& group : out_.groups) {
        if (!group.is_overall()) {
          continue;
        }
        for (const char* clips : {"normal", "anomalous", "both"}) {
          if (name) {
            add_name(group, clips, e, p);
          } else {
            add_estimate(group, clips, e, p);
          }
        }
      }
      if (name) {
        add_names_left_out(e, p);
      }
    }
  }

 private:
  /// The names that the training had; where nothing tells, those that some estimate has.
  std::vector<std::string> trained_names(size_t e) const {
    return names_trained(table_, training_, e).value_or(table_.estimated_categories[e]);
  }

  /// The group's clips of which both value and estimate are known.
  std::vector<const train::ClipScore*> estimated_clips(const Group& group, const std::string& which, size_t e,
                                                       size_t p) const {
    std::vector<const train::ClipScore*> out;
    for (const size_t row : group.rows) {
      const train::ClipScore& clip = clips_[row];
      if ((which == "both" || (clip.clip.label == 1) == (which == "anomalous")) &&
          !std::isnan(clip.clip.parameter[p]) && std::isfinite(clip.estimate[e])) {
        out.push_back(&clip);
      }
    }
    return out;
  }

  void add_name(const Group& group, const std::string& which, size_t e, size_t p) {
    std::vector<double> probability;
    std::vector<int> right;
    const std::vector<std::string> trained = trained_names(e);
    for (const train::ClipScore* clip : estimated_clips(group, which, e, p)) {
      const double own = io::recoded(clip->clip.parameter[p], table_.categories[p], trained);
      if (!std::isnan(own) && std::isfinite(clip->probability[e])) {
        probability.push_back(clip->probability[e]);
        right.push_back(own == io::recoded(clip->estimate[e], table_.estimated_categories[e], trained) ? 1 : 0);
      }
    }
    if (right.empty()) {
      return;
    }
    const auto count = static_cast<int64_t>(right.size());
    out_.names.push_back({table_.estimated_names[e], group.kind, which, count,
                          static_cast<double>(std::count(right.begin(), right.end(), 1)) / static_cast<double>(count),
                          train::mean(probability), train::expected_calibration_error(probability, right)});
  }

  void add_names_left_out(size_t e, size_t p) {
    const std::vector<std::string> trained = trained_names(e);
    std::map<std::string, NamesLeftOut> by_name;
    for (const train::ClipScore& clip : clips_) {
      const double value = clip.clip.parameter[p];
      if (std::isnan(value) || !std::isnan(io::recoded(value, table_.categories[p], trained))) {
        continue;
      }
      const std::string& name = table_.categories[p][static_cast<size_t>(value)];
      NamesLeftOut& own = by_name.try_emplace(name, NamesLeftOut{table_.estimated_names[e], name}).first->second;
      ++(clip.clip.label == 1 ? own.anomalous : own.normal);
    }
    for (auto& [name, left_out] : by_name) {
      left_out.known = names_trained(table_, training_, e).has_value();
      out_.names_left_out.push_back(left_out);
    }
  }

  void add_estimate(const Group& group, const std::string& which, size_t e, size_t p) {
    std::vector<double> estimate, truth;
    for (const train::ClipScore* clip : estimated_clips(group, which, e, p)) {
      estimate.push_back(clip->estimate[e]);
      truth.push_back(clip->clip.parameter[p]);
    }
    if (estimate.empty()) {
      return;
    }
    out_.estimates.push_back({table_.estimated_names[e], group.kind, which, static_cast<int64_t>(estimate.size()),
                              train::mean_absolute_error(estimate, truth),
                              train::pearson_correlation(estimate, truth)});
  }

  const train::ScoreTable& table_;
  const std::vector<train::ClipScore>& clips_;
  const train::TrainingPoints& training_;
  Evaluation& out_;
};

}  // namespace

std::optional<std::vector<std::string>> names_trained(const train::ScoreTable& table,
                                                      const train::TrainingPoints& training, size_t e) {
  const auto points = training.find(table.estimated_names[e]);
  if (points == training.end() || points->second.empty()) {
    return std::nullopt;
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < points->second.size(); ++i) {
    names.push_back(points->second[i].name);
  }
  return names;
}

void add_estimates(Evaluation& evaluation, const train::ScoreTable& table, const std::vector<train::ClipScore>& clips,
                   const train::TrainingPoints& training) {
  Estimates(table, clips, training, evaluation).run();
}

}  // namespace evenflow::experiments
