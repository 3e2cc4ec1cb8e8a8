// Which file a path means, however it is spelled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace evenflow::io {

/// Two paths mean one file if their identities are equal: through links, hard links, `./`, relative and absolute.
struct FileIdentity {
  uint64_t device = 0, inode = 0;  ///< of the file; of its folder where there is no file yet
  std::string name;                ///< of a file that is not there yet, in that folder
  bool operator==(const FileIdentity&) const = default;
  bool operator<(const FileIdentity& other) const {
    return std::tie(device, inode, name) < std::tie(other.device, other.inode, other.name);
  }
};

/// None if there is neither the file nor a folder in which it could be made.
std::optional<FileIdentity> identify(const std::filesystem::path& file);

/// The path that is left when no symbolic link stands at its end; what a link points to need not exist. DataError: a
/// link that leads back to itself.
std::filesystem::path behind_links(const std::filesystem::path& file);

}  // namespace evenflow::io
