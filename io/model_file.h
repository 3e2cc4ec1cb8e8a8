// Model and checkpoint files: one HDF5 layout (docs/formats.md), written atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/categories.h"
#include "io/config.h"

namespace evenflow::io {

/// One named array of a model. Floating tensors hold `values`; integer ones (permutation, sign) hold `integers`.
struct Tensor {
  enum class Type { float32, int32, int8 };
  std::string name;  ///< block1.step1.actnorm.bias
  std::vector<int64_t> shape;
  Type type = Type::float32;
  std::vector<float> values;
  std::vector<int32_t> integers;
};

/// The normaliser: (x - mean) / std per band, as stored.
struct NormaliserData {
  std::vector<float> mean;  ///< [mel_bands]
  std::vector<float> std;   ///< [mel_bands]
};

/// What zd was trained to carry. Empty names: unconstrained.
struct ConditionData {
  std::vector<std::string> names;
  std::vector<double> k;  ///< 1/unit
  std::vector<double> v0;
  std::vector<double> mean;                          ///< of the training clips' values
  std::vector<double> std;                           ///< biased
  std::vector<std::vector<double>> training_values;  ///< distinct, ascending, per parameter
  /// Of a parameter that is a name: the names in the training clips, sorted. Its value is a place in this list; v0 is 0
  /// and k what the mean of a category's own part of zd is. Empty: a number. All empty: of an older program.
  Categories categories = {};
  std::vector<std::vector<double>> frequency = {};  ///< of each category, its share of the training clips

