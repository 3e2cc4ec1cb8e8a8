// Calibrated scores: how far a score of a clip is from what it is expected to be at the clip's operating point, which
// the model itself estimates, in units of its spread there (docs/method.md, 3). No label is used.
//
// Expectation and spread are regressed on estimates, not on true values. What is learnt is therefore the score's
// distribution given an estimate, in which the estimate's own error is contained: the mean is that over the operating
// points which the estimate may stand for, and the spread holds (slope x error)^2 beside the score's own variance. This
// is how one predicts from a predictor with errors (Carroll, Ruppert, Stefanski and Crainiceanu 2006, "Measurement
// Error in Nonlinear Models", section 2.6).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "flow/scores.h"
#include "io/model_file.h"
#include "train/detect/score_table.h"
#include "train/statistics/local_linear.h"

namespace evenflow::train {

/// A normal clip that calibrations are learnt from, or a copy of one at another speed.
struct ReferenceClip {
  std::vector<double> recorded_at;  ///< the parameters' values in the recording
  std::vector<double> v;            ///< its own: a copy's have moved
  std::vector<double> estimate;     ///< of each parameter
  std::vector<double> scores;       ///< those that are to be calibrated among them
  size_t clip = 0;                  ///< the recorded clip's number, which its copies share
  bool copy = false;
};

/// A calibration rests on so many recorded clips at most; of more, so many are drawn.
inline constexpr size_t most_calibration_clips = 300;

/// Places of those scores that have calibrated ones (derived_scores.h).
std::vector<size_t> calibrated_scores(const std::vector<flow::Score>& scores);

/// Why scores cannot be calibrated on clips recorded at these values (NaN: unknown, no part in it); empty if they can.
/// It takes a parameter, 10 clips for each parameter, and two operating points (statistics/seen.h) more than
/// parameters that are numbers. `categories`: of those that are names.
std::string calibration_fault(const std::vector<std::string>& parameters,
                              std::span<const std::vector<double>> recorded_at, const io::Categories& categories = {});

/// What stands for a bandwidth of a name, whose codes are 1 apart or more: points of another category have no weight,
/// unless a category has too few of its own.
inline constexpr double category_bandwidth = 0.125;

/// The width of the Gaussian by which an estimate belongs to an operating point, in standard deviations of the
/// estimates of the clips recorded there: those of new clips scatter more than those of clips that were trained on.
inline constexpr double deviations_in_reach = 3.0;

/// Calibrates those of the clips' scores, which are `scores`, that have calibrated ones. Points without a finite score
/// and estimate are left out. What sets copies apart from their clips is taken off the copies: the median over clips of
/// the mean difference of their copies, for each operating point of the parameters that copies are not moved in, or,
/// where one has fewer than 10 clips, for all. A copy whose difference is further from the median of all differences,
/// in a score that is the model's own (in any, if none is), than 5 robust deviations (1.4826 times the median distance)
/// is left out. Categories are calibrated each by itself (category_bandwidth). Bandwidths as set, one a parameter, or
/// (empty) by leaving out all that was recorded at one operating point, which the recorded clips there then judge.
/// What operating points have of their own beyond that is learnt as well (statistics/group_effects.h).
/// io::DataError: why it cannot be done.
io::CalibrationData fit_calibration(const std::vector<flow::Score>& scores, const std::vector<std::string>& parameters,
                                    std::span<const ReferenceClip> clips, const std::vector<double>& bandwidth,
                                    const io::Categories& categories = {});

/// The same from normal clips whose operating points nobody knows; `scores` name ClipScore::scores. Bandwidths, unless
/// set, by leaving out one clip at a time: what is learnt is good for operating points like those of the clips. It
/// takes 10 clips with finite scores and estimates for each parameter. io::DataError: why it cannot be done.
io::CalibrationData fit_calibration(const std::vector<flow::Score>& scores, const std::vector<std::string>& parameters,
                                    std::span<const ClipScore> clips, const std::vector<double>& bandwidth,
                                    const io::Categories& categories = {});

/// The table's calibrated scores by this calibration, whatever they were by another. Columns that the table lacks are
/// added behind the others.
void set_calibrated(ScoreTable& table, const io::CalibrationData& data);

/// Root mean square of estimate - v, per parameter, where both are known; of a name the share of estimates that are
/// another category.
std::vector<double> estimate_errors(std::span<const ReferenceClip> clips, const io::Categories& categories = {});

class Calibration {
 public:
  Calibration(const io::CalibrationData& data, const io::CalibrationData::Score& score);

  struct Value {
    double score = 0;      ///< NaN where the score or an estimate is not finite
    bool outside = false;  ///< of what was calibrated
  };
  /// An estimate beyond the reference clips' is moved to the nearest of theirs, parameter by parameter. It is outside
  /// if it lay beyond by more than a tenth of their range, or if too few of them lie about it (LocalFit::sparse).
  Value of(double score, std::span<const double> estimate) const;

 private:
  struct Own {
    double effect = 0;     ///< what the operating points near an estimate have of their own, in spreads
    double explained = 0;  ///< the share of the spread's square that knowing them takes away
  };
  Own own(std::span<const double> estimate) const;

  LocalLinear line_;
  std::vector<double> low_, high_;
  std::vector<double> point_, reach_, effect_, explained_;  ///< as in io::CalibrationData
};

}  // namespace evenflow::train
