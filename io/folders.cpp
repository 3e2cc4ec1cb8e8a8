// read_folder and read_recordings of manifest.h: what names and folders say of recordings.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "io/audio_names.h"
#include "io/dcase.h"
#include "io/error.h"
#include "io/folder_files.h"
#include "io/manifest.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

constexpr std::array clip_folders = {"train", "test", "source_train", "target_train", "source_test", "target_test"};
constexpr std::array normal_folders = {"normal", "good", "ok", "healthy"};
constexpr std::array anomalous_folders = {"abnormal", "anomaly", "anomalies", "anomalous", "bad",
                                          "ng",       "defect",  "defective", "fault",     "faulty"};

template <class Words>
bool is_among(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<int> label_of(const std::string& folder) {
  if (is_among(normal_folders, in_small_letters(folder))) return 0;
  if (is_among(anomalous_folders, in_small_letters(folder))) return 1;
  return std::nullopt;
}

std::optional<Split> split_of(const std::string& folder) {
  if (!is_among(clip_folders, in_small_letters(folder))) return std::nullopt;
  return in_small_letters(folder).ends_with("train") ? Split::train : Split::test;
}

/// "00" of id_00 (MIMII) and of section_00.
std::optional<std::string> section_of(const std::string& folder) {
  const std::string word = in_small_letters(folder);
  for (const std::string prefix : {"id_", "section_"}) {
    if (!word.starts_with(prefix) || word.size() == prefix.size()) continue;
    if (word.find_first_not_of("0123456789", prefix.size()) == std::string::npos) return word.substr(prefix.size());
  }
  return std::nullopt;
}

bool is_telling(const std::string& folder) {
  return label_of(folder) || split_of(folder) || section_of(folder);
}

std::string count_of(size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// The names of a path's folders, from the root of the file system.
std::vector<std::string> folders_of(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::absolute(folder, error).lexically_normal();
  std::vector<std::string> names;
  for (const fs::path& part : absolute.relative_path())
    if (!part.empty()) names.push_back(part.string());
  return names;
}

/// A recording and where it lies. Folders from `first` on may say something of it: those from the one being read
/// downward, and those right above that have the like to say (normal of .../id_00/normal).
struct Recording {
  fs::path path;                     ///< as in Clip
  std::vector<std::string> folders;  ///< above it, from the root of the file system
  size_t first = 0, given = 0;       ///< given: the index of the folder being read
  std::optional<DcaseName> name;

  const std::string& parent() const { return folders.back(); }
  bool lies_in_clip_folder() const { return folders.size() > first && is_among(clip_folders, parent()); }
  /// The folder above the one it lies in.
  std::vector<std::string> machine_folder() const { return {folders.begin(), folders.end() - 1}; }
  bool begins_as_dcase() const { return name || path.filename().string().starts_with("section_"); }
};

std::vector<Recording> place(const fs::path& folder, const std::vector<fs::path>& paths) {
  const std::vector<std::string> root = folders_of(folder);
  const size_t given = root.empty() ? 0 : root.size() - 1;
  size_t first = given;
  while (first > 0 && is_telling(root[first]) && is_telling(root[first - 1])) --first;
  std::vector<Recording> recordings;
  for (const fs::path& path : paths) {
    Recording recording{path, root, first, given, parse_dcase_name(path.stem().string())};
    for (const fs::path& part : path.parent_path()) recording.folders.push_back(part.string());
    if (recording.folders.empty()) recording.folders.emplace_back();  // the root of the file system
    recordings.push_back(std::move(recording));
  }
  return recordings;
}

void require_text(const Clip& clip, const fs::path& folder) {
  const auto refuse = [&](const std::optional<TextFault>& fault, const std::string& what, const std::string& text) {
    if (fault)
      throw DataError("'" + escaped((folder / clip.path).string()) + "': the " + what + " '" + excerpt(text) + "' " +
                      fault->what + "; rename it or move it out");
  };
  refuse(text_fault(clip.path.string()), "path", clip.path.string());
  refuse(name_fault(clip.machine), "machine's folder", clip.machine);
  refuse(name_fault(clip.section), "section", clip.section);
}

[[noreturn]] void contradict(const fs::path& file, const std::string& how) {
  throw DataError("'" + escaped(file.string()) + "' " + how +
                  "; rename it, move it, or list the recordings in a manifest");
}

/// Collects clips with their attributes, whose names become the manifest's columns in the order in which they appear.
class Collector {
 public:
  explicit Collector(const fs::path& root) { manifest_.root = root; }

  void note(std::string sentence) { manifest_.notes.push_back(std::move(sentence)); }

  void add(Clip clip, const Attributes& attributes) {
    require_text(clip, manifest_.root);
    const fs::path file = manifest_.root / clip.path;
    std::map<std::string, double> values;
    for (const auto& [key, value] : attributes.numbers) {
      if (const auto fault = name_fault(key))
        throw DataError("'" + file.string() + "': the attribute '" + excerpt(key) + "' " + fault->what + "; " +
                        fault->cure);
      const auto [known, is_new] = values.emplace(key, value);
      if (!is_new && known->second != value) contradict(file, "has two values of the attribute '" + key + "'");
      if (column_.emplace(key, column_.size()).second) manifest_.parameter_names.push_back(key);
    }
    for (const auto& [key, value] : attributes.others) {
      auto& [count, example] = words_[key];
      if (count++ == 0) example = value;
    }
    manifest_.clips.push_back(std::move(clip));
    values_.push_back(std::move(values));
  }

  Manifest finish() {
    for (size_t i = 0; i < manifest_.clips.size(); ++i) {
      manifest_.clips[i].parameter.assign(column_.size(), std::numeric_limits<double>::quiet_NaN());
      for (const auto& [key, value] : values_[i]) manifest_.clips[i].parameter[column_.at(key)] = value;
    }
    if (!words_.empty()) note("left out: attributes that are no numbers: " + words_text());
    return std::move(manifest_);
  }

 private:
  std::string words_text() const {
    std::string text;
    for (const auto& [key, seen] : words_)
      text += (text.empty() ? "" : ", ") + (key.empty() ? "words without a name" : "'" + excerpt(key) + "'") + " (" +
              count_of(seen.first, "clip") + ", such as '" + excerpt(seen.second) + "')";
    return text;
  }

  Manifest manifest_;
  std::vector<std::map<std::string, double>> values_;
  std::map<std::string, size_t> column_;
  std::map<std::string, std::pair<size_t, std::string>> words_;
};

/// What a DCASE name says; the rest as the folders have it.
void take_name(const DcaseName& name, const fs::path& file, Clip& clip) {
  if (!name.label.empty()) {
    const int label = name.label == "normal" ? 0 : 1;
    if (clip.label >= 0 && clip.label != label)
      contradict(
          file, "is named '" + name.label + "' but lies in a folder of " + (label == 0 ? "anomalies" : "normal clips"));
    clip.label = label;
  }
  if (!name.domain.empty() && !clip.domain.empty() && name.domain != clip.domain)
    contradict(file, "is named '" + name.domain + "' but lies among clips of domain " + clip.domain);
  if (!name.domain.empty()) clip.domain = name.domain;
  clip.section = name.section;
}

// ------------------------------------------------------------------------------------------------------------- DCASE

/// The folders of machines, as lists of names.
using MachineFolders = std::set<std::vector<std::string>>;

MachineFolders machine_folders(const std::vector<Recording>& recordings) {
  MachineFolders found;
  for (const Recording& recording : recordings)
    if (recording.lies_in_clip_folder() && recording.begins_as_dcase()) found.insert(recording.machine_folder());
  return found;
}

bool is_dcase_clip(const Recording& recording, const MachineFolders& machines) {
  return recording.lies_in_clip_folder() && machines.contains(recording.machine_folder());
}

/// Attributes that a table and a name give different values, of which the table's are taken.
size_t differing(const Attributes& table, const Attributes& name) {
  return static_cast<size_t>(std::count_if(name.numbers.begin(), name.numbers.end(), [&](const auto& attribute) {
    return std::any_of(table.numbers.begin(), table.numbers.end(), [&](const auto& other) {
      return other.first == attribute.first && other.second != attribute.second;
    });
  }));
}

class DcaseReader {
 public:
  explicit DcaseReader(const fs::path& root) : root_(root), collector_(root) {}

  void add(const Recording& recording) {
    const fs::path file = root_ / recording.path;
    if (!recording.name) {
      throw DataError("'" + escaped(file.string()) +
                      "' is not named as in DCASE Task 2 (section_00_source_train_normal_0000.wav, "
                      "normal_id_00_00000000.wav); rename it, move it out, or list the recordings in a manifest");
    }
    const DcaseName& name = *recording.name;
    const std::string& subfolder = recording.parent();
    Clip clip;
    clip.path = recording.path;
    clip.split = *split_of(subfolder);
    if (!name.split.empty() && (name.split == "train") != (clip.split == Split::train))
      contradict(file, "is named as a clip of split " + name.split + " but lies in '" + subfolder + "'");
    if (subfolder.find('_') != std::string::npos) clip.domain = subfolder.substr(0, subfolder.find('_'));
    take_name(name, file, clip);
    if (recording.folders.size() > 1) clip.machine = recording.folders[recording.folders.size() - 2];
    const Attributes of_name = read_attributes(name.attributes);
    const Attributes* listed = table_of(recording).find(fs::path(subfolder) / recording.path.filename());
    if (listed && differing(*listed, of_name) > 0) ++differing_;
    collector_.add(std::move(clip), listed ? *listed : of_name);
  }

  std::set<fs::path> tables() const {
    std::set<fs::path> files;
    for (const auto& [folder, table] : tables_)
      for (const fs::path& file : table.files()) files.insert(file.lexically_normal());
    return files;
  }

  Manifest finish() {
    if (differing_ > 0)
      collector_.note("attributes_*.csv says other than the name of " + count_of(differing_, "recording") +
                      "; the file is believed");
    return collector_.finish();
  }

 private:
  const AttributeTable& table_of(const Recording& recording) {
    const fs::path folder = (root_ / recording.path.parent_path() / "..").lexically_normal();
    const auto found = tables_.find(folder);
    return found != tables_.end() ? found->second : tables_.emplace(folder, AttributeTable(folder)).first->second;
  }

  fs::path root_;
  Collector collector_;
  std::map<fs::path, AttributeTable> tables_;
  size_t differing_ = 0;
};

/// By machine, then folder by folder as clip_folders has them.
void sort_as_dcase(std::vector<Recording>& recordings) {
  const auto rank = [](const Recording& r) {
    const auto folder = std::find(clip_folders.begin(), clip_folders.end(), r.parent());
    return std::tuple(r.path.parent_path().parent_path(), folder - clip_folders.begin(), r.path.filename());
  };
  std::stable_sort(recordings.begin(), recordings.end(),
                   [&](const Recording& a, const Recording& b) { return rank(a) < rank(b); });
}

// ------------------------------------------------------------------------------------------------- folders that tell

/// Folders that hold a machine's train and test folders with normal recordings set apart (test/good): what lies beside
/// those in a folder of its own (test/scratch) is an anomaly.
using Sorted = std::set<std::vector<std::string>>;

Sorted sorted_machines(const std::vector<Recording>& recordings) {
  Sorted found;
  for (const Recording& r : recordings)
    for (size_t i = r.first; i + 1 < r.folders.size(); ++i)
      if (split_of(r.folders[i]) && label_of(r.folders[i + 1]) == 0)
        found.emplace(r.folders.begin(), r.folders.begin() + static_cast<std::ptrdiff_t>(i));
  return found;
}

/// What the folders of a recording say.
struct Told {
  std::optional<int> label;
  std::optional<Split> split;
  std::string section, machine, domain;
  std::string defect;                ///< the folder of test/scratch beside test/good
  std::vector<std::string> folders;  ///< those that say something
};

Told told_by_folders(const Recording& r, const Sorted& sorted, const fs::path& file) {
  Told told;
  std::optional<size_t> innermost;
  for (size_t i = r.folders.size(); i-- > r.first;) {
    const std::string& folder = r.folders[i];
    if (!is_telling(folder)) continue;
    if (!innermost) innermost = i;
    told.folders.push_back(folder);
    if (const auto label = label_of(folder)) {
      if (told.label && told.label != label) contradict(file, "lies in folders of both labels");
      told.label = label;
    }
    if (const auto split = split_of(folder)) {
      if (told.split && told.split != split) contradict(file, "lies in both train and test");
      told.split = split;
      if (folder.find('_') != std::string::npos) told.domain = in_small_letters(folder.substr(0, folder.find('_')));
      const bool beside_good = i + 1 < r.folders.size() && !is_telling(r.folders[i + 1]) &&
                               sorted.contains({r.folders.begin(), r.folders.begin() + static_cast<std::ptrdiff_t>(i)});
      if (beside_good && !told.label) {
        told.label = 1;
        told.defect = r.folders[i + 1];
      }
    }
    if (const auto section = section_of(folder); section && told.section.empty()) told.section = *section;
  }
  if (innermost) {
    size_t above = *innermost;
    while (above > 0 && is_telling(r.folders[above])) --above;
    // A lone folder "test" says nothing of what it lies in; id_00/normal and train/good do.
    const bool is_outside = above < r.given && *innermost - above < 2;
    if (!is_telling(r.folders[above]) && !is_outside) told.machine = r.folders[above];
  }
  return told;
}

class FolderReader {
 public:
  FolderReader(const fs::path& root, const std::vector<Recording>& recordings)
      : root_(root), collector_(root), sorted_(sorted_machines(recordings)) {}

  void add(const Recording& recording) {
    const fs::path file = root_ / recording.path;
    const Told told = told_by_folders(recording, sorted_, file);
    Clip clip;
    clip.path = recording.path;
    clip.label = told.label.value_or(-1);
    clip.domain = told.domain;
    clip.machine = told.machine;
    std::optional<Split> split = told.split;
    Attributes attributes;
    if (recording.name) {
      const DcaseName& name = *recording.name;
      take_name(name, file, clip);
      attributes = read_attributes(name.attributes);
      if (!name.split.empty()) {
        const Split named = name.split == "train" ? Split::train : Split::test;
        if (split && *split != named)
          contradict(file, "is named as a clip of split " + name.split + " but lies elsewhere");
        split = named;
      }
    } else {
      clip.section = told.section;
    }
    clip.split = split.value_or(Split::test);
    if (!told.defect.empty()) defects_.insert(told.defect);
    told_by_.insert(told.folders.begin(), told.folders.end());
    ++(split ? with_split_ : without_split_);
    if (clip.label < 0) {
      ++unlabelled_;
      if (unlabelled_example_.empty()) unlabelled_example_ = clip.path.string();
    }
    ++clips_;
    collector_.add(std::move(clip), attributes);
  }

  Manifest finish() {
    if (!told_by_.empty())
      collector_.note("labels, splits and sections are as the folders are named: " + listed(told_by_));
    if (!defects_.empty())
      collector_.note("taken for anomalies, as they lie beside a folder of normal ones: recordings in " +
                      listed(defects_));
    if (unlabelled_ > 0 && unlabelled_ < clips_)
      collector_.note(count_of(unlabelled_, "recording") + " without a label, such as '" +
                      escaped(unlabelled_example_) + "': neither name nor folder gives one (normal, abnormal)");
    if (without_split_ > 0 && with_split_ > 0) {
      collector_.note(count_of(without_split_, "recording") + " in no folder named train or test: taken as test clips");
    } else if (without_split_ > 1 && unlabelled_ < clips_) {
      collector_.note(
          "no folder is named train or test, so all are test clips; to train on some, list them in a "
          "manifest with split train");
    }
    return collector_.finish();
  }

 private:
  static std::string listed(const std::set<std::string>& names) {
    constexpr size_t most = 8;
    std::string text;
    size_t shown = 0;
    for (const std::string& name : names) {
      if (shown++ == most) return text + " and " + std::to_string(names.size() - most) + " more";
      text += (text.empty() ? "'" : ", '") + excerpt(name) + "'";
    }
    return text;
  }

  fs::path root_;
  Collector collector_;
  Sorted sorted_;
  std::set<std::string> defects_, told_by_;
  size_t clips_ = 0, unlabelled_ = 0, with_split_ = 0, without_split_ = 0;
  std::string unlabelled_example_;
};

// --------------------------------------------------------------------------------------------------------- a folder

/// "4 in 'supplemental'": recordings that no clip folder holds, by the folder they lie in.
std::string by_folder(const std::vector<fs::path>& paths) {
  std::map<std::string, size_t> counts;
  for (const fs::path& path : paths) ++counts[path.parent_path().string()];
  constexpr size_t most = 5;
  std::string text;
  size_t shown = 0;
  for (const auto& [folder, count] : counts) {
    if (shown++ == most) return text + " and " + std::to_string(counts.size() - most) + " other folders";
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " in '" +
            (folder.empty() ? std::string(".") : excerpt(folder)) + "'";
  }
  return text;
}

/// A sentence on the files that are no recordings, `used` apart.
void note_others(const FolderFiles& files, const fs::path& folder, const std::set<fs::path>& used,
                 std::vector<std::string>& notes) {
  notes.insert(notes.end(), files.notes.begin(), files.notes.end());
  std::vector<fs::path> others;
  for (const fs::path& file : files.others)
    if (!used.contains((folder / file).lexically_normal())) others.push_back(file);
  if (!others.empty())
    notes.push_back("left out, as only " + audio_endings_text() + " are read: " + count_endings(others));
}

Manifest read_as_dcase(const fs::path& folder, const FolderFiles& files, std::vector<Recording> recordings,
                       const MachineFolders& machines) {
  std::vector<fs::path> outside;
  for (const Recording& recording : recordings)
    if (!is_dcase_clip(recording, machines)) outside.push_back(recording.path);
  std::erase_if(recordings, [&](const Recording& r) { return !is_dcase_clip(r, machines); });
  sort_as_dcase(recordings);
  DcaseReader reader(folder);
  for (const Recording& recording : recordings) reader.add(recording);
  Manifest manifest = reader.finish();
  if (!outside.empty())
    manifest.notes.push_back("left out: recordings outside a machine's train and test folders: " + by_folder(outside));
  note_others(files, folder, reader.tables(), manifest.notes);
  return manifest;
}

Manifest read_files(const fs::path& folder, const FolderFiles& files) {
  if (files.recordings.empty()) {
    throw DataError("folder '" + folder.string() + "' holds no recordings (" + audio_endings_text() + ")" +
                    (files.others.empty() ? "" : ", only other files: " + count_endings(files.others)) +
                    "; check the path");
  }
  std::vector<Recording> recordings = place(folder, files.recordings);
  const MachineFolders machines = machine_folders(recordings);
  if (!machines.empty()) return read_as_dcase(folder, files, std::move(recordings), machines);
  FolderReader reader(folder, recordings);
  for (const Recording& recording : recordings) reader.add(recording);
  Manifest manifest = reader.finish();
  note_others(files, folder, {}, manifest.notes);
  return manifest;
}

// ----------------------------------------------------------------------------------------- a manifest in a folder

/// The beginning of a file, enough for a table's first line.
std::string beginning(const fs::path& file) {
  std::string text(4096, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

/// True if the CSV's first line is a manifest's, however its cells are parted and its letters coded; scores have these
/// columns too, but with decisions.
bool is_manifest(const fs::path& csv) {
  std::string line = in_small_letters(beginning(csv));
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
  for (const Clip& clip : manifest.clips) listed.insert((root / clip.path).lexically_normal());
  return static_cast<size_t>(std::count_if(files.recordings.begin(), files.recordings.end(), [&](const fs::path& file) {
    return !listed.contains((root / file).lexically_normal());
  }));
}

Manifest read_any_folder(const fs::path& folder) {
  const FolderFiles files = list_files(folder);
  if (is_among(files.others, fs::path("manifest.csv"))) {
    Manifest manifest = read_manifest(folder / "manifest.csv");
    manifest.notes.push_back("the folder is read by the manifest.csv in it");
    if (const size_t unlisted = count_unlisted(folder, files, manifest); unlisted > 0)
      manifest.notes.push_back("left out: " + count_of(unlisted, "recording") + " that manifest.csv does not list");
    return manifest;
  }
  for (const fs::path& file : files.others) {
    if (ending_of(file) != ".csv" || !is_manifest(folder / file)) continue;
    throw UsageError("folder '" + folder.string() + "' holds a manifest, '" + escaped(file.string()) +
                     "'; give the manifest in place of the folder, or move it out");
  }
  return read_files(folder, files);
}

Manifest read_recording(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  return read_files(folder, FolderFiles{{file.filename()}, {}, {}});
}

void require_text_file(const fs::path& file) {
  const std::string begin = beginning(file);
  const bool utf16 = begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF");
  if (utf16 || begin.find('\0') == std::string::npos) return;
  throw DataError("'" + file.string() + "' is neither a recording that is read (" + audio_endings_text() +
                  ") nor a manifest (CSV text); " +
                  (begin.starts_with("\x89HDF") ? "give recordings" : "convert it, or correct its name"));
}

}  // namespace

bool is_dcase_folder(const fs::path& folder) {
  return !machine_folders(place(folder, list_files(folder).recordings)).empty();
}

Manifest read_folder(const fs::path& folder) {
  return read_files(folder, list_files(folder));
}

Manifest read_recordings(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw DataError("'" + path.string() + "' does not exist; check the path");
  if (fs::is_directory(status)) return read_any_folder(path);
  if (is_audio(path)) return read_recording(path);
  if (fs::is_regular_file(status)) require_text_file(path);
  return read_manifest(path);
}

}  // namespace evenflow::io
