// Pictures as PNG.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenflow::io {

/// The PNG file's bytes of 8-bit RGB pixels [height, width, 3], rows from the top. DataError: libpng's reason.
std::vector<uint8_t> encode_png(int width_px, int height_px, std::span<const uint8_t> rgb);

}  // namespace evenflow::io
