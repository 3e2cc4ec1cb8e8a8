// The CUDA runtime as kernels/runtime.h wants it: memory, queues, graphs, events, launches' occupancy.
#include "kernels/cuda/runtime.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cuda/launch_gpu.h"
#include "kernels/cuda/nccl.h"
#include "kernels/cuda/probe.h"
#include "kernels/lanes.h"

namespace evenflow::kernels::cuda {
namespace {

LaunchListener* listener = nullptr;

constexpr size_t alignment = 64;

std::string gigabytes(size_t bytes) {
  const size_t hundredths = (bytes + 5'000'000) / 10'000'000;
  const std::string rest = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + (rest.size() == 1 ? ".0" : ".") + rest + " GB";
}

struct Queue {
  cudaStream_t stream = nullptr;
  bool capturing = false;
  // With the graphs that were recorded with it.
  std::shared_ptr<void> scratch, counters;
  int64_t scratch_bytes = 0, counter_count = 0;
  int64_t scratch_stride = 0;  // from a lane's to the next one's, as last dealt out
  std::array<std::shared_ptr<void>, static_cast<size_t>(Attachment::count)> attachments;
};

Queue& state_of(Stream& stream) {
  return *static_cast<Queue*>(stream.handle());
}

/// Makes a device the calling thread's, as whatever is not asked of a stream or a device by its name needs. CUDA is
/// asked which one is: other code on the thread may have chosen. It stays chosen: to put device 0 back where nobody has
/// used it would give it a context, half a gigabyte.
cudaError_t choose_device(int index) noexcept {
  int current = -1;
  const cudaError_t status = cudaGetDevice(&current);
  return status != cudaSuccess || current == index ? status : cudaSetDevice(index);
}
void use_device(int index) {
  check_cuda(choose_device(index), "choosing the device");
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Stands for all kernels where it is asked whether they can be loaded.
__global__ void nothing_kernel() {}

std::string why_no_kernel(cudaError_t status) {
  if (status == cudaErrorNoKernelImageForDevice) {
    return "this evenflow has no kernels for it; build it with -DCMAKE_CUDA_ARCHITECTURES=native, or use --device cpu";
  }
  int driver = 0;
  int runtime = 0;
  check_cuda(cudaDriverGetVersion(&driver), "reading the driver's version");
  check_cuda(cudaRuntimeGetVersion(&runtime), "reading the runtime's version");
  return "for it the driver has to translate kernels of CUDA " + version_text(runtime) +
         ", but the driver knows CUDA " + version_text(driver) + "; update the driver, or use --device cpu";
}

std::shared_ptr<void> kept_memory(int64_t bytes, Device device) {
  return {runtime().allocate(static_cast<size_t>(bytes), device),
          [device](void* data) { runtime().release(data, device); }};
}

/// Programmatic dependent launch, of the current device: its kernels must have been compiled to wait for those ahead of
/// them (after_predecessor), and graphs hold such launches from CUDA 12.3's driver on.
bool launches_may_overlap() {
  constexpr int least_architecture = 90;
  constexpr int least_driver = 12030;
  cudaFuncAttributes attributes{};
  int driver = 0;
  check_cuda(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(nothing_kernel)),
             "asking for the kernels");
  check_cuda(cudaDriverGetVersion(&driver), "reading the driver's version");
  return attributes.ptxVersion >= least_architecture && driver >= least_driver;
}

struct CapturedGraph {
  cudaGraphExec_t exec = nullptr;
  int device = 0;
  int64_t nodes = 0;
  std::shared_ptr<void> scratch, counters;
};

struct DeviceEvent {
  cudaEvent_t event = nullptr;
  int device = 0;
};

}  // namespace

cudaStream_t queue_of(Stream& stream) {
  require_one_model(stream);
  return queue_of_lanes(stream);
}

cudaStream_t queue_of_lanes(Stream& stream) {
  use_device(stream.device().index);
  return state_of(stream).stream;
}

bool launches_overlap(Stream& stream) {
  return limits_of(stream.device().index).launches_overlap;
}

LaneStrides strides_of(Stream& stream) {
  return {.memory = stream.lanes().stride, .scratch = state_of(stream).scratch_stride};
}

const DeviceLimits& limits_of(int index) {
  static std::mutex mutex;
  static std::vector<DeviceLimits> all(static_cast<size_t>(runtime().devices()));
  const std::lock_guard lock(mutex);
  DeviceLimits& limits = all.at(static_cast<size_t>(index));
  if (limits.multiprocessors == 0) {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, index), "reading the device's properties");
    use_device(index);
    limits = {.multiprocessors = p.multiProcessorCount,
              .shared_bytes_per_block = static_cast<int64_t>(p.sharedMemPerBlockOptin),
              .memory_bytes = static_cast<int64_t>(p.totalGlobalMem),
              .l2_bytes = p.l2CacheSize,
              .launches_overlap = p.major >= 9 && launches_may_overlap()};
  }
  return limits;
}

