// The normal clips of a training as its model scores them, and what scores and threshold are learnt from them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_clips.h"
#include "train/detect/threshold.h"
#include "train/loop/selection.h"
#include "train/loop/speed_moves.h"

namespace evenflow::train {

struct NormalClips {
  /// The one that decides: what was asked for or, where there are no grounds for it, that of the model's kind.
  std::string score_name;
  NormalScores scores;                   ///< that the threshold is fitted to
  std::vector<ClipScore> without_score;  ///< not finite: they have no part in it
  io::NormalData normal;
  /// Of the held-out clips with a score, without those scores that were learnt from them; none without such clips.
  std::optional<io::ConformalData> conformal;
  std::string calibration;  ///< a line for the log: what it rests on, or why there is none; empty without parameters
};

/// Clips of several shards by one model, in their order.
std::vector<ClipScore> score_selection(const ClipScoring& scoring, const ClipSelection& clips);

/// Both sides of a training's clips under `scoring`, whose scores are the model's own; the deciding one may be derived
/// from what is learnt here.
NormalClips score_normal_clips(const ClipScoring& scoring, const HeldOut& clips, const io::Config& config,
                               const SpeedMoves* moves = nullptr);

/// Why scores cannot be calibrated on these clips, as calibration_fault says it; empty if they can.
std::string why_not_calibrated(const HeldOut& clips, const io::ConditionData& condition);

/// io::DataError if the configuration asks for a calibrated score, and the clips and the parameters that zd carries
/// allow none: a model without parameters, too few clips. io::UsageError: bandwidths for another number of parameters,
/// copies at other speeds without a speed.
void require_calibration(const io::Config& config, const HeldOut& clips, const io::ConditionData& condition);

}  // namespace evenflow::train
