// Every file below a folder: recordings and others.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace evenflow::io {

struct FolderFiles {
  std::vector<std::filesystem::path> recordings;  ///< relative to the folder, sorted; may be links that lead nowhere
  std::vector<std::filesystem::path> others;      ///< the same of what is no recording by its name
  std::vector<std::string> notes;                 ///< what was passed over: a sentence each
};

/// Hidden files and folders are not looked at. Links to folders are followed, each folder once. DataError names a
/// folder that cannot be read.
FolderFiles list_files(const std::filesystem::path& folder);

/// "3 .mp3, 2 .txt, 1 without an ending": the most frequent first.
std::string count_endings(const std::vector<std::filesystem::path>& files);

}  // namespace evenflow::io
