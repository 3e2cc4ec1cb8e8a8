#include "kernels/backend.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "kernels/check.h"

namespace evenflow::kernels {
namespace {

// Whether the loader would find the library, without loading it: cuBLAS and its like would come along, 265 MB.
bool library_is_there() {
  void* program = dlopen(nullptr, RTLD_LAZY);
  Dl_serinfo size{};
  if (program == nullptr || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) return false;
  std::vector<Dl_serinfo> room(size.dls_size / sizeof(Dl_serinfo) + 1);
  Dl_serinfo* found = room.data();
  if (dlinfo(program, RTLD_DI_SERINFOSIZE, found) != 0 || dlinfo(program, RTLD_DI_SERINFO, found) != 0) return false;
  const Dl_serpath* path = found->dls_serpath;
  return std::any_of(path, path + found->dls_cnt, [](const Dl_serpath& folder) {
    return access((std::string(folder.dls_name) + "/" + cuda_library_name).c_str(), R_OK) == 0;
  });
}

// The ways in which a machine has no usable CUDA device, told apart in one place.
Backend* load_cuda_backend() {
  const std::string name = cuda_library_name;
  const std::string without = "this evenflow was built without CUDA (" + name +
                              " is not there); use --device cpu, or build with the preset cuda";
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    if (!library_is_there()) throw DeviceError(without);
    throw DeviceError("no NVIDIA driver on this machine (libcuda.so.1 is not there); install one or use --device cpu");
  }
  void* library = dlopen(cuda_library_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const std::string why = dlerror();
    if (why.starts_with(name + ":") && !library_is_there()) throw DeviceError(without);
    throw DeviceError(name + " cannot be loaded (" + why + "); install what it needs, or use --device cpu");
  }
  using Entry = Backend* (*)();
  auto entry = reinterpret_cast<Entry>(dlsym(library, cuda_library_entry));
  if (entry == nullptr) throw DeviceError(name + " is not this evenflow's; reinstall it");
  Backend* backend = entry();
  if (backend->devices() == 0) {
    throw DeviceError("the NVIDIA driver finds no usable device on this machine (" + backend->why_no_device() +
                      "); use --device cpu");
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
