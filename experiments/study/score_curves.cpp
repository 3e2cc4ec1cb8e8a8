#include "experiments/study/score_curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/study/cell.h"
#include "experiments/study/csv.h"
#include "experiments/study/groups.h"
#include "io/error.h"
#include "train/detect/score.h"
#include "train/statistics/finite.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t curve_seed = 1;

double auc_in(const std::vector<ClipGroup>& groups, const std::string& name, const SystemScores& system,
              const std::string& score) {
  const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& known) { return known.name == name; });
  if (group == groups.end()) {
    return std::nan("");
  }
  const std::vector<double> values = scores_in(system, score, *group).front();
  return train::all_finite(values) ? train::auc(values, group->labels) : std::nan("");
}

void add_points(const Study& study, int64_t epochs, train::ScoreTable table, ScoreCurve& curve) {
  const std::vector<ClipGroup> groups = test_groups(study);
  const SystemScores scores{curve.system, {std::move(table)}, {}};
  for (const std::string& score : scores_to_compare(scores)) {
    const auto auc_of = [&](const char* group) { return auc_in(groups, group, scores, score); };
    curve.points.push_back({epochs, score, auc_of("all"), auc_of("seen"), auc_of("unseen")});
  }
}

}  // namespace

ScoreCurve score_curve(const Study& study, const CurveOptions& options) {
  if (options.system.config.train.schedule != io::Schedule::constant) {
    throw io::UsageError("scores over epochs take a constant learning rate; set train.schedule = \"constant\"");
  }
  ScoreCurve curve{options.system, {}};
  for (const int64_t epochs : options.epochs) {
    const fs::path scores = options.folder / fmt::format("scores_{}.csv", epochs);
    if (!fs::exists(scores)) {
      Cell cell{options.folder / "run", fmt::format("{}, {} epochs", options.system.title, epochs),
                options.system.config, study.features};
      cell.config.train.seed = curve_seed;
      cell.config.train.epochs = epochs;
      cell.goes_further = true;
      if (!train_cell(cell, {options.stop, options.progress})) {
        curve.interrupted = true;
        return curve;
      }
      train::Detector detector(cell.run / "last.h5", cell.config.train.device, cell.config.train.threads);
      const io::Shard shard(study.features);
      train::write_scores(scores, detector.table(shard.parameter_names(), detector.score(shard), shard.categories()));
      options.log(fmt::format("{}: done", cell.title));
    }
    add_points(study, epochs, train::read_scores(scores), curve);
  }
  return curve;
}

std::string to_csv(const std::vector<ScoreCurve>& curves) {
  std::string text = "system,epochs,score,all,seen,unseen\n";
  for (const ScoreCurve& curve : curves) {
    for (const CurvePoint& point : curve.points) {
      text += fmt::format("{},{},{},{},{},{}\n", curve.system.name, point.epochs, point.score, csv_number(point.all),
                          csv_number(point.seen), csv_number(point.unseen));
    }
  }
  return text;
}

}  // namespace evenflow::experiments
