#include "train/loop/png.h"

#include <fmt/format.h>
#include <png.h>

#include "io/error.h"

namespace evenflow::train {

std::string encode_png(int width, int height, std::span<const uint8_t> rgb, const std::string& what) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr) == 0) {
    throw io::DataError(fmt::format("cannot draw {}: {}", what, std::string(image.message)));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace evenflow::train