  bool is_category(size_t p) const { return p < categories.size() && !categories[p].empty(); }
  bool has_category() const;
  /// The parameters that are names.
  std::vector<std::string> category_names() const;
};

struct ThresholdData {
  std::string score;   ///< which score the threshold and the decision are on
  std::string method;  ///< "gamma", "quantile", "rank", "normal", "conformal" or "value"
  double quantile = 0.9;
  double value = 0.0;         ///< anomalous when score > value; NaN: not fitted
  std::vector<double> gamma;  ///< shape, location, scale; empty for the other methods
  /// Normal clips that it rests on: those of the training or, of the method "conformal", those of ConformalData. 0: of
  /// an older program, which did not say.
  int64_t clips = 0;
  int64_t above = 0;  ///< so many of them score higher
};

/// What a score was over the normal training clips.
struct ScoreReference {
  std::string score;
  double mean = 0.0, deviation = 0.0;  ///< the deviation is biased
  bool operator==(const ScoreReference&) const = default;
};

/// What scores of normal clips were at the operating points that the model itself estimated for these clips.
struct CalibrationData {
  struct Score {
    std::string score;                     ///< that is calibrated
    std::vector<double> bandwidth;         ///< per parameter, in its unit
    std::vector<double> value;             ///< [points]; of copies moved to the level of clips
    std::vector<double> squared_residual;  ///< [clips], about what is expected there
    /// [operating points] what each has of its own beyond that, in spreads, and the share of the spread's square that
    /// knowing the point takes away, in [0, 1). Empty: nothing is known of operating points.
    std::vector<double> effect = {}, explained = {};
    bool operator==(const Score&) const = default;
  };
  int64_t clips = 0;                  ///< recorded ones: the first points; the others are copies at other speeds
  std::vector<double> estimate = {};  ///< [points, parameters]
  std::vector<Score> scores = {};
  /// [operating points, parameters] mean estimate of the clips recorded there; of a name its code.
  std::vector<double> point = {};
  std::vector<double> reach = {};  ///< [parameters] width of the Gaussian by which estimates belong to a point
  bool operator==(const CalibrationData&) const = default;
};

/// What the model makes of normal clips: their descriptors (flow/model.h), each the mean over a clip's windows.
struct PointData {
  int64_t length = 0;         ///< of a descriptor
  std::vector<float> values;  ///< [clips, length]
  bool operator==(const PointData&) const = default;
};

/// How normal clips sound, for explanations; the clips of PointData, in its order.
struct SoundData {
  std::vector<std::string> paths;        ///< [clips] as in the shard they were trained from
  std::vector<double> v;                 ///< [clips, parameters of the condition]; NaN: unknown
  int64_t bands = 0;                     ///< mel bands
  std::vector<float> level_db, peak_db;  ///< [clips, bands] mean and greatest over a clip's frames
  std::vector<float> quietest_db;        ///< [clips] of the frame whose mean over the bands is the least
  bool operator==(const SoundData&) const = default;
};

/// What is known of normal clips, for scores that rest on it.
struct NormalData {
  std::vector<ScoreReference> references = {};      ///< empty: not fitted, or of an older program
  std::optional<CalibrationData> calibration = {};  ///< none: no estimates, too few clips, or of an older program
  std::optional<PointData> points = {};             ///< none: too few clips, or of an older program
  /// frames_sum (io/shard.h) of each clip that was trained on, held-out ones not, ascending; empty: of an older program
  std::vector<uint64_t> trained_on = {};
  std::optional<SoundData> sound = {};  ///< none without points, or of an older program
};

/// What scores were of normal clips that the model was not trained on: p-values rest on them, and thresholds of the
/// method "conformal" (train/statistics/conformal.h).
struct ConformalData {
  struct Score {
    std::string score;
    std::vector<double> values;  ///< [clips], ascending
    bool operator==(const Score&) const = default;
  };
  std::vector<Score> scores;
  int64_t clips = 0;
  int64_t clip_frames = 0;  ///< their median length
  std::string source;       ///< "held-out clips of the training", or what `evenflow calibrate` was given
  std::string date;
  std::string data_hash;  ///< FNV-1a 64 over the clips' frames_sum (io/shard.h), ascending, as 16 hex digits
  /// [parameters][clips] how far estimates lie from the nearest training value, ascending, in the parameter's unit: of
  /// those of the clips, or of earlier ones, that are known to be at trained operating points. Empty: there are none
  std::vector<std::vector<double>> estimate_distance = {};
  bool operator==(const ConformalData&) const = default;
};

struct Provenance {
  std::string commit, data_hash, device, date, version;
  uint64_t seed = 0;
  std::vector<std::string> machines = {};  ///< of the training clips, distinct and sorted; empty: not said
};

struct OptimizerData {
  std::vector<float> m, v;  ///< the parameter arena's layout
  int64_t step = 0;
};

struct ProgressData {
  int64_t epoch = 0;          ///< epochs finished
  int64_t step_in_epoch = 0;  ///< batches finished in the current one
  uint64_t seed = 0;
  double learning_rate_factor = 1.0;  ///< halved by the guard
  double best_loss = 0.0;
  int64_t best_epoch = -1;
  double epoch_loss_sum = 0.0;  ///< running sum of the unfinished epoch
  int64_t guard_count = 0;
};

/// What only a resumed training reads: the last state that gave a finite loss, and the unfinished epoch's sums.
struct ResumeData {
  std::vector<float> parameters, m, v;  ///< the parameter arena's layout
  int64_t step = 0;                     ///< Adam's, of that state
  int64_t windows = 0, steps = 0, guard_events = 0;
  double loss_sum = 0.0, gradient_norm_sum = 0.0, gradient_norm_max = 0.0;
};

struct ModelData {
  Config config;
  std::vector<Tensor> parameters;
  NormaliserData normaliser;
  ConditionData condition;
  ThresholdData threshold;
  NormalData normal;
  std::optional<ConformalData> conformal;  ///< none: no held-out clips, or of an older program
  Provenance provenance;
  std::optional<OptimizerData> optimizer;  ///< with progress: a checkpoint
  std::optional<ProgressData> progress;
  std::optional<ResumeData> resume;
};

/// Writes to a temporary name, fsyncs, renames. DataError on a full disk or a folder that cannot be written.
void write_model(const std::filesystem::path& file, const ModelData& model);

/// DataError names the file and what is wrong: truncated, damaged, foreign, missing dataset, another format version, a
/// figure that no training can have left (a weight that is not finite, a negative step).
ModelData read_model(const std::filesystem::path& file);

/// True if the file is HDF5 and looks like a model or checkpoint.
bool is_model(const std::filesystem::path& file);

}  // namespace evenflow::io
