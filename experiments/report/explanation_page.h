// An explanation as one HTML page: the spectrogram with what is unusual over it, the sound, the words.
#pragma once

#include <span>
#include <string>

#include "io/model_file.h"
#include "train/detect/explain.h"

namespace evenflow::experiments {

/// The clip as it was explained.
struct ExplainedSound {
  std::span<const float> samples;    ///< at the model's rate
  std::span<const float> logmel_db;  ///< [frames, bands]
};

/// The whole page; it loads nothing from anywhere. Of sound longer than a minute it holds the minute about the first
/// finding.
std::string explanation_page(const train::Explanation& explanation, const io::ModelData& model,
                             const ExplainedSound& sound);

}  // namespace evenflow::experiments
