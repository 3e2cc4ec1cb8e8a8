#include "io/png.h"

#include <png.h>

#include <string>

#include "io/error.h"

namespace evenflow::io {

std::vector<uint8_t> encode_png(int width_px, int height_px, std::span<const uint8_t> rgb) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width_px);
  image.height = static_cast<png_uint_32>(height_px);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr) == 0) {
    throw DataError("a picture of " + std::to_string(width_px) + " x " + std::to_string(height_px) +
                    " pixels cannot be drawn: " + image.message);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace evenflow::io