void* scratch(Stream& stream, int64_t bytes_of_lane) {
  Queue& queue = state_of(stream);
  queue.scratch_stride = scratch_stride(bytes_of_lane);
  const int64_t bytes = stream.lanes().count * queue.scratch_stride;
  if (bytes > queue.scratch_bytes) {
    if (queue.capturing) {
      throw DeviceError("an operation needs " + std::to_string(bytes) +
                        " bytes of scratch memory while a graph is recorded; run it once before");
    }
    // First the old one, so that both need not fit; what is queued is done with it before it goes.
    queue.scratch.reset();
    queue.scratch_bytes = 0;
    queue.scratch = kept_memory(bytes, stream.device());
    queue.scratch_bytes = bytes;
  }
  return queue.scratch.get();
}

void allow_shared_memory(const Launch& shape, const void* function) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, size_t> allowed;
  int device = 0;
  check_cuda(cudaGetDevice(&device), shape.name);
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{device, function}];
  if (most == 0) {
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, function), shape.name);
    const size_t room = static_cast<size_t>(limits_of(device).shared_bytes_per_block) - attributes.sharedSizeBytes;
    check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(room)),
               shape.name);
    most = room;
  }
  if (shape.shared_bytes > most) {
    throw DeviceError(std::string(shape.name) + " needs " + std::to_string(shape.shared_bytes) +
                      " bytes of shared memory in a block, and cuda:" + std::to_string(device) + " has " +
                      std::to_string(most));
  }
}

unsigned* arrival_counters(Stream& stream) {
  Queue& queue = state_of(stream);
  const int64_t count = std::max(stream.lanes().count, first_counters);
  if (count > queue.counter_count) {
    if (queue.capturing) {
      throw DeviceError("an operation needs its counters while a graph is recorded; run it once before");
    }
    static_assert(lane_counter_bytes(1) == first_counters * sizeof(unsigned));
    queue.counters = kept_memory(lane_counter_bytes(count), stream.device());
    queue.counter_count = count;
  }
  return static_cast<unsigned*>(queue.counters.get());
}

std::shared_ptr<void>& attachment(Stream& stream, Attachment which) {
  return state_of(stream).attachments[static_cast<size_t>(which)];
}

void note_launch(const Launch& shape, const void* kernel) {
  if (listener == nullptr) {
    return;
  }
  const int threads = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
  cudaFuncAttributes attributes{};
  int blocks = 0;
  cudaDeviceProp p{};
  int device = 0;
  check_cuda(cudaGetDevice(&device), shape.name);
  check_cuda(cudaGetDeviceProperties(&p, device), shape.name);
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), shape.name);
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shape.shared_bytes), shape.name);
  listener->launched({.name = shape.name,
                      .blocks = static_cast<int64_t>(shape.grid.x) * shape.grid.y * shape.grid.z,
                      .threads_per_block = threads,
                      .shared_bytes = static_cast<int64_t>(attributes.sharedSizeBytes + shape.shared_bytes),
                      .registers = attributes.numRegs,
                      .local_bytes = static_cast<int64_t>(attributes.localSizeBytes),
                      .occupancy = static_cast<double>(blocks) * threads / p.maxThreadsPerMultiProcessor});
}

namespace {

class CudaRuntime final : public Runtime {
 public:
  int devices() override {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
      cudaGetLastError();  // it sticks otherwise
      return 0;
    }
    return count;
  }

