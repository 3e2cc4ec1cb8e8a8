// read_folder and read_recordings of manifest.h: which way of reading a path takes.
#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/dcase_folder.h"
#include "io/error.h"
#include "io/folder_files.h"
#include "io/hdf5_file.h"
#include "io/manifest.h"
#include "io/placed_recording.h"
#include "io/sound_format.h"
#include "io/telling_folders.h"
#include "io/text.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

/// A sentence on the files that are no recordings, `used` apart.
void note_others(const FolderFiles& files, const fs::path& folder, const std::set<fs::path>& used,
                 std::vector<std::string>& notes) {
  notes.insert(notes.end(), files.notes.begin(), files.notes.end());
  std::vector<fs::path> others;
  for (const fs::path& file : files.others) {
    if (!used.contains((folder / file).lexically_normal())) {
      others.push_back(file);
    }
  }
  if (!others.empty()) {
    notes.push_back("left out, as only " + audio_endings_text() + " are read: " + count_endings(others));
  }
}

Manifest read_files(const fs::path& folder, const FolderFiles& files, const DeclaredCategories& declared) {
  if (files.recordings.empty()) {
    throw DataError("folder '" + folder.string() + "' holds no recordings (" + audio_endings_text() + ")" +
                    (files.others.empty() ? "" : ", only other files: " + count_endings(files.others)) +
                    "; check the path");
  }
  const std::vector<PlacedRecording> recordings = place_recordings(folder, files.recordings);
  if (is_dcase(recordings)) {
    DcaseFolder dcase = read_dcase(folder, recordings, declared);
    note_others(files, folder, dcase.tables, dcase.manifest.notes);
    return std::move(dcase.manifest);
  }
  Manifest manifest = read_telling_folders(folder, recordings, declared);
  note_others(files, folder, {}, manifest.notes);
  return manifest;
}

/// True if the CSV's first line is a manifest's, however its cells are parted and its letters coded; scores have these
/// columns too, but with decisions.
bool is_manifest(const fs::path& csv) {
  std::string line = in_small_letters(read_beginning(csv));
  line.resize(std::min(line.find_first_of("\r\n"), line.size()));
  std::set<std::string> columns;
  std::string word;
  for (const char c : line + ",") {
    if (c == ',' || c == ';' || c == '\t') {
      columns.insert(std::exchange(word, {}));
    } else if (c >= 'a' && c <= 'z') {
      word += c;
    }
  }
  return columns.contains("path") && columns.contains("split") && columns.contains("label") &&
         columns.contains("machine") && !columns.contains("decision");
}

/// Recordings below the folder that the manifest does not list.
size_t count_unlisted(const fs::path& folder, const FolderFiles& files, const Manifest& manifest) {
  std::set<fs::path> listed;
  std::error_code error;
  const fs::path root = fs::absolute(folder, error).lexically_normal();
  for (const Clip& clip : manifest.clips) {
    listed.insert((root / clip.path).lexically_normal());
  }
  return static_cast<size_t>(std::count_if(files.recordings.begin(), files.recordings.end(), [&](const fs::path& file) {
    return !listed.contains((root / file).lexically_normal());
  }));
}

Manifest read_any_folder(const fs::path& folder, const DeclaredCategories& declared) {
  const FolderFiles files = list_files(folder);
  if (std::find(files.others.begin(), files.others.end(), "manifest.csv") != files.others.end()) {
    Manifest manifest = read_manifest(folder / "manifest.csv", declared);
    manifest.notes.push_back("the folder is read by the manifest.csv in it");
    if (const size_t unlisted = count_unlisted(folder, files, manifest); unlisted > 0) {
      manifest.notes.push_back("left out: " + count_of(unlisted, "recording") + " that manifest.csv does not list");
    }
    return manifest;
  }
  for (const fs::path& file : files.others) {
    if (ending_of(file) != ".csv" || !is_manifest(folder / file)) {
      continue;
    }
    throw UsageError("folder '" + folder.string() + "' holds a manifest, '" + escaped(file.string()) +
                     "'; give the manifest in place of the folder, or move it out");
  }
  return read_files(folder, files, declared);
}

Manifest read_recording(const fs::path& file, const DeclaredCategories& declared) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  return read_files(folder, FolderFiles{{file.filename()}, {}, {}}, declared);
}

void require_text_file(const fs::path& file) {
  if (const std::string wrapping = wrapping_of(file); !wrapping.empty()) {
    throw DataError("'" + file.string() + "' " + wrapping);
  }
  const std::string begin = read_beginning(file);
  const bool utf16 = begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF");
  if (utf16 || begin.find('\0') == std::string::npos) {
    return;
  }
  throw DataError("'" + file.string() + "' is neither a recording that is read (" + audio_endings_text() +
                  ") nor a manifest (CSV text); " +
                  (looks_like_hdf5(file) ? "it is an HDF5 file: give recordings" : "convert it, or correct its name"));
}

}  // namespace

bool is_dcase_folder(const fs::path& folder) {
  return is_dcase(place_recordings(folder, list_files(folder).recordings));
}

Manifest read_folder(const fs::path& folder, const DeclaredCategories& declared) {
  return read_files(folder, list_files(folder), declared);
}

Manifest read_recordings(const fs::path& path, const DeclaredCategories& declared) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw DataError("'" + path.string() + "' does not exist; check the path");
  }
  if (fs::is_directory(status)) {
    return read_any_folder(path, declared);
  }
  if (is_recording(path)) {
    return read_recording(path, declared);
  }
  if (fs::is_regular_file(status)) {
    require_text_file(path);
  }
  return read_manifest(path, declared);
}

}  // namespace evenflow::io
