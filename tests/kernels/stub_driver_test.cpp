// What a machine says whose NVIDIA driver finds no device: this program's rpath leads to an empty libcuda.so.1.
#include <dlfcn.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/device.h"

namespace evenflow::kernels {
namespace {

TEST(StubDriver, ADriverWithoutADeviceIsSaidToBeSo) {
  // Whoever asks for libcuda.so.1 by its name from now on gets this one.
  ASSERT_NE(dlopen(EVENFLOW_STUB_DRIVER, RTLD_NOW), nullptr) << dlerror();
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  ASSERT_NE(driver, nullptr) << dlerror();
  if (dlsym(driver, "evenflow_stub_driver") == nullptr) {
    GTEST_SKIP() << "another driver was loaded before the stub";
  }
  const bool built = EVENFLOW_BUILT_WITH_CUDA;
  try {
    parse_device("cuda:0");
    FAIL() << "a device was found";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr(built ? "the NVIDIA driver finds no usable device" : "built without CUDA"));
    EXPECT_THAT(error.what(), testing::HasSubstr("--device cpu"));
  }
  EXPECT_EQ(parse_device("auto"), Device{});
}

}  // namespace
}  // namespace evenflow::kernels
