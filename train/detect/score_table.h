// Scores of clips as a table, and its file, the scores CSV of docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/manifest.h"
#include "io/model_file.h"
#include "train/detect/clip_sound.h"

namespace evenflow::train {

/// Scores of one clip: each the aggregate (mean, max or top-k) over its windows, or derived from such.
struct ClipScore {
  io::Clip clip;
  double score = 0;                 ///< the one that decides
  std::vector<double> scores;       ///< all, by ScoreTable::score_names or Detector::score_names(); NaN: no value
  std::vector<double> estimate;     ///< per conditioned parameter, mean over windows; of a name its likeliest category
  std::vector<double> probability;  ///< of that category, mean over windows; NaN of a number
  double p_value = std::numeric_limits<double>::quiet_NaN();  ///< of `score` (statistics/conformal.h); NaN: none
  int decision = -1;    ///< 1 anomalous, 0 normal, -1 none: no threshold in the model, or no finite score
  bool silent = false;  ///< its frames say nothing (frontend/silence.h)
  /// 1: its estimate lies outside of what was calibrated, it fits no category of a name, or it is said to have a name
  /// that was never trained; 0: none of these; -1: nothing was calibrated, and none of these.
  int outside_calibration = -1;
  /// It has enough of no category, or of several, of one of the model's names; or it is said to have a name that the
  /// model was never trained on.
  bool no_category = false;
  int64_t windows = 0, frames = 0;
  uint64_t frames_sum = 0;        ///< by which its frames are known again (io/shard.h)
  std::vector<float> descriptor;  ///< the model's (flow::Model::descriptor_size), mean over windows, while it is needed
  std::vector<float> copied_descriptor;  ///< of a changed copy: that of its recording
  ClipSound sound;                       ///< while it is needed
  std::string fault;                     ///< why `score` or an estimate is not finite; empty if all are
};

struct ScoreTable {
  std::vector<std::string> parameter_names, score_names, estimated_names;  ///< what the columns of a clip's rows are
  std::vector<ClipScore> clips;
  io::Categories categories = {};            ///< of each parameter that is one the names, in any order
  io::Categories estimated_categories = {};  ///< of each estimated parameter that is one

  /// The place of a score in ClipScore::scores. io::DataError names one that the table does not have.
  size_t column(const std::string& score) const;
  /// A clip's value by the score's name; io::DataError as column's.
  double value(const ClipScore& clip, const std::string& score) const { return clip.scores[column(score)]; }
};

/// The tables as one, in their order, with the columns of all: NaN where a table lacks one. io::DataError: a parameter
/// that has numbers in one table and names in another.
ScoreTable joined(const std::vector<ScoreTable>& tables);

/// Is it one that needs the parameters' values (flow::Score)? False of a score that no kind of model has.
bool needs_parameters(const std::string& score);

/// How many of the wanted clips have no finite value of a score, by the scores that have such clips, in the table's
/// order. Of clips that have the deciding one, `score`; where a score needs the parameters (flow::Score) and they are
/// unknown it is meant to have none.
std::vector<std::pair<std::string, int64_t>> without_value(const ScoreTable& table,
                                                           const std::function<bool(const ClipScore&)>& wanted);

/// Names that a model was trained on, by parameter.
using TrainedNames = std::map<std::string, std::vector<std::string>>;
TrainedNames trained_names(const io::ConditionData& condition);

/// Clips whose `outside_calibration` is 1, each once, by the reason.
struct OutsideClips {
  struct Untrained {
    std::string parameter, name;
    std::vector<std::string> trained, paths;
  };
  std::vector<Untrained> untrained;   ///< are said to have a name that was never trained
  std::vector<std::string> unlike;    ///< paths of those that fit no category, as far as ClipScore::no_category says
  std::vector<std::string> estimate;  ///< paths of all others: of another operating point than those calibrated
  bool empty() const { return untrained.empty() && unlike.empty() && estimate.empty(); }
  std::vector<std::string> paths() const;  ///< all
};
OutsideClips outside_calibration(const ScoreTable& table, const TrainedNames& trained);

/// Writes the table atomically; read_scores reads it back (DataError names line and column):
/// path,machine,label,<parameter...>,score,<the other scores...>,<estimate_parameter...>,decision,split,domain,section,
/// p_value and, where one of them says something, outside_calibration. Behind the estimate of a category, a name,
/// stands its probability, estimate_parameter_p. Numbers have as many digits as it takes to read the same double; NaN
/// is an empty cell. A parameter that is a category has its names as cells; where one of them could be taken for a
/// number, its column is called "tool:category".
void write_scores(const std::filesystem::path& file, const ScoreTable& table);
/// What stands between `score` and the estimates are scores, of whatever model (io::is_score_name).
ScoreTable read_scores(const std::filesystem::path& file);
/// io::DataError naming `file` if a parameter is called like one of those columns, in whatever letters: the scores
/// could not be read back.
void require_parameter_names(const std::vector<std::string>& names, const std::filesystem::path& file);

}  // namespace evenflow::train