  std::string why_no_device() override {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    cudaGetLastError();
    int driver = 0;
    int runtime = 0;
    if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0 &&
        cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
      return "the driver knows CUDA " + version_text(driver) + ", this evenflow was built with CUDA " +
             version_text(runtime) + ": update the driver";
    }
    return cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status);
  }

  std::string describe(Device device) override {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, device.index), "reading the device's properties");
    int driver = 0;
    check_cuda(cudaDriverGetVersion(&driver), "reading the driver's version");
    return std::string(p.name) + ", " + std::to_string(p.multiProcessorCount) + " multiprocessors, " +
           gigabytes(p.totalGlobalMem) + ", compute capability " + std::to_string(p.major) + "." +
           std::to_string(p.minor) + ", CUDA driver " + version_text(driver);
  }

  void require_usable(Device device) override {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, device.index), "reading the device's properties");
    constexpr int least_major = 8;
    if (p.major < least_major) {
      throw DeviceError(std::string(p.name) + " has compute capability " + std::to_string(p.major) + "." +
                        std::to_string(p.minor) +
                        ", and evenflow's kernels need 8.0 (Ampere) or later; use --device cpu");
    }
    // A driver of an older major release has no devices (why_no_device). One of an older minor release runs machine
    // code of ours, but does not translate our PTX for a GPU that has none: only CUDA knows which of the two it takes.
    use_device(device.index);
    cudaFuncAttributes attributes{};
    const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(nothing_kernel));
    if (status == cudaErrorUnsupportedPtxVersion || status == cudaErrorNoKernelImageForDevice) {
      cudaGetLastError();
      throw DeviceError(std::string(p.name) + " has compute capability " + std::to_string(p.major) + "." +
                        std::to_string(p.minor) + ", and " + why_no_kernel(status));
    }
    check_cuda(status, "loading the kernels");
  }

  void* allocate(size_t bytes, Device device) override {
    use_device(device.index);
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      size_t free_bytes = 0;
      size_t total = 0;
      check_cuda(cudaMemGetInfo(&free_bytes, &total), "asking for the free memory");
      throw DeviceError("cuda:" + std::to_string(device.index) + " is out of memory: " + gigabytes(bytes) +
                        " asked for, " + gigabytes(free_bytes) + " of " + gigabytes(total) +
                        " free; lower train.batch or train.resident_mib, or use --device cpu");
    }
    check_cuda(status, "allocating device memory");
    check_cuda(cudaMemset(data, 0, bytes), "clearing device memory");
    // Of the legacy stream; the queues do not wait for it.
    check_cuda(cudaStreamSynchronize(nullptr), "clearing device memory");
    return data;
  }

  void release(void* data, Device device) noexcept override {
    choose_device(device.index);
    cudaFree(data);
  }

  // Every block is preceded by one word that says which kind it is.
  void* allocate_pinned(size_t bytes, Device device) override {
    use_device(device.index);
    void* data = nullptr;
    const bool pinned = cudaMallocHost(&data, bytes + alignment) == cudaSuccess;
    if (!pinned) {
      cudaGetLastError();
      data = std::aligned_alloc(alignment, (bytes + 2 * alignment - 1) / alignment * alignment);
      if (data == nullptr) {
        throw DeviceError("out of memory: " + std::to_string(bytes) + " bytes asked for");
      }
    }
    std::memset(data, 0, bytes + alignment);
    static_cast<char*>(data)[0] = pinned ? 1 : 0;
    return static_cast<char*>(data) + alignment;
  }

  void release_pinned(void* data, Device device) noexcept override {
    choose_device(device.index);
    char* begin = static_cast<char*>(data) - alignment;
    if (begin[0] == 1) {
      cudaFreeHost(begin);
    } else {
      std::free(begin);
    }
  }

  void* create_stream(Device device) override {
    use_device(device.index);
    auto queue = std::make_unique<Queue>();
    check_cuda(cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking), "creating a stream");
    return queue.release();
  }

  void release_stream(void* queue, Device device) noexcept override {
    const std::unique_ptr<Queue> owner(static_cast<Queue*>(queue));
    choose_device(device.index);
    cudaStreamSynchronize(owner->stream);
    owner->attachments = {};
    cudaStreamDestroy(owner->stream);
  }

  void synchronise(Stream& stream) override {
    check_cuda(cudaStreamSynchronize(queue_of_lanes(stream)), "running the queued operations");
  }

  int64_t scratch_bytes(Stream& stream) override { return state_of(stream).scratch_bytes; }
  void reserve_scratch(Stream& stream, int64_t bytes_of_lane) override {
    scratch(stream, bytes_of_lane);
    arrival_counters(stream);
  }

  void copy(Stream& stream, const void* from, void* to, int64_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, queue_of(stream)), "copy");
  }

  void zero(Stream& stream, void* data, int64_t bytes) override {
    const Lanes& lanes = stream.lanes();
    const cudaStream_t queue = queue_of_lanes(stream);
    // One fill for all lanes, if their stride has no more than the 31 bits that it takes.
    if (lanes.count > 1 && lanes.stride <= std::numeric_limits<int>::max()) {
      check_cuda(cudaMemset2DAsync(data, static_cast<size_t>(lanes.stride), 0, static_cast<size_t>(bytes),
                                   static_cast<size_t>(lanes.count), queue),
                 "zero");
      return;
    }
    for (int64_t lane = 0; lane < lanes.count; ++lane) {
      check_cuda(cudaMemsetAsync(static_cast<char*>(data) + lane * lanes.stride, 0, static_cast<size_t>(bytes), queue),
                 "zero");
    }
  }

  void begin_capture(Stream& stream) override {
    check_cuda(cudaStreamBeginCapture(queue_of_lanes(stream), cudaStreamCaptureModeThreadLocal), "beginning a graph");
    state_of(stream).capturing = true;
  }

  void* end_capture(Stream& stream) override {
    cudaGraph_t graph = nullptr;
    state_of(stream).capturing = false;
    check_cuda(cudaStreamEndCapture(queue_of_lanes(stream), &graph), "ending a graph");
    auto* captured = new CapturedGraph{.device = stream.device().index,
                                       .nodes = 0,
                                       .scratch = state_of(stream).scratch,
                                       .counters = state_of(stream).counters};
    size_t nodes = 0;
    const cudaError_t counted = cudaGraphGetNodes(graph, nullptr, &nodes);
    const cudaError_t built = cudaGraphInstantiate(&captured->exec, graph, 0);
    cudaGraphDestroy(graph);
    captured->nodes = static_cast<int64_t>(nodes);
    if (counted != cudaSuccess || built != cudaSuccess) {
      delete captured;
      check_cuda(counted, "counting a graph's nodes");
      check_cuda(built, "building a graph");
    }
    return captured;
  }

  void launch_graph(Stream& stream, void* graph) override {
    check_cuda(cudaGraphLaunch(static_cast<CapturedGraph*>(graph)->exec, queue_of_lanes(stream)), "launching a graph");
  }

  int64_t graph_nodes(void* graph) override { return static_cast<CapturedGraph*>(graph)->nodes; }

  void release_graph(void* graph) noexcept override {
    auto* captured = static_cast<CapturedGraph*>(graph);
    choose_device(captured->device);
    cudaGraphExecDestroy(captured->exec);
    delete captured;
  }

  void* create_event(Device device) override {
    use_device(device.index);
    auto made = std::make_unique<DeviceEvent>();
    made->device = device.index;
    check_cuda(cudaEventCreate(&made->event), "creating an event");
    return made.release();
  }

  void release_event(void* event) noexcept override {
    const std::unique_ptr<DeviceEvent> owner(static_cast<DeviceEvent*>(event));
    choose_device(owner->device);
    cudaEventDestroy(owner->event);
  }

  void record_event(Stream& stream, void* event) override {
    check_cuda(cudaEventRecord(static_cast<DeviceEvent*>(event)->event, queue_of_lanes(stream)), "recording an event");
  }

  double event_seconds(void* from, void* to) override {
    const auto* end = static_cast<const DeviceEvent*>(to);
    use_device(end->device);
    float milliseconds = 0;
    check_cuda(cudaEventSynchronize(end->event), "waiting for an event");
    check_cuda(cudaEventElapsedTime(&milliseconds, static_cast<const DeviceEvent*>(from)->event, end->event),
               "reading an event");
    return static_cast<double>(milliseconds) * 1e-3;
  }

  std::string identity(Device device) override {
    constexpr int longest = 64;
    std::array<char, longest> id{};
    check_cuda(cudaDeviceGetPCIBusId(id.data(), longest, device.index), "asking for the GPU's place");
    return id.data();
  }

  void* join_ranks(Device device, Communicator& ranks) override {
    use_device(device.index);
    return join_nccl(ranks);
  }
  void leave_ranks(void* joined) noexcept override { leave_nccl(joined); }
  void gather_ranks(Stream& stream, void* joined, std::span<const RankRows> rows) override {
    gather_by_nccl(stream, joined, rows);
  }

  void set_launch_listener(LaunchListener* next) override { listener = next; }

  int64_t cache_bytes(Device device) override { return limits_of(device.index).l2_bytes; }
  double measure_gemm(Stream& stream, Precision precision) override { return cuda::measure_gemm(stream, precision); }
  Tracer* range_marker() override { return cuda::range_marker(); }
};

}  // namespace

Runtime& runtime() {
  static CudaRuntime runtime;
  return runtime;
}

}  // namespace evenflow::kernels::cuda
