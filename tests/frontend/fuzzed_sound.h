// What the fuzzers of sound files share.
#pragma once

#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/audio.h"
#include "io/error.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {

/// Bytes as a sound file are finite samples, or a DataError.
inline bool reads_sound(std::string_view input, const std::string& name) {
  io::FrontendSettings settings;
  if (input.size() % 2 == 1) {
    settings.channel = "1";
  }
  try {
    const std::vector<float> samples = frontend::read_audio(as_file(input, name), settings).samples;
    if (samples.empty()) {
      std::abort();
    }
    for (const float sample : samples) {
      if (!std::isfinite(sample)) {
        std::abort();
      }
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
