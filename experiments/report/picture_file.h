// PNG pictures on disk, with a mark that they are evenflow's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace evenflow::experiments {

/// Writes a PNG atomically, with `Software: evenflow` in it. io::DataError names file and reason.
void write_picture(const std::filesystem::path& file, std::span<const uint8_t> png);

/// True for what write_picture wrote.
bool is_own_picture(const std::filesystem::path& file);

}  // namespace evenflow::experiments
