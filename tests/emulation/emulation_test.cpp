// That the emulation computes what a GPU would, and reports what a GPU would not forgive.
#include <cuda_emulation.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <numeric>
#include <vector>

#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/cuda/coupling.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/runtime.h"
#include "tests/emulation/bank_conflicts.h"
#include "tests/emulation/block_order.h"
#include "tests/support/child.h"

namespace evenflow::kernels::cuda {
namespace {

class Emulation : public testing::Test {
 protected:
  Emulation() { use_cuda_backend(&cuda_backend()); }
  ~Emulation() override {
    stream_.reset();  // goes back to its backend
    use_cuda_backend(nullptr);
  }

  std::string fault_of(const std::function<void()>& work) {
    work();
    try {
      stream().synchronise();
    } catch (const DeviceError& error) {
      return error.what();
    }
    return "";
  }
  Stream& stream() {
    if (!stream_) {
      stream_ = std::make_unique<Stream>(device);
    }
    return *stream_;
  }
  static constexpr Device device{DeviceType::cuda, 0};

 private:
  std::unique_ptr<Stream> stream_;
};
using EmulationDeathTest = Emulation;

TEST_F(Emulation, FusedStripsAreCutForTheDeviceThatRunsThem) {
  // The paper's couplings: c, h, w. A kernel of their own, where it fits; on either device some kernel does.
  constexpr Device smaller{DeviceType::cuda, 1};
  for (const auto& [channels, height, width] : {std::array{4, 64, 36}, {8, 32, 18}, {16, 16, 9}}) {
    const CouplingShape shape{.channels = channels,
                              .hidden = 32,
                              .height = height,
                              .width = width,
                              .path = CouplingPath::fused,
                              .precision = Precision::tf32};
    const FusedShape fused = fused_shape(shape);
    for (const Device& asked : {device, smaller}) {
      const int64_t most = limits_of(asked.index).shared_bytes_per_block;
      for (const bool own_kernel : {false, true}) {
        const Strips forward = forward_strips(fused, own_kernel, asked);
        const Strips backward = backward_strips(fused, own_kernel, asked);
        EXPECT_TRUE(forward.shared_bytes <= most && backward.shared_bytes <= most) << channels;
        EXPECT_TRUE(own_kernel || (forward.rows > 0 && backward.rows > 0)) << channels;
      }
      EXPECT_EQ(why_not_fused(shape, asked), "");
    }
    EXPECT_GT(backward_strips(fused, true, device).rows, 0) << channels;
    EXPECT_LT(backward_strips(fused, false, smaller).rows, backward_strips(fused, false, device).rows) << channels;
  }
}

TEST_F(Emulation, AChildOfForkCannotUseTheDeviceThatItsParentUses) {
  stream().synchronise();
  EXPECT_EQ(tests::exit_code(tests::in_child([] {
              const Buffer<float> never(1, device);
              return 0;
            })),
            tests::child_threw);
}

void reverse_kernel(const float* in, float* out, int n, bool barrier) {
  after_predecessor();
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(n);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  if (barrier) {
    sync_block();
  }
  out[i] = tile[n - 1 - i];
}

TEST_F(Emulation, ABlockReversesThroughSharedMemory) {
  constexpr int n = 96;
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.0F);
  const Buffer<float> in(n, device);
  const Buffer<float> out(n, device);
  upload<float>(stream(), values, in.view());
  launch(stream(), {"reverse", 1, n, n * sizeof(float)}, reverse_kernel, in.data(), out.data(), n, true);
  std::vector<float> result = to_host(stream(), out.view());
  std::reverse(result.begin(), result.end());
  EXPECT_EQ(result, values);
}

TEST_F(Emulation, AMissingBarrierIsReadOfWhatNothingWrote) {
  constexpr int n = 64;
  const Buffer<float> in(n, device);
  const Buffer<float> out(n, device);
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"reverse", 1, n, n * sizeof(float)}, reverse_kernel, in.data(), out.data(), n, false);
              }),
              testing::AllOf(testing::HasSubstr("kernel reverse, block (0, 0, 0), thread (0, 0, 0)"),
                             testing::HasSubstr("emulation_test.cpp:"),
                             testing::HasSubstr("shared memory that nothing has written is read")));
}

