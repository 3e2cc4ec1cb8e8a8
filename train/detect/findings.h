// What stands out in a clip's sound, in words: of which kind it is, in which band, when, and by how many decibels.
//
// The rules compare the clip's frames with what normal clips have at its operating point (normal_sound.h); clipping is
// told by the samples. They look at sound alone, not at the model: a score says that a clip is odd, findings what a
// person would hear. docs/method.md, "Explanations", gives each rule with its thresholds and what they rest on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frontend/clipping.h"
#include "io/config.h"
#include "train/detect/normal_sound.h"

namespace evenflow::train {

/// In the order in which findings are listed: what spoils a recording before what is heard in it.
enum class FindingKind { clipping, dropout, burst, tone, level };
/// "clipping", "dropout", "burst", "tone", "level"
const char* name_of(FindingKind kind);

struct Finding {
  FindingKind kind = FindingKind::level;
  double from_s = 0, to_s = 0;     ///< of several bursts or dropouts: the first's begin and the last's end
  double low_hz = 0, high_hz = 0;  ///< 0: of no band
  /// Above what is normal, or below: bursts the loudest that is normal, tones and levels the mean. Of clipping: the
  /// limit in dB of full scale.
  double above_db = 0;
  int64_t times = 1;        ///< how many bursts or dropouts; of clipping: flat crests
  bool throughout = false;  ///< from the clip's begin to its end
  bool whole_spectrum = false;
};

/// A clip as the rules hear it.
struct Heard {
  std::span<const float> logmel_db;  ///< [frames, bands]
  const io::FrontendSettings& frontend;
  const ExpectedSound* expected = nullptr;  ///< none: only clipping and digital silence are found
  frontend::Clipping clipping = {};
};

/// Most important first; none if nothing stands out.
std::vector<Finding> find(const Heard& heard);

/// "a burst at 4.10 s (0.09 s long) between 2.1 and 3.4 kHz, up to 18 dB above the loudest that is normal at
/// velocity_mm_s = 300". `where`: " at velocity_mm_s = 300" or empty.
std::string text_of(const Finding& finding, const std::string& where);

/// The frequencies that bands [first, last] stand for: to half way to the neighbours' centres, in mels.
struct Frequencies {
  double low_hz, high_hz;
};
Frequencies frequencies_of(int64_t first, int64_t last, const io::FrontendSettings& frontend);

}  // namespace evenflow::train
