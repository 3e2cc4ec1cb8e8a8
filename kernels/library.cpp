#include "kernels/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace evenflow::kernels {

bool library_is_there(const char* name) {
  void* program = dlopen(nullptr, RTLD_LAZY);
  Dl_serinfo size{};
  if (program == nullptr || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) {
    return false;
  }
  std::vector<Dl_serinfo> room(size.dls_size / sizeof(Dl_serinfo) + 1);
  Dl_serinfo* found = room.data();
  if (dlinfo(program, RTLD_DI_SERINFOSIZE, found) != 0 || dlinfo(program, RTLD_DI_SERINFO, found) != 0) {
    return false;
  }
  const Dl_serpath* path = found->dls_serpath;
  return std::any_of(path, path + found->dls_cnt, [name](const Dl_serpath& folder) {
    return access((std::string(folder.dls_name) + "/" + name).c_str(), R_OK) == 0;
  });
}

}  // namespace evenflow::kernels
