// Recordings whose folders say what they are, such as MIMII's and anomalib's, or say nothing (internal to io; the
// rules: docs/formats.md, "Manifest").
#pragma once

#include <filesystem>
#include <vector>

#include "io/manifest.h"
#include "io/placed_recording.h"

namespace evenflow::io {

/// DataError: a recording that lies in folders of both labels or splits, or whose name contradicts them.
Manifest read_telling_folders(const std::filesystem::path& folder, const std::vector<PlacedRecording>& recordings,
                              const DeclaredCategories& declared);

}  // namespace evenflow::io
