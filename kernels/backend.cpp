#include "kernels/backend.h"

#include <dlfcn.h>

#include <atomic>
#include <string>
#include <string_view>

#include "kernels/check.h"
#include "kernels/library.h"

namespace evenflow::kernels {
namespace {

// The ways in which a machine has no usable CUDA device, told apart in one place.
const Backend* load_cuda_backend() {
  const std::string name = cuda_library_name;
  const std::string without =
      "this evenflow was built without CUDA (" + name + " is missing); use --device cpu, or build with the preset cuda";
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    if (!library_is_there(cuda_library_name)) {
      throw DeviceError(without);
    }
    throw DeviceError("no NVIDIA driver on this machine (libcuda.so.1 is missing); install one or use --device cpu");
  }
  void* library = dlopen(cuda_library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const std::string why = dlerror();
    if (why.starts_with(name + ":") && !library_is_there(cuda_library_name)) {
      throw DeviceError(without);
    }
    throw DeviceError(name + " cannot be loaded (" + why + "); install what it needs, or use --device cpu");
  }
  using Entry = const Backend* (*)();
  auto entry = reinterpret_cast<Entry>(dlsym(library, cuda_library_entry));
  if (entry == nullptr) {
    throw DeviceError(name + " is not this evenflow's; reinstall it");
  }
  const Backend* backend = entry();
  require_same_operations(*backend);
  if (backend->runtime->devices() == 0) {
    throw DeviceError("the NVIDIA driver finds no usable device on this machine (" + backend->runtime->why_no_device() +
                      "); use --device cpu");
  }
  return backend;
}

std::atomic<const Backend*> in_place_of_cuda{nullptr};

const Backend* cuda_library() {
  static const Backend* const cuda = load_cuda_backend();
  return cuda;
}

const Backend& backend_of(Device device) {
  if (device.type == DeviceType::cpu) {
    return cpu_backend();
  }
  const Backend* cuda = in_place_of_cuda;
  if (cuda == nullptr) {
    cuda = cuda_library();
  }
  const int devices = cuda->runtime->devices();
  if (device.index < 0 || device.index >= devices) {
    throw DeviceError("there is no cuda:" + std::to_string(device.index) + "; this machine has " +
                      std::to_string(devices) + " CUDA device(s), counted from 0");
  }
  return *cuda;
}

}  // namespace

void use_cuda_backend(const Backend* backend) {
  in_place_of_cuda = backend;
}

void require_same_operations(const Backend& library) {
  if (std::string_view(library.operations->names) == operation_names) {
    return;
  }
  throw DeviceError(std::string(cuda_library_name) +
                    " is of another evenflow than this program: its operations differ; install both from one build");
}

Runtime& runtime_of(Device device) {
  return *backend_of(device).runtime;
}

const Operations& operations_of(Device device) {
  return *backend_of(device).operations;
}

}  // namespace evenflow::kernels
