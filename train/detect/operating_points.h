// Is a clip's estimate at an operating point that the model was trained at?
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_clips.h"

namespace evenflow::train {

/// How far the estimates of normal clips lie from the nearest training value, per parameter, ascending: of those that
/// were recorded at a trained operating point (statistics/seen.h), and whose estimates are finite. Empty: there are
/// none.
std::vector<std::vector<double>> estimate_distances(const io::ConditionData& condition, const ParameterColumns& columns,
                                                    std::span<const ClipScore> clips);

/// What the training was recorded at, per parameter that the model estimates. An estimate is at a trained operating
/// point if it is no further from the nearest training value than the estimates of normal clips are: than all but 1 %
/// of them, by the conformal rank (conformal.h), or than all, if they are fewer than 99. They are clips that were not
/// trained on (io::ConformalData); with fewer than 99 of these, those that calibrate scores (io::CalibrationData) are
/// asked too, and the larger distance holds. Where the model holds no such estimates, a quarter of the narrowest gap
/// between training values takes that place.
class TrainedOperatingPoints {
 public:
  explicit TrainedOperatingPoints(const io::ModelData& model);
  /// False: the model estimates nothing, and every clip is where it was trained.
  bool estimated() const { return !parameters_.empty(); }

  /// Why the estimate is not at a trained operating point: "velocity_mm_s 612 is above what was trained, 100 to 500".
  /// Empty if it is, or if an estimate is not finite.
  std::string fault_of(std::span<const double> estimate) const;

  struct Parameter {
    std::string name;
    std::vector<double> trained;  ///< distinct, ascending
    double tolerance = 0;         ///< in the parameter's unit
  };
  const std::vector<Parameter>& parameters() const { return parameters_; }

 private:
  std::vector<Parameter> parameters_;
};

}  // namespace evenflow::train
