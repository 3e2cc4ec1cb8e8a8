#include "tests/frontend/fuzzed_sound.h"

bool evenflow::fuzz::reads(std::string_view input) {
  return reads_sound(input, "sound.mp3");
}
