#include "io/placed_recording.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "io/error.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

constexpr std::array normal_folders = {"normal", "good", "ok", "healthy"};
constexpr std::array anomalous_folders = {"abnormal", "anomaly", "anomalies", "anomalous", "bad",
                                          "ng",       "defect",  "defective", "fault",     "faulty"};

template <class Words>
bool is_among(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// The names of a path's folders, from the root of the file system.
std::vector<std::string> folders_of(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::absolute(folder, error).lexically_normal();
  std::vector<std::string> names;
  for (const fs::path& part : absolute.relative_path()) {
    if (!part.empty()) {
      names.push_back(part.string());
    }
  }
  return names;
}

}  // namespace

std::optional<int> label_of(const std::string& folder) {
  if (is_among(normal_folders, in_small_letters(folder))) {
    return 0;
  }
  if (is_among(anomalous_folders, in_small_letters(folder))) {
    return 1;
  }
  return std::nullopt;
}

std::optional<Split> split_of(const std::string& folder) {
  if (!is_among(clip_folders, in_small_letters(folder))) {
    return std::nullopt;
  }
  return in_small_letters(folder).ends_with("train") ? Split::train : Split::test;
}

std::optional<std::string> section_of(const std::string& folder) {
  const std::string word = in_small_letters(folder);
  for (const std::string prefix : {"id_", "section_"}) {
    if (!word.starts_with(prefix) || word.size() == prefix.size()) {
      continue;
    }
    if (word.find_first_not_of("0123456789", prefix.size()) == std::string::npos) {
      return word.substr(prefix.size());
    }
  }
  return std::nullopt;
}

bool is_telling(const std::string& folder) {
  return label_of(folder) || split_of(folder) || section_of(folder);
}

std::string count_of(size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::vector<PlacedRecording> place_recordings(const fs::path& folder, const std::vector<fs::path>& paths) {
  const std::vector<std::string> root = folders_of(folder);
  const size_t given = root.empty() ? 0 : root.size() - 1;
  size_t first = given;
  while (first > 0 && is_telling(root[first]) && is_telling(root[first - 1])) {
    --first;
  }
  std::vector<PlacedRecording> recordings;
  for (const fs::path& path : paths) {
    PlacedRecording recording{path, root, first, given, parse_dcase_name(path.stem().string())};
    for (const fs::path& part : path.parent_path()) {
      recording.folders.push_back(part.string());
    }
    if (recording.folders.empty()) {
      recording.folders.emplace_back();  // the root of the file system
    }
    recordings.push_back(std::move(recording));
  }
  return recordings;
}

void take_name(const DcaseName& name, const fs::path& file, Clip& clip) {
  if (!name.label.empty()) {
    const int label = name.label == "normal" ? 0 : 1;
    if (clip.label >= 0 && clip.label != label) {
      contradict(
          file, "is named '" + name.label + "' but lies in a folder of " + (label == 0 ? "anomalies" : "normal clips"));
    }
    clip.label = label;
  }
  if (!name.domain.empty() && !clip.domain.empty() && name.domain != clip.domain) {
    contradict(file, "is named '" + name.domain + "' but lies among clips of domain " + clip.domain);
  }
  if (!clip.section.empty() && clip.section != name.section) {
    contradict(file, "is named as section " + name.section + " but lies in a folder of section " + clip.section);
  }
  if (!name.domain.empty()) {
    clip.domain = name.domain;
  }
  clip.section = name.section;
}

void contradict(const fs::path& file, const std::string& how) {
  throw DataError("'" + escaped(file.string()) + "' " + how +
                  "; rename it, move it, or list the recordings in a manifest");
}

}  // namespace evenflow::io
