// Why a clip scores as it does: where its score comes from, what is heard that is not normal, what it is near to.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "flow/attribution.h"
#include "frontend/clipping.h"
#include "train/detect/findings.h"
#include "train/detect/normal_sound.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

struct ExplainOptions {
  std::string score = {};       ///< to explain; empty: the one that decides
  std::vector<double> at = {};  ///< the operating point that the clip should have had, per parameter of the model; NaN
                                ///< or empty: not known
  const NormalReference* normals = nullptr;  ///< to compare with; none: the training clips that the model file holds
  frontend::Clipping clipping = {};          ///< of the clip's samples (frontend::SoundSource)
};

struct Explanation {
  ClipScore clip;     ///< as Detector::score has it
  std::string score;  ///< what is explained, and its value
  double value = 0;

  /// The model's own score that is divided up: `score`, or the first that it is computed over ("nll" of
  /// "score_calibrated", and of "score_combined").
  /// Empty where there is none, or where it is no sum over the sound; then parts and shares are empty too.
  std::string divided;
  double divided_value = 0;
  double normal_mean = std::numeric_limits<double>::quiet_NaN(), normal_deviation = normal_mean;  ///< of normal clips
  std::vector<flow::Attribution::Part> parts;  ///< add up to divided_value; mean over the windows that count

  // Maps of the clip, [frames, bands]. Windows overlap, so that frames count as often as windows cover them.
  int64_t frames = 0, bands = 0;
  std::vector<double> coverage;           ///< [frames] the windows' weights there: shares over it are of one window
  std::vector<double> shares;             ///< add up to divided_value within 1e-6 of the parts' magnitudes
  std::vector<double> gradient_input;     ///< d score / d x times x, x in deviations of its band; empty: no gradient
  std::vector<double> by_band, by_frame;  ///< sums of `shares`

  struct Estimate {
    std::string name;
    double value = 0, low = 0, high = 0;  ///< and the range of the training clips' values; NaN of a name
    bool inside = false;                  ///< that range; of a name: the sound has enough of this category alone
    double asked = std::numeric_limits<double>::quiet_NaN();        ///< where it should be, if that is known
    std::vector<std::string> categories = {};                       ///< what the values are places in; empty: a number
    double probability = std::numeric_limits<double>::quiet_NaN();  ///< of a name: the estimate's
  };
  std::vector<Estimate> estimates;

  struct Neighbour {
    std::string path;       ///< empty: the model file does not say
    double distance = 0;    ///< in standard deviations of the normal clips' descriptors
    std::vector<double> v;  ///< per parameter of the model; empty: not known
  };
  std::vector<Neighbour> nearest;

  std::optional<ExpectedSound> expected;  ///< of normal clips at the operating point; none: no normal clips are known
  std::string where;                      ///< of that point: " at velocity_mm_s = 300 (estimated)", or empty
  /// How each parameter's value in expected->at is known. spectrum: normal clips there have the clip's spectrum at
  /// another level, which is what moved the estimate. Empty where no operating point plays a part.
  enum class Known { given, estimate, spectrum };
  std::vector<Known> known = {};
  double louder_db = 0;  ///< with `spectrum`: by how much the clip is louder than normal clips there
  std::vector<Finding> findings;

  /// The clip moved to `at`, [frames, bands] in dB: what it would sound like there. Names that were not asked for are
  /// the likeliest. Empty: no flow, or nothing asked and no names.
  std::vector<float> moved_db;
  std::string not_moved;  ///< why it is empty although a trained point was asked for, a sentence; or empty

  /// One sentence: the first finding, or that nothing stands out.
  std::string sentence() const;
};

}  // namespace evenflow::train
