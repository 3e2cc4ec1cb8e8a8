#include "io/audio_names.h"

#include <algorithm>

#include "io/text.h"

namespace evenflow::io {

std::string ending_of(const std::filesystem::path& file) {
  return in_small_letters(file.extension().string());
}

bool is_audio(const std::filesystem::path& file) {
  return !file.filename().string().starts_with('.') &&
         std::find(audio_endings.begin(), audio_endings.end(), ending_of(file)) != audio_endings.end();
}

std::string audio_endings_text() {
  std::string text;
  for (const std::string_view ending : audio_endings) {
    text.append(text.empty() ? "" : ", ").append(ending);
  }
  return text;
}

}  // namespace evenflow::io
