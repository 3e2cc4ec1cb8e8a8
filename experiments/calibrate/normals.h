// Normal clips that a threshold is to rest on: which of the clips that were scored can serve, and whether they are
// alike.
#pragma once

#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments {

/// Leaves out of the table what no threshold can rest on: clips that the model was trained on, a clip's copies, silent
/// clips, and clips whose `score` is not finite. A sentence for each kind goes to `notes`. io::DataError if nothing is
/// left.
void keep_normals(train::ScoreTable& table, const io::ModelData& model, std::vector<std::string>& notes);

/// What a threshold on ClipScore::score, the score `score`, promises less for, a sentence each: clips of several
/// lengths, scores that rise or fall in the clips' order, scores that differ between operating points, which are the
/// known ones or, where they are not known of all clips, fifths of the model's estimates. By rank tests
/// (train/statistics/exchangeability.h) at 1 %.
std::vector<std::string> unlike_normals(const train::ScoreTable& table, const std::string& score, double threshold);

}  // namespace evenflow::experiments