void half_waits_kernel() {
  after_predecessor();
  if (threadIdx.x < 32) {
    sync_block();
  }
}
void waits_elsewhere_kernel() {
  after_predecessor();
  if (threadIdx.x < 32) {  // NOLINT(bugprone-branch-clone): two barriers
    sync_block();
  } else {
    sync_block();
  }
}
void warp_diverges_kernel() {
  after_predecessor();
  if (threadIdx.x % 2 == 0) {
    shuffle(1, 0);
  } else {
    sync_block();
  }
}

TEST_F(Emulation, DivergentBarriersAreNamed) {
  EXPECT_THAT(fault_of([&] { launch(stream(), {"half", 1, 64}, half_waits_kernel); }), testing::HasSubstr("has ended"));
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"elsewhere", 1, 64}, waits_elsewhere_kernel);
              }),
              testing::HasSubstr("waits here while"));
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"warp", 1, 32}, warp_diverges_kernel);
              }),
              testing::HasSubstr("waits for threads that wait elsewhere"));
}

void outside_kernel(int index) {
  after_predecessor();
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(4);
  tile[index] = 1.0F;
}
void takes_too_much_kernel() {
  after_predecessor();
  SharedMemory memory;
  memory.take<float>(5);
}

TEST_F(Emulation, SharedMemoryHasBounds) {
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"outside", 1, 1, 16}, outside_kernel, 4);
              }),
              testing::HasSubstr("index 4 of a shared array of 4"));
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"outside", 1, 1, 16}, outside_kernel, -1);
              }),
              testing::HasSubstr("index -1 of a shared array of 4"));
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"greedy", 1, 1, 16}, takes_too_much_kernel);
              }),
              testing::HasSubstr("more shared memory is taken"));
}

void copies_kernel(const float* from, float* to, bool wait) {
  after_predecessor();
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(4);
  copy_async(tile, from);
  commit_copies();
  if (wait) {
    wait_copies<0>();
  }
  const float4 v = load4(tile);
  store4(to, v);
}

void stride_kernel(int stride, int words) {
  after_predecessor();
  SharedMemory memory;
  const Shared<float> values = memory.take<float>(32 * 32);
  const int at = static_cast<int>(threadIdx.x) * stride;
  if (words == 4) {
    store4(values + at, make_float4(1, 2, 3, 4));
  } else {
    values[at] = 1;
  }
  sync_block();
}

TEST_F(Emulation, BankConflictsAreCounted) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "what counts is no part of the program that ThreadSanitizer looks at";
#endif
  const auto counted = [&](int stride, int words) {
    emulation::count_shared_accesses(true);
    launch(stream(), {"stride", 1, 32, 32 * 32 * sizeof(float)}, stride_kernel, stride, words);
    stream().synchronise();
    const std::vector<emulation::SharedAccesses> all = emulation::shared_accesses();
    emulation::count_shared_accesses(false);
    EXPECT_EQ(all.size(), 1U);
    EXPECT_EQ(all.at(0).requests, 1);
    EXPECT_EQ(all.at(0).bytes, 4 * words);
    EXPECT_TRUE(all.at(0).store);
    EXPECT_THAT(all.at(0).file, testing::EndsWith("emulation_test.cpp"));
    return std::pair(all.at(0).wavefronts, all.at(0).least);
  };
  EXPECT_EQ(counted(0, 1), std::pair(1L, 1L)) << "one word for all";
  EXPECT_EQ(counted(1, 1), std::pair(1L, 1L));
  EXPECT_EQ(counted(2, 1), std::pair(2L, 1L));
  EXPECT_EQ(counted(31, 1), std::pair(1L, 1L));
  EXPECT_EQ(counted(32, 1), std::pair(32L, 1L));
  EXPECT_EQ(counted(4, 4), std::pair(4L, 4L)) << "8 lanes at a time";
  EXPECT_EQ(counted(12, 4), std::pair(4L, 4L));
  EXPECT_EQ(counted(16, 4), std::pair(16L, 4L));
  EXPECT_THAT(emulation::shared_accesses(), testing::IsEmpty()) << "counted no more";
}

