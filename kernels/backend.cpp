#include "kernels/backend.h"

#include <dlfcn.h>

#include <atomic>
#include <string>

#include "kernels/check.h"

namespace evenflow::kernels {
namespace {

// The three ways in which a machine has no usable CUDA device, told apart in one place.
Backend* load_cuda_backend() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  void* library = dlopen(cuda_library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw DeviceError(std::string("this evenflow was built without CUDA (") + cuda_library_name +
                      " is not there); use --device cpu, or build with the preset cuda");
  }
  if (driver == nullptr) {
    throw DeviceError("no NVIDIA driver on this machine (libcuda.so.1 is not there); install one or use --device cpu");
  }
  using Entry = Backend* (*)();
  auto entry = reinterpret_cast<Entry>(dlsym(library, cuda_library_entry));
  if (entry == nullptr) throw DeviceError(std::string(cuda_library_name) + " is not this evenflow's; reinstall it");
  Backend* backend = entry();
  if (backend == nullptr || backend->devices() == 0) {
    throw DeviceError("the NVIDIA driver finds no usable device on this machine; use --device cpu");
  }
  return backend;
}

std::atomic<Backend*> in_place_of_cuda{nullptr};

Backend* cuda_library() {
  static Backend* const cuda = load_cuda_backend();
  return cuda;
}

}  // namespace

void use_cuda_backend(Backend* backend) {
  in_place_of_cuda = backend;
}

Backend& backend_of(Device device) {
  if (device.type == DeviceType::cpu) return cpu_backend();
  Backend* cuda = in_place_of_cuda;
  if (cuda == nullptr) cuda = cuda_library();
  if (device.index < 0 || device.index >= cuda->devices()) {
    throw DeviceError("there is no cuda:" + std::to_string(device.index) + "; this machine has " +
                      std::to_string(cuda->devices()) + " CUDA device(s), counted from 0");
  }
  return *cuda;
}

}  // namespace evenflow::kernels
