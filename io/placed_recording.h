// A recording with what its name and the names of the folders it lies in may say (internal to io).
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/dcase.h"
#include "io/manifest.h"

namespace evenflow::io {

/// Folders that hold a machine's recordings, in the order in which DCASE's are read.
inline constexpr std::array clip_folders = {"train",        "test",        "source_train",
                                            "target_train", "source_test", "target_test"};

/// What a folder's name says, in any letters: normal, good, abnormal, bad, ... the label (0, 1); train, source_test,
/// ... the split; id_00 (MIMII) and section_00 the section "00".
std::optional<int> label_of(const std::string& folder);
std::optional<Split> split_of(const std::string& folder);
std::optional<std::string> section_of(const std::string& folder);
/// True if it says any of these.
bool is_telling(const std::string& folder);

/// Folders from `first` on may say something: those from the one being read downward, and those right above that have
/// the like to say (the others of .../id_00/normal).
struct PlacedRecording {
  std::filesystem::path path;        ///< as in Clip
  std::vector<std::string> folders;  ///< above it, from the root of the file system; never empty
  size_t first = 0, given = 0;       ///< given: the folder being read
  std::optional<DcaseName> name;
};

/// `paths` are relative to `folder`.
std::vector<PlacedRecording> place_recordings(const std::filesystem::path& folder,
                                              const std::vector<std::filesystem::path>& paths);

/// What a DCASE name says goes into the clip. DataError if the clip, as its folders have it, is of another label,
/// domain or section.
void take_name(const DcaseName& name, const std::filesystem::path& file, Clip& clip);

/// DataError: `how` name and folders of a recording contradict each other.
[[noreturn]] void contradict(const std::filesystem::path& file, const std::string& how);

/// "1 recording", "2 recordings".
std::string count_of(size_t count, const std::string& noun);

}  // namespace evenflow::io
