// The compiled part of the Python package: `evenflow._evenflow`, which the package's own modules alone call. They check
// and convert what a person gives (evenflow/_inputs.py); here arrays are float32 and contiguous, and paths are paths.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "experiments/configuration.h"

namespace evenflow::python {

namespace nb = nanobind;

class SharedDetector;

void bind_detector(nb::module_& module);
/// Called by bind_detector.
void bind_explain(nb::module_& module, nb::class_<SharedDetector>& detector);
void bind_features(nb::module_& module);
void bind_train(nb::module_& module);

/// A configuration as Python hands it on: a TOML file or none, and keys with their values as text.
using Keys = std::vector<std::pair<std::string, std::string>>;
experiments::ConfigSource config_source(const std::optional<std::filesystem::path>& file, const Keys& keys);

/// [rows, columns], read where it lies.
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

inline std::span<const float> values_of(const Matrix& matrix) {
  return {matrix.data(), matrix.size()};
}

/// Hands the vector's memory to NumPy, without a copy. The GIL is held.
template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T> values, std::initializer_list<size_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* const data = owned->data();
  const nb::capsule owner(owned.get(), [](void* memory) noexcept { delete static_cast<std::vector<T>*>(memory); });
  static_cast<void>(owned.release());
  return {data, shape, owner};
}

}  // namespace evenflow::python
