// Pictures to PNG.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace evenflow::train {

/// The PNG of width * height pixels, three bytes each, row by row from the top. io::DataError calls the picture `what`.
std::string encode_png(int width, int height, std::span<const uint8_t> rgb, const std::string& what);

}  // namespace evenflow::train
