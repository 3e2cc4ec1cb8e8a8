// The CUDA backend's library: found where the build put it, loaded only where there is a driver to use it.
#include <dlfcn.h>

#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/device.h"

namespace evenflow::kernels {
namespace {

using testing::HasSubstr;
using testing::Not;

bool driver_is_there() {
  return dlopen("libcuda.so.1", RTLD_NOW) != nullptr;
}

std::string why_not(const char* device) {
  try {
    parse_device(device);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

TEST(CudaLibrary, TheSentenceSaysWhetherBuildOrDriverIsMissing) {
  if (driver_is_there()) {
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  }
  const bool built = EVENFLOW_BUILT_WITH_CUDA;
  EXPECT_THAT(why_not("cuda:0"), HasSubstr(built ? "no NVIDIA driver on this machine" : "built without CUDA"));
}

TEST(CudaLibrary, WithoutADriverNothingOfCudaIsLoaded) {
  if (driver_is_there()) {
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  }
  EXPECT_EQ(parse_device("auto"), Device{});
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_NE(why_not("cuda"), "");
  std::ostringstream maps;
  maps << std::ifstream("/proc/self/maps").rdbuf();
  for (const char* library : {"libevenflow_cuda", "libcublas", "libcudnn", "libcufft", "libcudart"}) {
    EXPECT_THAT(maps.str(), Not(HasSubstr(library)));
  }
}

// The library itself is sound: nothing undefined, and its entry hands out a backend that finds no device here.
TEST(CudaLibrary, LoadsAndAnswersWithoutADevice) {
  const bool built = EVENFLOW_BUILT_WITH_CUDA;
  if (!built) {
    GTEST_SKIP() << "built without CUDA";
  }
  void* library = dlopen("libevenflow_cuda.so", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  EXPECT_NE(dlsym(library, "evenflow_cuda_backend"), nullptr);
}

}  // namespace
}  // namespace evenflow::kernels
