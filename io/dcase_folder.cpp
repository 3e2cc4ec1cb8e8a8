#include "io/dcase_folder.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "io/clip_collector.h"
#include "io/error.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

bool lies_in_clip_folder(const PlacedRecording& recording) {
  return recording.folders.size() > recording.first &&
         std::find(clip_folders.begin(), clip_folders.end(), recording.folders.back()) != clip_folders.end();
}

bool begins_as_dcase(const PlacedRecording& recording) {
  return recording.name || recording.path.filename().string().starts_with("section_");
}

/// The folder above the one the recording lies in.
std::vector<std::string> machine_folder(const PlacedRecording& recording) {
  return {recording.folders.begin(), std::prev(recording.folders.end())};
}

/// The folders of machines, as lists of names.
using MachineFolders = std::set<std::vector<std::string>>;

MachineFolders machine_folders(const std::vector<PlacedRecording>& recordings) {
  MachineFolders found;
  for (const PlacedRecording& recording : recordings) {
    if (lies_in_clip_folder(recording) && begins_as_dcase(recording)) {
      found.insert(machine_folder(recording));
    }
  }
  return found;
}

bool is_dcase_clip(const PlacedRecording& recording, const MachineFolders& machines) {
  return lies_in_clip_folder(recording) && machines.contains(machine_folder(recording));
}

/// True of two values of one attribute; numbers may be written in two ways.
bool contradict_each_other(const Attribute& a, const Attribute& b) {
  const auto number = numeric_attribute(a.key, a.value);
  return !a.key.empty() && a.key == b.key && a.value != b.value &&
         (!number || number != numeric_attribute(b.key, b.value));
}

/// Does a table give an attribute another value than a name? The table's is taken.
bool differ(const Attributes& table, const Attributes& name) {
  return std::any_of(name.begin(), name.end(), [&](const Attribute& own) {
    return std::any_of(table.begin(), table.end(),
                       [&](const auto& other) { return contradict_each_other(own, other); });
  });
}

class DcaseReader {
 public:
  DcaseReader(const fs::path& root, const DeclaredCategories& declared) : root_(root), collector_(root, declared) {}

  void add(const PlacedRecording& recording) {
    const fs::path file = root_ / recording.path;
    if (!recording.name) {
      throw DataError("'" + escaped(file.string()) +
                      "' is not named as in DCASE Task 2 (section_00_source_train_normal_0000.wav, "
                      "normal_id_00_00000000.wav); rename it, move it out, or list the recordings in a manifest");
    }
    const DcaseName& name = *recording.name;
    const std::string& subfolder = recording.folders.back();
    Clip clip;
    clip.path = recording.path;
    clip.split = *split_of(subfolder);
    if (!name.split.empty() && (name.split == "train") != (clip.split == Split::train)) {
      contradict(file, "is named as a clip of split " + name.split + " but lies in '" + subfolder + "'");
    }
    if (subfolder.find('_') != std::string::npos) {
      clip.domain = subfolder.substr(0, subfolder.find('_'));
    }
    take_name(name, file, clip);
    if (recording.folders.size() > 1) {
      clip.machine = recording.folders[recording.folders.size() - 2];
    }
    const Attributes of_name = read_attributes(name.attributes);
    const Attributes* listed = table_of(recording).find(fs::path(subfolder) / recording.path.filename());
    if (listed && differ(*listed, of_name)) {
      ++differing_;
    }
    collector_.add(std::move(clip), listed ? *listed : of_name);
  }

  std::set<fs::path> tables() const {
    std::set<fs::path> files;
    for (const auto& [folder, table] : tables_) {
      for (const fs::path& file : table.files()) {
        files.insert(file.lexically_normal());
      }
    }
    return files;
  }

  Manifest finish() {
    if (differing_ > 0) {
      collector_.note("attributes_*.csv contradicts the name of " + count_of(differing_, "recording") +
                      "; the file counts");
    }
    return collector_.finish();
  }

 private:
  const AttributeTable& table_of(const PlacedRecording& recording) {
    const fs::path folder = (root_ / recording.path.parent_path() / "..").lexically_normal();
    const auto found = tables_.find(folder);
    return found != tables_.end() ? found->second : tables_.emplace(folder, AttributeTable(folder)).first->second;
  }

  fs::path root_;
  ClipCollector collector_;
  std::map<fs::path, AttributeTable> tables_;
  size_t differing_ = 0;
};

/// By machine, then folder by folder as clip_folders has them.
void sort_as_dcase(std::vector<PlacedRecording>& recordings) {
  const auto rank = [](const PlacedRecording& r) {
    const auto folder = std::find(clip_folders.begin(), clip_folders.end(), r.folders.back());
    return std::tuple(r.path.parent_path().parent_path(), folder - clip_folders.begin(), r.path.filename());
  };
  std::stable_sort(recordings.begin(), recordings.end(),
                   [&](const PlacedRecording& a, const PlacedRecording& b) { return rank(a) < rank(b); });
}

/// "4 in 'supplemental'": recordings that no clip folder holds, by the folder they lie in.
std::string by_folder(const std::vector<fs::path>& paths) {
  std::map<std::string, size_t> counts;
  for (const fs::path& path : paths) {
    ++counts[path.parent_path().string()];
  }
  constexpr size_t most = 5;
  std::string text;
  size_t shown = 0;
  for (const auto& [folder, count] : counts) {
    if (shown++ == most) {
      return text + " and " + std::to_string(counts.size() - most) + " other folders";
    }
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " in " + in_quotes(folder.empty() ? "." : folder);
  }
  return text;
}

}  // namespace

bool is_dcase(const std::vector<PlacedRecording>& recordings) {
  return !machine_folders(recordings).empty();
}

DcaseFolder read_dcase(const fs::path& folder, const std::vector<PlacedRecording>& recordings,
                       const DeclaredCategories& declared) {
  const MachineFolders machines = machine_folders(recordings);
  std::vector<PlacedRecording> clips;
  std::vector<fs::path> outside;
  for (const PlacedRecording& recording : recordings) {
    if (is_dcase_clip(recording, machines)) {
      clips.push_back(recording);
    } else {
      outside.push_back(recording.path);
    }
  }
  sort_as_dcase(clips);
  DcaseReader reader(folder, declared);
  for (const PlacedRecording& clip : clips) {
    reader.add(clip);
  }
  DcaseFolder out{reader.finish(), reader.tables()};
  if (!outside.empty()) {
    out.manifest.notes.push_back("left out: recordings outside a machine's train and test folders: " +
                                 by_folder(outside));
  }
  return out;
}

}  // namespace evenflow::io
