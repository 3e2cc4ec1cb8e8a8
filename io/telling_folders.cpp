#include "io/telling_folders.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "io/clip_collector.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

/// What the folders say by `of`. DataError, ending in `contradicting`, if they do not agree.
template <class Of>
auto told(const PlacedRecording& r, const fs::path& file, Of of, const std::string& contradicting)
    -> decltype(of(std::string())) {
  decltype(of(std::string())) out;
  for (size_t i = r.first; i < r.folders.size(); ++i) {
    const auto value = of(r.folders[i]);
    if (value && out && *out != *value) {
      contradict(file, contradicting);
    }
    if (value) {
      out = value;
    }
  }
  return out;
}

/// "source" of source_test.
std::optional<std::string> domain_of(const std::string& folder) {
  const size_t end = folder.find('_');
  if (!split_of(folder) || end == std::string::npos) {
    return std::nullopt;
  }
  return in_small_letters(folder.substr(0, end));
}

/// The folder above those that say something, seen from the innermost.
std::string machine_of(const PlacedRecording& r) {
  size_t inner = r.folders.size() - 1;
  while (inner > r.first && !is_telling(r.folders[inner])) {
    --inner;
  }
  size_t above = inner;
  while (above > 0 && is_telling(r.folders[above])) {
    --above;
  }
  // A lone folder "test" says nothing of what it lies in; id_00/normal and train/good do.
  const bool is_outside = above < r.given && inner - above < 2;
  return above == inner || is_outside || is_telling(r.folders[above]) ? std::string() : r.folders[above];
}

std::vector<std::string> above(const PlacedRecording& r, size_t i) {
  return {r.folders.begin(), r.folders.begin() + static_cast<std::ptrdiff_t>(i)};
}

/// Machines whose train or test folder sets normal recordings apart (test/good): what lies beside those in a folder of
/// its own (test/scratch) is an anomaly.
using SortedMachines = std::set<std::vector<std::string>>;

SortedMachines sorted_machines(const std::vector<PlacedRecording>& recordings) {
  SortedMachines found;
  for (const PlacedRecording& r : recordings) {
    for (size_t i = r.first; i + 1 < r.folders.size(); ++i) {
      if (split_of(r.folders[i]) && label_of(r.folders[i + 1]) == 0) {
        found.insert(above(r, i));
      }
    }
  }
  return found;
}

/// "scratch", or nothing.
std::optional<std::string> defect_of(const PlacedRecording& r, const SortedMachines& sorted) {
  for (size_t i = r.first; i + 1 < r.folders.size(); ++i) {
    if (split_of(r.folders[i]) && !is_telling(r.folders[i + 1]) && sorted.contains(above(r, i))) {
      return r.folders[i + 1];
    }
  }
  return std::nullopt;
}

class FolderReader {
 public:
  FolderReader(const fs::path& root, const std::vector<PlacedRecording>& recordings, const DeclaredCategories& declared)
      : root_(root), collector_(root, declared), sorted_(sorted_machines(recordings)) {}

  void add(const PlacedRecording& recording) {
    const fs::path file = root_ / recording.path;
    Clip clip;
    clip.path = recording.path;
    clip.label = label(recording, file);
    clip.domain = told(recording, file, domain_of, "lies in folders of two domains").value_or("");
    clip.section = told(recording, file, section_of, "lies in folders of two sections").value_or("");
    clip.machine = machine_of(recording);
    std::optional<Split> split = told(recording, file, split_of, "lies in both train and test");
    if (recording.name) {
      take_name(*recording.name, file, clip);
      split = named_split(*recording.name, split, file);
    }
    clip.split = split.value_or(Split::test);
    std::copy_if(recording.folders.begin() + static_cast<std::ptrdiff_t>(recording.first), recording.folders.end(),
                 std::inserter(told_by_, told_by_.end()), is_telling);
    ++(split ? with_split_ : without_split_);
    if (clip.label < 0 && unlabelled_++ == 0) {
      unlabelled_example_ = clip.path.string();
    }
    ++clips_;
    collector_.add(std::move(clip), recording.name ? read_attributes(recording.name->attributes) : Attributes());
  }

  Manifest finish() {
    if (!told_by_.empty()) {
      collector_.note("labels, splits and sections are as the folders are named: " + listed(told_by_));
    }
    if (!defects_.empty()) {
      collector_.note("taken for anomalies, as they lie beside a folder of normal ones: recordings in " +
                      listed(defects_));
    }
    if (unlabelled_ > 0 && unlabelled_ < clips_) {
      collector_.note(count_of(unlabelled_, "recording") + " without a label, such as '" +
                      escaped(unlabelled_example_) + "': neither name nor folder gives one (normal, abnormal)");
    }
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
  int label(const PlacedRecording& recording, const fs::path& file) {
    if (const auto known = told(recording, file, label_of, "lies in folders of both labels")) {
      return *known;
    }
    const auto defect = defect_of(recording, sorted_);
    if (defect) {
      defects_.insert(*defect);
    }
    return defect ? 1 : -1;
  }

  static std::optional<Split> named_split(const DcaseName& name, std::optional<Split> of_folders,
                                          const fs::path& file) {
    if (name.split.empty()) {
      return of_folders;
    }
    const Split split = name.split == "train" ? Split::train : Split::test;
    if (of_folders && *of_folders != split) {
      contradict(file, "is named as a clip of split " + name.split + " but lies elsewhere");
    }
    return split;
  }

  static std::string listed(const std::set<std::string>& names) {
    std::vector<std::string> quoted;
    quoted.reserve(names.size());
    for (const std::string& name : names) {
      quoted.push_back(in_quotes(name));
    }
    return first_names(quoted, 8);
  }

  fs::path root_;
  ClipCollector collector_;
  SortedMachines sorted_;
  std::set<std::string> defects_, told_by_;
  size_t clips_ = 0, unlabelled_ = 0, with_split_ = 0, without_split_ = 0;
  std::string unlabelled_example_;
};

}  // namespace

Manifest read_telling_folders(const fs::path& folder, const std::vector<PlacedRecording>& recordings,
                              const DeclaredCategories& declared) {
  FolderReader reader(folder, recordings, declared);
  for (const PlacedRecording& recording : recordings) {
    reader.add(recording);
  }
  return reader.finish();
}

}  // namespace evenflow::io
