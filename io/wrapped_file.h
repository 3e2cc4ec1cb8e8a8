// What lies in a file's place when the file itself was not fetched or not unpacked.
#pragma once

#include <filesystem>
#include <string>

namespace evenflow::io {

/// Known by its first bytes: "is a pointer of Git LFS, not the file itself; run: git lfs pull", an archive, a
/// compressed file, a web page. Empty: none of these.
std::string wrapping_of(const std::filesystem::path& file);

/// read_text (atomic_file.h) of a person's text file; DataError also if it is one of these.
std::string read_plain_text(const std::filesystem::path& file);

}  // namespace evenflow::io
