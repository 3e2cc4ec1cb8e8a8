// The group /clip of shards and latents: what is known of each clip (internal to io; layout: docs/formats.md).
#pragma once

#include <string>
#include <vector>

#include "io/hdf5_file.h"
#include "io/manifest.h"

namespace evenflow::io {

struct ClipTable {
  std::vector<Clip> clips;
  std::vector<std::string> parameter_names;
  Categories categories;  ///< a list for each parameter; sorted by byte value, each name that of a clip
};

/// Leaves out names that no clip has, so that the codes on disk may be others. DataError where a text is not UTF-8,
/// which no reader would take. Returns the version that the file is to have (io/hdf5_file.h).
int64_t write_clip_table(Hdf5File& file, const ClipTable& table);

/// DataError names the column and clip that are wrong.
ClipTable read_clip_table(const Hdf5File& file);

}  // namespace evenflow::io
