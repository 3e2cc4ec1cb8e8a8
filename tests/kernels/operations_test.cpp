// That every backend has every operation, and that a library of another list is refused.
#include "kernels/operations.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/check.h"

namespace evenflow::kernels {
namespace {

TEST(Operations, EveryBackendHasThemAll) {
  for (const Backend* backend : {&cpu_backend(), &cuda_backend()}) {
    const Operations& table = *backend->operations;
    EXPECT_STREQ(table.names, operation_names);
#define EVENFLOW_EXPECT(Task) EXPECT_NE(static_cast<const Operation<Task>&>(table).run, nullptr) << #Task;
    EVENFLOW_OPERATIONS(EVENFLOW_EXPECT)
#undef EVENFLOW_EXPECT
  }
}

TEST(Operations, ALibraryOfAnotherListIsRefused) {
  Operations other = *cuda_backend().operations;
  EXPECT_NO_THROW(require_same_operations({&other, cuda_backend().runtime}));
  const std::string shorter = std::string(operation_names).substr(0, 100);
  other.names = shorter.c_str();
  try {
    require_same_operations({&other, cuda_backend().runtime});
    FAIL() << "it was accepted";
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("libevenflow_cuda.so is of another evenflow than this program"));
    EXPECT_THAT(error.what(), testing::HasSubstr("install both from one build"));
  }
}

}  // namespace
}  // namespace evenflow::kernels
