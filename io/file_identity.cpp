#include "io/file_identity.h"

#include <sys/stat.h>

#include <system_error>

#include "io/error.h"

namespace evenflow::io {

namespace fs = std::filesystem;

fs::path behind_links(const fs::path& file) {
  constexpr int most_links = 40;  // as the system follows
  fs::path at = file;
  for (int followed = 0; followed < most_links; ++followed) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(at, error))) {
      return at;
    }
    const fs::path to = fs::read_symlink(at, error);
    if (error) {
      return at;
    }
    at = at.parent_path() / to;
  }
  throw DataError("'" + file.string() + "' is a link that leads back to itself; remove it or choose another name");
}

std::optional<FileIdentity> identify(const fs::path& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) == 0) {
    return FileIdentity{status.st_dev, status.st_ino, {}};
  }
  const fs::path target = behind_links(file);
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  if (::stat(folder.c_str(), &status) != 0) {
    return std::nullopt;
  }
  return FileIdentity{status.st_dev, status.st_ino, target.filename().string()};
}

}  // namespace evenflow::io