TEST_F(Emulation, AsynchronousCopiesMustBeWaitedFor) {
  const Buffer<float> from(4, device);
  const Buffer<float> to(4, device);
  const std::vector<float> values = {1, 2, 3, 4};
  upload<float>(stream(), values, from.view());
  launch(stream(), {"copies", 1, 1, 16}, copies_kernel, from.data(), to.data(), true);
  EXPECT_EQ(to_host(stream(), to.view()), values);
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"copies", 1, 1, 16}, copies_kernel, from.data(), to.data(), false);
              }),
              testing::HasSubstr("nothing has written"));
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"copies", 1, 1, 16}, copies_kernel, from.data() + 1, to.data(), true);
              }),
              testing::HasSubstr("not aligned"));
}

void shuffles_kernel(int* out) {
  after_predecessor();
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  int sum = lane;
  for (int mask = warp_size / 2; mask > 0; mask /= 2) {
    sum += shuffle_xor(sum, mask);
  }
  const int next = shuffle_down(lane, 1);
  const int first = shuffle(lane + 100, 0);
  out[threadIdx.x] = 10000 * sum + 10 * next + first % 10;
}

TEST_F(Emulation, ShufflesStayInTheirWarp) {
  const Buffer<int> out(64, device);
  launch(stream(), {"shuffles", 1, 64}, shuffles_kernel, out.data());
  const std::vector<int> values = to_host(stream(), out.view());
  for (int i = 0; i < 64; ++i) {
    const int lane = i % warp_size;
    const int next = lane + 1 < warp_size ? lane + 1 : lane;
    EXPECT_EQ(values[static_cast<size_t>(i)], 10000 * (31 * 16) + 10 * next) << i;
  }
}

// A [16, 8] and B [8, 8] as a lane holds them.
void tiles_kernel(const float* a, const float* b, float* d, bool bf16) {
  after_predecessor();
  const int lane = static_cast<int>(threadIdx.x);
  const auto at = [](const TileElement& place) { return place.row * 8 + place.column; };
  const float fa[4] = {a[at(of_a(lane, 0))], a[at(of_a(lane, 1))], a[at(of_a(lane, 2))], a[at(of_a(lane, 3))]};
  const float fb[2] = {b[at(of_b(lane, 0))], b[at(of_b(lane, 1))]};
  float fd[4] = {};
  if (bf16) {
    mma_bf16(fd, fa, fa, fb, fb);
  } else {
    mma_tf32(fd, fa, fb);
  }
  for (int i = 0; i < 4; ++i) {
    d[at(of_sums(lane, i))] = fd[i];
  }
}

TEST_F(Emulation, TileProductsFollowTheFragmentLayout) {
  const Buffer<float> a(128, device);
  const Buffer<float> b(64, device);
  const Buffer<float> d(128, device);
  std::vector<float> a_values(128);
  std::vector<float> b_values(64);
  for (size_t i = 0; i < a_values.size(); ++i) {
    a_values[i] = static_cast<float>(static_cast<int>(i * 37 % 17) - 8);
  }
  for (size_t i = 0; i < b_values.size(); ++i) {
    b_values[i] = static_cast<float>(static_cast<int>(i * 23 % 13) - 6);
  }
  upload<float>(stream(), a_values, a.view());
  upload<float>(stream(), b_values, b.view());
  for (const bool bf16 : {false, true}) {
    launch(stream(), {"tiles", 1, 32}, tiles_kernel, a.data(), b.data(), d.data(), bf16);
    const std::vector<float> result = to_host(stream(), d.view());
    for (size_t i = 0; i < 16; ++i) {
      for (size_t j = 0; j < 8; ++j) {
        float sum = 0;
        for (size_t k = 0; k < 8; ++k) {
          sum += a_values[i * 8 + k] * b_values[k * 8 + j];
        }
        EXPECT_EQ(result[i * 8 + j], bf16 ? 2 * sum : sum) << i << ", " << j;
      }
    }
  }
}

