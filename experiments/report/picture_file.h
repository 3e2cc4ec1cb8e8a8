// PNG pictures on disk, with a mark that they are evenflow's.
#pragma once

#include <filesystem>
#include <string_view>

namespace evenflow::experiments {

/// Writes a PNG atomically, with `Software: evenflow` in it. io::DataError names file and reason.
void write_picture(const std::filesystem::path& file, std::string_view png);

/// True for what write_picture wrote.
bool is_own_picture(const std::filesystem::path& file);

}  // namespace evenflow::experiments
