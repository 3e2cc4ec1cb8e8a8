// What every launch keeps to, on a GPU and in the tests' emulation of one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "kernels/check.h"

namespace evenflow::kernels::cuda {

/// A kernel's parameters, on every GPU and driver. More, up to 32 764, are taken from CUDA 12.1's drivers (530) on;
/// 12.4 is a toolkit that evenflow is built with, and runs on any driver of CUDA 12.
inline constexpr size_t most_parameter_bytes = 4096;
/// Along a grid's y and z. x goes up to 2^31 - 1: what grows with the batch goes there.
inline constexpr unsigned most_blocks_across = 65535;

/// Of a kernel's parameters: one after the other, each at its own alignment.
template <class... Parameters>
constexpr size_t bytes_of_parameters() {
  size_t bytes = 0;
  // NOLINTNEXTLINE(bugprone-sizeof-expression): a pointer is a parameter of 8 bytes.
  ((bytes = (bytes + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) + sizeof(Parameters)), ...);
  return bytes;
}

/// DeviceError if no GPU takes the grid.
template <class Launch>
void require_grid(const Launch& shape) {
  const unsigned most = std::max(shape.grid.y, shape.grid.z);
  if (most > most_blocks_across) {
    throw DeviceError(std::string(shape.name) + ": " + std::to_string(most) +
                      " blocks along a grid's y or z, where a GPU takes " + std::to_string(most_blocks_across) +
                      "; use a smaller batch");
  }
}

}  // namespace evenflow::kernels::cuda
