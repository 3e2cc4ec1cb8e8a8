#include "kernels/cpu/choices.h"

#include <hwy/highway.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/check.h"

namespace evenflow::tests {
namespace {

using kernels::cpu::targets_to_leave_out;
using kernels::cpu::wants_winograd;

constexpr int64_t all_targets = int64_t{HWY_AVX3} | HWY_AVX2 | HWY_STATIC_TARGET;

std::string refusal(int64_t supported, const char* wanted) {
  try {
    targets_to_leave_out(supported, wanted);
  } catch (const kernels::DeviceError& error) {
    return error.what();
  }
  return "";
}

TEST(Choices, TheEnvironmentHasTheLastWord) {
  EXPECT_EQ(targets_to_leave_out(all_targets, ""), 0);
  EXPECT_EQ(targets_to_leave_out(all_targets, "avx512") & all_targets, 0);
  EXPECT_EQ(targets_to_leave_out(all_targets, "avx2") & all_targets, int64_t{HWY_AVX3});
  EXPECT_EQ(targets_to_leave_out(all_targets, "baseline") & all_targets, int64_t{HWY_AVX3} | HWY_AVX2);
  EXPECT_TRUE(wants_winograd(""));
  EXPECT_TRUE(wants_winograd("winograd"));
  EXPECT_FALSE(wants_winograd("direct"));
}

TEST(Choices, AWordThatIsNotKnownIsRefused) {
  const int64_t haswell = int64_t{HWY_AVX2} | HWY_STATIC_TARGET;
  EXPECT_THAT(refusal(haswell, "sse9"), testing::HasSubstr("EVENFLOW_CPU_TARGET=sse9: takes avx512, avx2 or baseline"));
  EXPECT_THAT(refusal(haswell, "avx512"), testing::HasSubstr("this processor has none"));
  EXPECT_THROW(wants_winograd("fft"), kernels::DeviceError);
}

}  // namespace
}  // namespace evenflow::tests