// Every block's thread leaves a share; the last block adds them up in float32, in the order of the blocks.
void sum_by_last_block_kernel(float* shares, float* sum, int* summed_by, unsigned* counters) {
  after_predecessor();
  SharedMemory memory;
  const Shared<unsigned> arrived = memory.take<unsigned>(1);
  const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
  shares[block * blockDim.x + threadIdx.x] = 1.0F / static_cast<float>(1 + block * blockDim.x + threadIdx.x);
  if (is_last_block(counters, arrived) && threadIdx.x == 0) {
    float total = 0;
    for (unsigned i = 0; i < gridDim.x * gridDim.y * blockDim.x; ++i) {
      total += shares[i];
    }
    *sum = total;
    *summed_by = static_cast<int>(block);
  }
}

TEST_F(Emulation, TheLastBlockSumsInOneOrderWhicheverItIs) {
  const Buffer<float> shares(3 * 2 * 64, device), sum(1, device);
  const Buffer<int> summed_by(1, device);
  std::vector<float> sums;
  for (const bool backwards : {false, true, false}) {  // the third finds its counter as the first did
    emulation::run_last_block_first(backwards);
    launch(stream(), {"sum", {3, 2}, 64, sizeof(unsigned)}, sum_by_last_block_kernel, shares.data(), sum.data(),
           summed_by.data(), arrival_counters(stream()));
    sums.push_back(to_host(stream(), sum.view())[0]);
    EXPECT_EQ(to_host(stream(), summed_by.view())[0], backwards ? 0 : 5);
  }
  emulation::run_last_block_first(false);
  EXPECT_GT(sums[0], 6.0F);
  EXPECT_EQ(sums[1], sums[0]);
  EXPECT_EQ(sums[2], sums[0]);
}

void sum_rows_kernel(float* shares, int rows, double* sums) {
  after_predecessor();
  SharedMemory memory;
  const Shared<double> totals = memory.take<double>(row_groups(12, static_cast<int>(blockDim.x)) * 12);
  sum_rows<12, 4>(shares, rows, totals);
  if (threadIdx.x < 12) {
    sums[threadIdx.x] = totals[threadIdx.x];
  }
}

TEST_F(Emulation, RowsAreSummedInFloat64) {
  for (const int rows : {1, 31, 700}) {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(rows) * 12);
    for (int i = 0; i < rows * 12; ++i) {
      values.push_back(static_cast<float>(i % 12 == 0 ? 1 << (i % 7) : i));
    }
    const Buffer<float> shares(rows * 12, device);
    const Buffer<double> sums(12, device);
    upload<float>(stream(), values, shares.view());
    launch(stream(), {"rows", 1, 64, 64 * 4 * sizeof(double)}, sum_rows_kernel, shares.data(), rows, sums.data());
    const std::vector<double> result = to_host(stream(), sums.view());
    for (size_t column = 0; column < 12; ++column) {
      double expected = 0;
      for (size_t i = column; i < values.size(); i += 12) {
        expected += static_cast<double>(values[i]);
      }
      EXPECT_EQ(result[column], expected) << rows << " rows, column " << column;  // integers below 2^53
    }
  }
}

void unrounded_kernel() {
  after_predecessor();
  float d[4] = {};
  mma_tf32(d, {1.0F + 1e-6F, 1, 1, 1}, {1, 1});
}

