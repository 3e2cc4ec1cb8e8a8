// The module itself: its parts, and the project's errors as Python's.
#include <exception>

#include "experiments/python/bindings.h"
#include "io/error.h"
#include "io/version.h"
#include "kernels/check.h"

namespace evenflow::python {
namespace {

/// The classes stand in Python (evenflow/errors.py), where each has two bases.
void raise(const char* name, const char* sentence) {
  const nb::object error = nb::module_::import_("evenflow.errors").attr(name);
  PyErr_SetString(error.ptr(), sentence);
}

/// As the program's exit codes (experiments/failure.cpp). What is not caught here becomes nanobind's RuntimeError or
/// MemoryError.
void translate(const std::exception_ptr& error, void* /*payload*/) {
  try {
    std::rethrow_exception(error);
  } catch (const io::UsageError& usage) {
    raise("UsageError", usage.what());
  } catch (const kernels::DeviceError& device) {
    raise("UsageError", device.what());
  } catch (const io::DataError& data) {
    raise("DataError", data.what());
  }
}

}  // namespace

experiments::ConfigSource config_source(const std::optional<std::filesystem::path>& file, const Keys& keys) {
  experiments::ConfigSource source{file, {}};
  for (const auto& [key, value] : keys) {
    source.flags.push_back({key, value});
  }
  return source;
}

}  // namespace evenflow::python

NB_MODULE(_evenflow, module) {
  namespace python = evenflow::python;
  module.doc() = "The compiled part of evenflow; use the package's own names.";
  module.attr("version") = nanobind::str(evenflow::io::version().data(), evenflow::io::version().size());
  module.attr("commit") = nanobind::str(evenflow::io::commit().data(), evenflow::io::commit().size());
  nanobind::register_exception_translator(python::translate);
  python::bind_features(module);
  python::bind_detector(module);
  python::bind_train(module);
}
