#include "kernels/cpu/choices.h"

#include <hwy/highway.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/check.h"

namespace evenflow::tests {
namespace {

using kernels::cpu::Processor;
using kernels::cpu::targets_to_leave_out;
using kernels::cpu::wants_winograd;

constexpr int64_t all_targets = int64_t{HWY_AVX3} | HWY_AVX2 | HWY_STATIC_TARGET;

std::string refusal(const Processor& processor, const char* wanted) {
  try {
    targets_to_leave_out(processor, wanted);
  } catch (const kernels::DeviceError& error) {
    return error.what();
  }
  return "";
}

TEST(Choices, Avx512IsLeftOutWhereItWasMeasuredToBeSlowerAndThereAlone) {
  const auto left_out = [](bool amd, int family) {
    return (targets_to_leave_out({.amd = amd, .family = family, .targets = all_targets}, "") & HWY_AVX3) != 0;
  };
  EXPECT_TRUE(left_out(true, 25)) << "Zen 4";
  EXPECT_FALSE(left_out(true, 26)) << "Zen 5";
  EXPECT_FALSE(left_out(false, 6)) << "Ice Lake, Sapphire Rapids";
  EXPECT_EQ(targets_to_leave_out({.amd = true, .family = 25, .targets = all_targets}, "") & HWY_AVX2, 0);
}

TEST(Choices, TheEnvironmentHasTheLastWord) {
  const Processor zen4{.amd = true, .family = 25, .targets = all_targets};
  EXPECT_EQ(targets_to_leave_out(zen4, "avx512") & all_targets, 0);
  EXPECT_EQ(targets_to_leave_out(zen4, "avx2") & all_targets, int64_t{HWY_AVX3});
  EXPECT_EQ(targets_to_leave_out(zen4, "baseline") & all_targets, int64_t{HWY_AVX3} | HWY_AVX2);
  EXPECT_TRUE(wants_winograd(""));
  EXPECT_TRUE(wants_winograd("winograd"));
  EXPECT_FALSE(wants_winograd("direct"));
}

TEST(Choices, AWordThatIsNotKnownIsRefused) {
  const Processor haswell{.amd = false, .family = 6, .targets = int64_t{HWY_AVX2} | HWY_STATIC_TARGET};
  EXPECT_THAT(refusal(haswell, "sse9"), testing::HasSubstr("EVENFLOW_CPU_TARGET=sse9: takes avx512, avx2 or baseline"));
  EXPECT_THAT(refusal(haswell, "avx512"), testing::HasSubstr("this processor has none"));
  EXPECT_THROW(wants_winograd("fft"), kernels::DeviceError);
}

}  // namespace
}  // namespace evenflow::tests
