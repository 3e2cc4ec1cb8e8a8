// kernels/cuda/runtime.cu and launch_gpu.h on two GPUs that record what they are asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/cuda/launch_gpu.h"
#include "kernels/cuda/runtime.h"
#include "kernels/event.h"
#include "kernels/graph.h"
#include "recorded_cuda.h"

namespace evenflow::kernels::cuda {
namespace {

using recorded::machine;
using ::testing::HasSubstr;

constexpr Device first{DeviceType::cuda, 0}, second{DeviceType::cuda, 1};
constexpr size_t kilobyte = 1024;

void small_kernel(int) {}
void large_kernel(int) {}

class RecordedCuda : public ::testing::Test {
 protected:
  RecordedCuda() {
    recorded::forget_device();
    machine().launches.clear();
    use_cuda_backend(&recorded::backend());
  }
  ~RecordedCuda() override {
    use_cuda_backend(nullptr);
    machine().driver = machine().runtime = 13000;
    machine().gpus[1].major = 9;
    for (const recorded::Gpu& gpu : machine().gpus) {
      EXPECT_EQ(gpu.allocated_bytes, 0);
    }
  }
  static int64_t bytes_on(Device device) { return machine().gpus[static_cast<size_t>(device.index)].allocated_bytes; }
};

void launch_small(Stream& stream) {
  launch(stream, {"small", 1, 32}, small_kernel, 0);
}
std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

void elsewhere(const std::function<void()>& work) {
  std::thread(work).join();
}

TEST_F(RecordedCuda, AReleaseOnOneGpuTurnsNoLaunchToIt) {
  Stream on_first(first);
  launch_small(on_first);
  // Each of these is the last thing that a GPU hears of before the other one's launch.
  const auto then_launch = [&] {
    launch_small(on_first);
    EXPECT_EQ(machine().launches.back().device, 0);
  };
  { const Buffer<float> memory(8, second); }
  then_launch();
  { const Stream stream(second); }
  then_launch();
  { const Event event(second); }
  then_launch();
  { const Buffer<float> pinned = Buffer<float>::pinned(8, second); }
  then_launch();
  {
    Stream stream(second);
    const Graph graph(stream, [&] { launch_small(stream); });
    launch_small(on_first);
  }
  then_launch();
  EXPECT_EQ(bytes_on(second), 0);
}

TEST_F(RecordedCuda, OtherCodeOfTheThreadMayChooseAnotherGpu) {
  Stream stream(first);
  launch_small(stream);
  cudaSetDevice(1);
  launch_small(stream);
  Event event(first);
  cudaSetDevice(1);
  event.record(stream);
  cudaSetDevice(1);
  const Buffer<float> memory(8, first);
  EXPECT_EQ(machine().launches.back().device, 0);
  EXPECT_GT(bytes_on(first), 0);
  EXPECT_EQ(bytes_on(second), 0);
}

TEST_F(RecordedCuda, WorkOnTheSecondGpuGivesTheFirstNoContext) {
  machine().gpus[0].has_context = false;
  const auto work = [] {
    auto stream = std::make_unique<Stream>(second);
    auto memory = std::make_unique<Buffer<float>>(8, second);
    auto event = std::make_unique<Event>(second);
    auto pinned = std::make_unique<Buffer<float>>(Buffer<float>::pinned(8, second));
    auto graph = std::make_unique<Graph>(*stream, [&] { launch_small(*stream); });
    event->record(*stream);
    // Each on a thread that has chosen no device yet, as a loader's.
    elsewhere([&] { event->wait(); });
    elsewhere([&] { graph.reset(); });
    elsewhere([&] { event.reset(); });
    elsewhere([&] { pinned.reset(); });
    elsewhere([&] { memory.reset(); });
    elsewhere([&] { stream.reset(); });
    elsewhere([] { Buffer<float>::pinned(8, second); });
  };
  elsewhere(work);
  EXPECT_FALSE(machine().gpus[0].has_context);
  EXPECT_TRUE(machine().gpus[1].has_context);
}

TEST_F(RecordedCuda, GrownScratchMemoryGoesBack) {
  Stream stream(second);
  scratch(stream, 1000);
  scratch(stream, 100'000);
  EXPECT_EQ(bytes_on(second), scratch_stride(100'000));
  EXPECT_EQ(stream.scratch_bytes(), scratch_stride(100'000));
}

TEST_F(RecordedCuda, ScratchMemoryThatAGraphKnowsGoesWithTheGraph) {
  Stream stream(first);
  scratch(stream, 1000);
  auto graph = std::make_unique<Graph>(stream, [&] { scratch(stream, 1000); });
  scratch(stream, 100'000);
  EXPECT_EQ(bytes_on(first), scratch_stride(1000) + scratch_stride(100'000));
  graph.reset();
  EXPECT_EQ(bytes_on(first), scratch_stride(100'000));
}

TEST_F(RecordedCuda, ALaunchOfLessTakesNoSharedMemoryFromAGraphsLargerNode) {
  Stream stream(first);
  const auto launch_with = [&](size_t shared_bytes) {
    launch(stream, {"large", 1, 32, shared_bytes}, large_kernel, 0);
  };
  const Graph graph(stream, [&] {
    launch_with(200 * kilobyte);
    launch_with(60 * kilobyte);
  });
  EXPECT_EQ(graph.nodes(), 2);
}

TEST_F(RecordedCuda, MoreSharedMemoryThanAGpuHasIsNamed) {
  Stream stream(second);
  launch(stream, {"large", 1, 32, 99 * kilobyte}, large_kernel, 0);
  EXPECT_THAT(refusal([&] {
                launch(stream, {"large", 1, 32, 100 * kilobyte}, large_kernel, 0);
              }),
              HasSubstr("large needs 102400 bytes of shared memory in a block, and cuda:1 has 101376"));
}

TEST_F(RecordedCuda, AGridThatNoGpuTakesIsNamed) {
  Stream stream(first);
  launch(stream, {"small", {1, 65535}, 32}, small_kernel, 0);
  EXPECT_THAT(refusal([&] {
                launch(stream, {"small", {1, 65536}, 32}, small_kernel, 0);
              }),
              HasSubstr("small: 65536 blocks along a grid's y or z, where a GPU takes 65535"));
}

// ---- drivers

TEST_F(RecordedCuda, MachineCodeRunsOnADriverOfAnOlderMinorRelease) {
  machine().runtime = 13010;
  runtime().require_usable(second);
}

TEST_F(RecordedCuda, PtxNeedsADriverOfItsOwnMinorRelease) {
  machine().gpus[1].major = 12;
  runtime().require_usable(second);
  machine().runtime = 13010;
  EXPECT_THAT(refusal([] { runtime().require_usable(second); }),
              HasSubstr("compute capability 12.0, and for it the driver has to translate kernels of CUDA 13.1, but the "
                        "driver knows CUDA 13.0; update the driver"));
}

TEST_F(RecordedCuda, ALibraryWithoutCodeForAGpuSaysSo) {
  machine().architectures = {90};
  machine().gpus[1].major = 8;
  EXPECT_THAT(refusal([] { runtime().require_usable(second); }),
              HasSubstr("compute capability 8.0, and this evenflow has no kernels for it; build it with"));
  machine().architectures = {80, 90};
}

TEST_F(RecordedCuda, ADriverOfAnOlderMajorReleaseHasNoDevice) {
  machine().driver = 12080;
  EXPECT_EQ(runtime().devices(), 0);
  EXPECT_THAT(runtime().why_no_device(), HasSubstr("the driver knows CUDA 12.8"));
}

}  // namespace
}  // namespace evenflow::kernels::cuda
