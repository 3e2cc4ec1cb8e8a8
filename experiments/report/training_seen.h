// What a model was trained on, in the columns and names of a table of scores.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "experiments/report/evaluation.h"
#include "io/config.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "train/statistics/seen.h"

namespace evenflow::experiments {

/// Collects values by parameter and the combinations in which they occur.
class TrainingSeen {
 public:
  /// `table` gets the names of categories that its clips do not have; it must outlive this.
  explicit TrainingSeen(train::ScoreTable& table) : table_(table) {}

  /// Values of one parameter; `names`: what they are codes of. io::DataError: names where the table has numbers, or
  /// numbers where it has names.
  void add(const std::string& parameter, std::vector<double> values, const std::vector<std::string>& names);
  /// The normal training clips among these, with what they combine. Errors as above.
  void add(std::vector<io::Clip> clips, const std::vector<std::string>& names, const io::Categories& categories);
  /// Of a model that carries parameters, the values it was trained at. Errors as above.
  void add(const io::ConditionData& condition);
  /// What shards were trained on: by the settings of a training if there are any, else every normal training clip.
  void add_shards(const std::vector<std::filesystem::path>& paths, const io::TrainSettings* settings);
  /// The normal training clips among the table's own.
  void add_own_clips();
  /// What these combine alone.
  void add_combinations(std::span<const io::Clip> clips, const std::vector<std::string>& names,
                        const io::Categories& categories);

  const TrainingValues& values() const { return values_; }
  const TrainingRows& rows() const { return rows_; }

 private:
  std::vector<double> in_table(const std::string& parameter, std::vector<double> values,
                               const std::vector<std::string>& names);
  train::ScoreTable& table_;
  TrainingValues values_;
  TrainingRows rows_;
};

/// The operating points that these values come from; codes are of the table's names.
train::TrainingPoints training_points(const train::ScoreTable& table, const TrainingValues& training);
/// What counts as seen, a sentence; empty if nothing does. `names`: the parameters of a table.
std::string seen_rule(const std::vector<std::string>& names, const train::TrainingPoints& training);

}  // namespace evenflow::experiments
