// The first line as the name of a recording, the rest as the attributes_00.csv beside it: a DCASE folder is a list of
// clips or a DataError.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/dcase.h"
#include "io/error.h"
#include "io/manifest.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {
namespace fs = std::filesystem;

void take_apart(std::string_view stem) {
  const std::optional<io::DcaseName> name = io::parse_dcase_name(stem);
  if (!name) {
    return;
  }
  if (name->section.empty()) {
    std::abort();
  }
  for (const std::string& word : name->attributes) {
    const std::optional<io::NumericAttribute> attribute = io::numeric_attribute("key", word);
    if (attribute && !attribute->first.starts_with("key")) {
      std::abort();
    }
  }
}

/// Whether a file can be called that, beside the two that are always there.
bool is_file_name(std::string_view stem) {
  constexpr size_t longest = 200;
  return !stem.empty() && stem.size() <= longest && stem.find_first_of(std::string_view("/\0", 2)) == stem.npos;
}

/// An empty recording, removed at the end of its scope.
class Recording {
 public:
  explicit Recording(std::string_view stem) {
    if (is_file_name(stem)) {
      file_ = as_file("", "recordings/machine/train/" + std::string(stem) + ".wav");
    }
  }
  ~Recording() {
    std::error_code ignored;
    if (!file_.empty()) {
      fs::remove(file_, ignored);
    }
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  fs::path file_;
};

}  // namespace

bool reads(std::string_view input) {
  static const bool made = fs::create_directories(folder() / "recordings" / "machine" / "train");
  if (!made) {
    std::abort();
  }
  const size_t line_end = std::min(input.find('\n'), input.size());
  const std::string_view stem = input.substr(0, line_end);
  take_apart(stem);
  as_file("", "recordings/machine/train/section_00_source_train_normal_9999_spd_28V.wav");
  as_file(input.substr(std::min(line_end + 1, input.size())), "recordings/machine/attributes_00.csv");
  const Recording recording(stem);
  try {
    const io::Manifest manifest = io::read_recordings(folder() / "recordings");
    for (const io::Clip& clip : manifest.clips) {
      if (clip.parameter.size() != manifest.parameter_names.size() || clip.machine != "machine") {
        std::abort();
      }
    }
    return manifest.clips.size() == 2;
  } catch (const io::DataError&) {
    return false;
  }
}

}  // namespace evenflow::fuzz
