#include "io/sound_format.h"

#include <array>
#include <fstream>
#include <string_view>
#include <system_error>

#include "io/audio_names.h"
#include "io/error.h"

namespace evenflow::io {
namespace {

using std::string_view_literals::operator""sv;

/// Bytes at a place in a file's head, and what they tell.
struct Signature {
  size_t at;
  std::string_view bytes;
  size_t form_at;  ///< of further bytes that must be there
  std::string_view form;
  const char* name;
  bool is_read;
};

constexpr std::array signatures = {
    Signature{0, "RIFF"sv, 8, "WAVE"sv, "WAV", true},
    Signature{0, "RIFX"sv, 8, "WAVE"sv, "WAV", true},
    Signature{0, "RF64"sv, 8, "WAVE"sv, "WAV", true},
    Signature{0, "BW64"sv, 8, "WAVE"sv, "WAV", true},
    Signature{0, "riff\x2e\x91\xcf\x11"sv, 0, ""sv, "W64", true},
    Signature{0, "fLaC"sv, 0, ""sv, "FLAC", true},
    Signature{0, "OggS"sv, 0, ""sv, "OGG", true},
    Signature{0, "FORM"sv, 8, "AIFF"sv, "AIFF", true},
    Signature{0, "FORM"sv, 8, "AIFC"sv, "AIFF", true},
    Signature{0, "caff"sv, 0, ""sv, "CAF", true},
    Signature{0, "ID3"sv, 0, ""sv, "MP3", true},
    Signature{0, "\xff\xfb"sv, 0, ""sv, "MP3", true},
    Signature{0, "\xff\xfa"sv, 0, ""sv, "MP3", true},
    Signature{0, "\xff\xf3"sv, 0, ""sv, "MP3", true},
    Signature{0, "\xff\xf2"sv, 0, ""sv, "MP3", true},
    Signature{0, "\xff\xe3"sv, 0, ""sv, "MP3", true},
    Signature{4, "ftyp"sv, 0, ""sv, "MP4 (M4A, AAC)", false},
    Signature{0, "\xff\xf1"sv, 0, ""sv, "AAC", false},
    Signature{0, "\xff\xf9"sv, 0, ""sv, "AAC", false},
    Signature{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"sv, 0, ""sv, "Windows Media (WMA)", false},
    Signature{0, "\x1a\x45\xdf\xa3"sv, 0, ""sv, "Matroska (MKA, WebM)", false},
    Signature{0, "#!AMR"sv, 0, ""sv, "AMR", false},
    Signature{0, ".snd"sv, 0, ""sv, "AU", false},
    Signature{0, "wvpk"sv, 0, ""sv, "WavPack", false},
    Signature{0, "MAC "sv, 0, ""sv, "Monkey's Audio", false},
    Signature{0, "Creative Voice File"sv, 0, ""sv, "VOC", false},
    Signature{0, "NIST_1A"sv, 0, ""sv, "NIST SPHERE", false},
    Signature{0, "RIFF"sv, 8, "AVI "sv, "AVI", false},
};

}  // namespace

std::optional<SoundFormat> sound_format(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) {
    return std::nullopt;  // to open a pipe would wait
  }
  std::array<char, 32> bytes{};
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const std::string_view head(bytes.data(), static_cast<size_t>(in.gcount()));
  const auto has = [&](size_t at, std::string_view what) {
    return at <= head.size() && head.substr(at).starts_with(what);
  };
  for (const Signature& signature : signatures) {
    if (has(signature.at, signature.bytes) && has(signature.form_at, signature.form)) {
      return SoundFormat{signature.name, signature.is_read};
    }
  }
  return std::nullopt;
}

bool is_recording(const std::filesystem::path& file) {
  if (is_audio(file)) {
    return true;
  }
  const std::optional<SoundFormat> format = sound_format(file);
  if (format && !format->is_read) {
    throw DataError("'" + file.string() + "' is a recording in a format (" + format->name +
                    ") that is not read; convert it to one of " + audio_formats);
  }
  return format.has_value();
}

}  // namespace evenflow::io
