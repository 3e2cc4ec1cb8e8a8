#include "io/output_folder.h"

#include <algorithm>
#include <system_error>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/standard_output.h"
#include "io/temporary.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

std::string mark_of(const std::string& kind) {
  return "evenflow " + kind + "\n";
}

bool is_marked(const fs::path& folder, const std::string& kind) {
  std::error_code error;
  return fs::is_regular_file(folder / mark_name, error) && read_text(folder / mark_name) == mark_of(kind);
}

/// The first, by name, of the files that a person would miss.
std::string foreign_name(const fs::path& folder) {
  std::string first;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != lock_name && name != mark_name && (first.empty() || name < first)) first = name;
  }
  return first;
}

void require_own(const fs::path& folder, const std::string& kind, const std::function<bool(const fs::path&)>& older) {
  std::error_code error;
  if (!fs::is_directory(folder, error) || holds_nothing(folder) || is_marked(folder, kind) || older(folder)) return;
  throw UsageError("the folder '" + folder.string() + "' holds files that are not of a " + kind + " ('" +
                   foreign_name(folder) + "'); choose another folder, or add --force to write among them");
}

void make(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(behind_links(folder), error);
  if (error || !fs::is_directory(folder, error))
    throw DataError("cannot make folder '" + folder.string() +
                    "': " + (error ? error.message() : std::string("a file of that name is in the way")) +
                    "; choose another name");
}

FileLock locked(const fs::path& folder) {
  const fs::path file = folder / lock_name;
  if (std::optional<FileLock> lock = FileLock::take(file)) return std::move(*lock);
  throw DataError("another evenflow is writing in the folder '" + folder.string() + "' (" + FileLock::holder(file) +
                  "); wait until it ends, or choose another folder");
}

FileLock claimed(const fs::path& folder, const std::string& kind, const std::function<bool(const fs::path&)>& older,
                 bool force) {
  if (is_standard_output(folder))
    throw UsageError("'" + folder.string() + "' is standard output, and a " + kind + " takes a folder; name one");
  if (!force) require_own(folder, kind, older);
  make(folder);
  return locked(folder);
}

}  // namespace

OutputFolder::OutputFolder(fs::path folder, const std::string& kind, const std::function<bool(const fs::path&)>& older,
                           bool force)
    : folder_(std::move(folder)), lock_(claimed(folder_, kind, older, force)) {
  clear_leftovers(folder_, {});
  if (!is_marked(folder_, kind)) write_text(folder_ / mark_name, mark_of(kind));
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (holds_nothing(folder_)) fs::remove(folder_ / mark_name, ignored);
}

}  // namespace evenflow::io
