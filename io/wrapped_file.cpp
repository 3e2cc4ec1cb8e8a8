#include "io/wrapped_file.h"

#include <array>
#include <string_view>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/text.h"

namespace evenflow::io {
namespace {

using std::string_view_literals::operator""sv;

struct Wrapping {
  std::string_view begin;  ///< in small letters
  const char* what;
};

constexpr std::array wrappings = {
    Wrapping{"version https://git-lfs.github.com/spec/"sv,
             "is a pointer of Git LFS, not the file itself; fetch it: git lfs pull"},
    Wrapping{"\x1f\x8b"sv, "is compressed (gzip); unpack it first: gunzip"},
    Wrapping{"bzh"sv, "is compressed (bzip2); unpack it first: bunzip2"},
    Wrapping{"\xfd\x37zxz\0"sv, "is compressed (xz); unpack it first: unxz"},
    Wrapping{"\x28\xb5\x2f\xfd"sv, "is compressed (Zstandard); unpack it first: unzstd"},
    Wrapping{"pk\x03\x04"sv, "is a ZIP archive, or a spreadsheet; unpack it, or save the spreadsheet as CSV"},
    Wrapping{"7z\xbc\xaf\x27\x1c"sv, "is a 7z archive; unpack it first: 7z x"},
    Wrapping{"<!doctype html"sv, "is a web page, not the file; download the file itself"},
    Wrapping{"<html"sv, "is a web page, not the file; download the file itself"},
};

}  // namespace

std::string wrapping_of(const std::filesystem::path& file) {
  const std::string begin = in_small_letters(read_beginning(file).substr(0, 64));
  for (const Wrapping& wrapping : wrappings) {
    if (begin.starts_with(wrapping.begin)) {
      return wrapping.what;
    }
  }
  return {};
}

std::string read_plain_text(const std::filesystem::path& file) {
  if (const std::string wrapping = wrapping_of(file); !wrapping.empty()) {
    throw DataError("'" + file.string() + "' " + wrapping);
  }
  return read_text(file);
}

}  // namespace evenflow::io
