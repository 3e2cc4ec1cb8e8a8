#include "io/output_folder.h"

#include <algorithm>
#include <exception>
#include <system_error>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/standard_output.h"
#include "io/temporary.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view mark_begin = "evenflow ";

std::string mark_of(const std::string& kind) {
  return std::string(mark_begin) + kind + "\n";
}

bool is_marked(const fs::path& folder, const std::string& kind) {
  return kind_of_folder(folder) == kind;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The first, by name, of the files that a person would miss.
std::string foreign_name(const fs::path& folder) {
  std::string first;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!is_own_lock_or_mark(entry.path()) && (first.empty() || name < first)) {
      first = name;
    }
  }
  return first;
}

void require_own(const fs::path& folder, const std::string& kind, const std::function<bool(const fs::path&)>& older) {
  std::error_code error;
  if (!fs::is_directory(folder, error) || holds_nothing(folder) || is_marked(folder, kind) || older(folder)) {
    return;
  }
  throw UsageError("the folder '" + folder.string() + "' holds files that do not belong to a " + kind + " ('" +
                   foreign_name(folder) + "'); choose another folder, or add --force to write among them");
}

FileLock locked_output(const fs::path& folder) {
  const fs::path file = folder / lock_name;
  if (std::optional<FileLock> lock = FileLock::take(file)) {
    return std::move(*lock);
  }
  throw DataError("another evenflow is writing in the folder '" + folder.string() + "' (" + FileLock::holder(file) +
                  "); wait until it ends, or choose another folder");
}

FileLock claimed(const fs::path& folder, const std::string& kind, const std::function<bool(const fs::path&)>& older,
                 bool force) {
  if (is_standard_output(folder)) {
    throw UsageError("'" + folder.string() + "' is standard output, and a " + kind + " takes a folder; name one");
  }
  if (!force) {
    require_own(folder, kind, older);
  }
  std::error_code error;
  for (const char* name : {lock_name, mark_name}) {
    if (!fs::exists(fs::symlink_status(folder / name, error)) || is_own_lock_or_mark(folder / name)) {
      continue;
    }
    throw UsageError("the file '" + (folder / name).string() +
                     "' is not evenflow's; move it away or choose another folder");
  }
  make_folder(folder);
  return locked_output(folder);
}

}  // namespace

std::string kind_of_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / mark_name, error)) {
    return "";
  }
  const std::string mark = read_text(folder / mark_name);
  if (!mark.starts_with(mark_begin) || !mark.ends_with('\n')) {
    return "";
  }
  return mark.substr(mark_begin.size(), mark.size() - mark_begin.size() - 1);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  // A link may point to a folder that is still to be made.
  fs::create_directories(behind_links(folder), error);
  if (error || !fs::is_directory(folder, error)) {
    throw DataError("cannot make folder '" + folder.string() +
                    "': " + (error ? error.message() : std::string("a file of that name is in the way")) +
                    "; choose another name");
  }
}

OutputFolder::OutputFolder(fs::path folder, const std::string& kind, const std::function<bool(const fs::path&)>& older,
                           bool force)
    : folder_(std::move(folder)), lock_(claimed(folder_, kind, older, force)) {
  clear_leftovers(folder_, {});
  before_ = names_in(folder_);
  fresh_ = std::find(before_.begin(), before_.end(), mark_name) == before_.end();
  if (!is_marked(folder_, kind)) {
    write_text(folder_ / mark_name, mark_of(kind));
  }
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  const auto changed = [&] {
    std::vector<std::string> now = names_in(folder_);
    std::erase(now, mark_name);
    return now != before_;
  };
  if (holds_nothing(folder_) || (fresh_ && std::uncaught_exceptions() > exceptions_ && !changed())) {
    fs::remove(folder_ / mark_name, ignored);
  }
}

}  // namespace evenflow::io
