// An explanation for people on a terminal, and for machines.
#pragma once

#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/explain.h"

namespace evenflow::experiments {

/// What the clip was compared with in place of the estimate, a sentence; empty: with the estimate or what was given.
std::string compared_text(const train::Explanation& explanation, const io::ConditionData& condition);

/// A few lines, each ended: score and decision, what stands out, where the score comes from, the operating point, the
/// nearest normal clips.
std::string explanation_text(const train::Explanation& explanation, const io::ModelData& model);

/// One JSON object on one line (docs/formats.md, "Explanations"); what is not a number is null.
std::string explanation_json(const train::Explanation& explanation, const io::ModelData& model);

/// What shares tell, and what they do not, in a sentence for each kind of model and score.
std::string shares_note(const train::Explanation& explanation);

/// The latents "z2", which stand for 4 bands by 4 frames, as a person takes them: "scale 2 (4 bands by 4 frames)".
std::string part_text(const flow::Attribution::Part& part);

/// The decision by the model's threshold: "anomalous (threshold 2668.6)", or that it decides by another score.
std::string decision_text(const train::Explanation& explanation, const io::ModelData& model);

/// "velocity_mm_s: estimated 312, inside of the trained range (100 to 700)", "tool: estimated B (probability 0.98),
/// among A, B, C".
std::string estimate_text(const train::Explanation::Estimate& estimate);

/// "train/a.wav (0.31 away, at velocity_mm_s = 300)".
std::string neighbour_text(const train::Explanation::Neighbour& neighbour, const io::ConditionData& condition);

/// Where shares over the clip's own usual ones are the greatest: a cell of the map, with those about it.
struct Peak {
  double time_s, frequency_hz;
};
Peak densest(const train::Explanation& explanation, const io::FrontendSettings& frontend);

/// Shares for one window, less what is usual in the clip: of each cell shares / coverage, less its band's median over
/// the frames. [frames, bands]; 0 where no window is.
std::vector<double> unusual_shares(const train::Explanation& explanation);

}  // namespace evenflow::experiments
