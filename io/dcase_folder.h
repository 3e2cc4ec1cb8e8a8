// Folders of DCASE Task 2 as lists of clips (internal to io; the rules: docs/formats.md, "Manifest").
#pragma once

#include <filesystem>
#include <set>
#include <vector>

#include "io/manifest.h"
#include "io/placed_recording.h"

namespace evenflow::io {

/// True if a machine's folder is among those of the recordings: one with a clip folder that holds a recording named by
/// DCASE's scheme.
bool is_dcase(const std::vector<PlacedRecording>& recordings);

struct DcaseFolder {
  Manifest manifest;
  std::set<std::filesystem::path> tables;  ///< the attributes_NN.csv that were read, lexically normal
};

/// DataError: a recording in a machine's clip folder that is not named by the scheme, or contradicts where it lies.
DcaseFolder read_dcase(const std::filesystem::path& folder, const std::vector<PlacedRecording>& recordings,
                       const DeclaredCategories& declared);

}  // namespace evenflow::io
