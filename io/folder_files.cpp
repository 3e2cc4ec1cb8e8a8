#include "io/folder_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "io/audio_names.h"
#include "io/error.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

class Walk {
 public:
  explicit Walk(fs::path root) : root_(std::move(root)) {
    enter(fs::path());
    // Links last, so that of two ways into a folder the link is the one that is left out.
    for (size_t i = 0; i < links_.size(); ++i) {
      enter(fs::path(links_[i]));
    }
  }

  FolderFiles take() {
    std::sort(files_.recordings.begin(), files_.recordings.end());
    std::sort(files_.others.begin(), files_.others.end());
    return std::move(files_);
  }

 private:
  /// False if the walk was there already, by another path.
  bool is_new(const fs::path& folder) {
    struct stat status = {};
    return ::stat(folder.c_str(), &status) != 0 || seen_.emplace(status.st_dev, status.st_ino).second;
  }

  void enter(const fs::path& relative) {
    const fs::path folder = relative.empty() ? root_ : root_ / relative;
    if (!is_new(folder)) {
      files_.notes.push_back("left out: folder '" + escaped(relative.string()) +
                             "', which links to one that was read already");
      return;
    }
    std::error_code error;
    std::vector<fs::path> folders;
    auto entry = fs::directory_iterator(folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      const fs::path name = entry->path().filename();
      if (name.string().starts_with('.')) {
        continue;
      }
      std::error_code ignored;
      if (entry->is_directory(ignored)) {
        (entry->is_symlink(ignored) ? links_ : folders).push_back(relative / name);
      } else {
        // A link that leads nowhere is missed where it is read.
        const bool readable = !entry->exists(ignored) || entry->is_regular_file(ignored);
        if (!readable) {
          files_.notes.push_back("left out: '" + escaped((relative / name).string()) +
                                 "', which is not a regular file");
        } else {
          (is_audio(name) ? files_.recordings : files_.others).push_back(relative / name);
        }
      }
    }
    if (error) {
      throw DataError("cannot read folder '" + folder.string() + "': " + error.message() + "; check its permissions");
    }
    std::sort(folders.begin(), folders.end());
    for (const fs::path& each : folders) {
      enter(each);
    }
  }

  fs::path root_;
  std::vector<fs::path> links_;
  std::set<std::pair<dev_t, ino_t>> seen_;
  FolderFiles files_;
};

}  // namespace

FolderFiles list_files(const fs::path& folder) {
  return Walk(folder).take();
}

std::string count_endings(const std::vector<fs::path>& files) {
  constexpr size_t most = 8;
  std::map<std::string, int64_t> counts;
  for (const fs::path& file : files) {
    ++counts[ending_of(file)];
  }
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), most); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(sorted[i].second) + " " +
            (sorted[i].first.empty() ? "without an ending" : excerpt(sorted[i].first));
  }
  if (sorted.size() > most) {
    text += " and " + std::to_string(sorted.size() - most) + " other kinds";
  }
  return text;
}

}  // namespace evenflow::io
