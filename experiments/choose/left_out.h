// What normal clips score at operating points that nobody recorded, as far as a choice can tell: clips of the values
// left out, each scored by the training without its value.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_table.h"

namespace evenflow::experiments {

/// The file in a choice's folder, of the chosen candidate's trainings; a scores CSV.
inline constexpr const char* left_out_file = "left_out.csv";

/// That file's clips, for a model that was trained on the choice's recordings with the chosen settings; length of the
/// training, seed, device and what decides may differ, and a sentence goes to `notes` where the length does.
/// io::UsageError: the model is another. io::DataError: the folder holds no finished choice.
train::ScoreTable read_left_out(const std::filesystem::path& choice, const io::ModelData& model,
                                std::vector<std::string>& notes);

}  // namespace evenflow::experiments