TEST_F(Emulation, OperandsOfTheTensorCoresMustBeRounded) {
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"unrounded", 1, 32}, unrounded_kernel);
              }),
              testing::HasSubstr("has not been rounded by to_tf32"));
  EXPECT_EQ(tf32_operand(to_tf32(1.0F + 0x1p-11F), {}), 1.0F + 0x1p-10F);  // half: away from zero
  EXPECT_EQ(tf32_operand(to_tf32(1.0F + 0x1p-12F), {}), 1.0F);
  EXPECT_NE(to_tf32(0), 0);                  // what lies below is left
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F), 1.0F);  // half: to even
  EXPECT_EQ(to_bf16(1.0F + 0x1.8p-7F), 1.0F + 0x1p-6F);
  EXPECT_TRUE(std::isnan(to_tf32(NAN)));
}

void hasty_kernel() {}

TEST_F(Emulation, AKernelWaitsForTheOneBefore) {
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"hasty", 1, 32}, hasty_kernel);
              }),
              testing::HasSubstr("does not begin with after_predecessor()"));
}

void in_groups_kernel(float* out, bool barrier) {
  after_predecessor();
  constexpr int group = 64;
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(static_cast<int>(blockDim.x));
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = static_cast<float>(i);
  if (barrier) {
    sync_group<group>();
  }
  out[i] = tile[i / group * group + (i + warp_size) % group];
}

TEST_F(Emulation, AGroupWaitsForItsOwnWarps) {
  constexpr int n = 128;
  const Buffer<float> out(n, device);
  launch(stream(), {"in_groups", 1, n, n * sizeof(float)}, in_groups_kernel, out.data(), true);
  const std::vector<float> result = to_host(stream(), out.view());
  EXPECT_EQ(result[0], 32);
  EXPECT_EQ(result[127], 95);
  EXPECT_THAT(fault_of([&] {
                launch(stream(), {"in_groups", 1, n, n * sizeof(float)}, in_groups_kernel, out.data(), false);
              }),
              testing::HasSubstr("shared memory that nothing has written is read"));
}

TEST_F(Emulation, WorkWaitsForSynchronise) {
  const Buffer<float> on_device(1, device);
  const float one = 1;
  float back = 0;
  copy(stream(), Array<const float>{&one, 1, {}}, on_device.view());
  copy(stream(), on_device.view(), Array<float>{&back, 1, {}});
  EXPECT_EQ(back, 0);
  stream().synchronise();
  EXPECT_EQ(back, 1);
}

TEST_F(EmulationDeathTest, TheHostCannotTouchDeviceMemory) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const Buffer<float> on_device(1, device);
  EXPECT_DEATH(on_device[0] = 1.0F, "");
}

#if defined(__SANITIZE_THREAD__)
void races_kernel(float* out) {
  after_predecessor();
  SharedMemory memory;
  const Shared<float> tile = memory.take<float>(1);
  tile[0] = static_cast<float>(threadIdx.x);  // without a barrier
  sync_block();
  out[0] = tile[0];
}
void blocks_race_kernel(float* out) {
  after_predecessor();
  if (threadIdx.x == 0) {
    out[0] = static_cast<float>(blockIdx.x);
  }
}

TEST_F(EmulationDeathTest, ThreadSanitizerSeesARaceOfTwoThreadsAndOfTwoBlocks) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const Buffer<float> out(1, device);
  const auto run = [&](const auto& kernel, dim3 grid, dim3 block) {
    launch(stream(), {"race", grid, block, 16}, kernel, out.data());
    stream().synchronise();
    std::_Exit(0);
  };
  const auto any_exit = [](int) { return true; };
  EXPECT_EXIT(run(races_kernel, 1, 2), any_exit, "data race");
  EXPECT_EXIT(run(blocks_race_kernel, 2, 1), any_exit, "data race");
}
#endif

}  // namespace
}  // namespace evenflow::kernels::cuda
