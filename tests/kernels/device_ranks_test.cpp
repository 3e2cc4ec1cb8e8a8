// Which GPU a rank takes, and what is said where there are too few.
#include "kernels/device_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/check.h"
#include "tests/support/thread_ranks.h"

namespace evenflow::kernels {
namespace {

using ::testing::HasSubstr;

/// GPUs that can do nothing.
class Gpus final : public Runtime {
 public:
  explicit Gpus(int count) : count_(count) {}
  int devices() override { return count_; }
  std::string describe(Device) override { return "a GPU"; }
  std::string identity(Device device) override { return "GPU " + std::to_string(device.index); }
  void* allocate(size_t, Device) override { return nullptr; }
  void release(void*, Device) noexcept override {}
  void copy(Stream&, const void*, void*, int64_t) override {}
  void zero(Stream&, void*, int64_t) override {}

 private:
  int count_;
};

class DeviceRanksTest : public ::testing::Test {
 protected:
  ~DeviceRanksTest() override { use_cuda_backend(nullptr); }
  void have(Gpus& gpus) {
    backend_ = {cpu_backend().operations, &gpus};
    use_cuda_backend(&backend_);
  }
  static std::string said(int ranks, const std::function<void(Communicator&)>& work) {
    try {
      tests::run_ranks(ranks, work);
    } catch (const DeviceError& error) {
      return error.what();
    }
    return "";
  }
  Backend backend_;
};

TEST_F(DeviceRanksTest, EachRankTakesTheGpuOfItsNumber) {
  Gpus three(3);
  have(three);
  tests::run_ranks(2, [](Communicator& own) {
    const Device device = device_of_rank("auto", own);
    EXPECT_EQ(device, (Device{DeviceType::cuda, own.rank()}));
    const DeviceRanks joined(device, own);
  });
  EXPECT_EQ(device_of_rank("cuda", alone()), (Device{DeviceType::cuda, 0}));
}

TEST_F(DeviceRanksTest, MoreRanksThanGpusAreRefused) {
  Gpus two(2);
  have(two);
  EXPECT_THAT(said(3, [](Communicator& own) { device_of_rank("auto", own); }),
              HasSubstr("3 ranks on a node with 2 GPUs"));
}

TEST_F(DeviceRanksTest, TwoRanksOnOneGpuAreRefused) {
  Gpus one(1);
  have(one);
  EXPECT_THAT(said(2, [](Communicator& own) { const DeviceRanks joined(device_of_rank("auto", own), own); }),
              HasSubstr("ranks 0 and 1 are on one GPU, GPU 0 of"));
}

}  // namespace
}  // namespace evenflow::kernels
