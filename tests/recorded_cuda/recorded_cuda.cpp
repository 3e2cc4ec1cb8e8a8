#include "recorded_cuda.h"

#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "kernels/cuda/probe.h"
#include "kernels/cuda/runtime.h"

struct RecordedNode {
  const void* function;
  size_t shared_bytes;
};
struct RecordedStream {
  int device;
  bool capturing;
  std::vector<RecordedNode> captured;
};
struct RecordedEvent {
  int device;
};
struct RecordedGraph {
  int device;
  std::vector<RecordedNode> nodes;
};

namespace evenflow::recorded {
namespace {

struct Block {
  int device;
  size_t bytes;
};

thread_local int current = 0;
std::map<void*, Block> blocks;                              // of device memory
std::map<std::pair<int, const void*>, size_t> most_shared;  // of functions, where it was raised
constexpr size_t without_asking = 48 * 1024;

Gpu& gpu(int device) {
  return machine().gpus[static_cast<size_t>(device)];
}

/// What is not asked of a stream or of a device by its name gives the current one a context.
Gpu& touch() {
  gpu(current).has_context = true;
  return gpu(current);
}

bool shared_fits(int device, const RecordedNode& node) {
  const auto found = most_shared.find({device, node.function});
  return node.shared_bytes <= (found == most_shared.end() ? without_asking : found->second);
}

/// Whether the library has something for the GPU: machine code of its major release, or PTX that the driver translates.
cudaError_t load_on(const Gpu& gpu) {
  const int capability = 10 * gpu.major + gpu.minor;
  for (const int code : machine().architectures) {
    if (code / 10 == gpu.major && code <= capability) {
      return cudaSuccess;
    }
  }
  if (machine().architectures.back() > capability) {
    return cudaErrorNoKernelImageForDevice;
  }
  return machine().driver < machine().runtime ? cudaErrorUnsupportedPtxVersion : cudaSuccess;
}

}  // namespace

Machine& machine() {
  static Machine machine{.gpus = {{.shared_bytes_per_block = 227 * 1024}, {.shared_bytes_per_block = 99 * 1024}},
                         .launches = {}};
  return machine;
}

void forget_device() {
  current = 0;
}

const kernels::Backend& backend() {
  static const kernels::Backend backend{.operations = kernels::cpu_backend().operations,
                                        .runtime = &kernels::cuda::runtime()};
  return backend;
}

}  // namespace evenflow::recorded

using namespace evenflow::recorded;  // NOLINT(google-build-using-namespace): CUDA's names have none

const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorInvalidResourceHandle ? "invalid resource handle" : "another error";
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = machine().runtime;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(machine().gpus.size());
  return machine().driver / 1000 < machine().runtime / 1000 ? cudaErrorInsufficientDriver : cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= static_cast<int>(machine().gpus.size())) {
    return cudaErrorInvalidDevice;
  }
  current = device;
  touch();  // since CUDA 12
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Gpu& asked = gpu(device);
  *properties = {.name = "Recorded GPU",
                 .major = asked.major,
                 .minor = asked.minor,
                 .multiProcessorCount = 132,
                 .l2CacheSize = 50 << 20,
                 .maxThreadsPerMultiProcessor = 2048,
                 .totalGlobalMem = size_t{80} << 30,
                 .sharedMemPerBlockOptin = asked.shared_bytes_per_block};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int, int device) {
  std::strcpy(id, device == 0 ? "0000:00:00.0" : "0000:01:00.0");
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  constexpr size_t alignment = 256;
  *data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  touch().allocated_bytes += static_cast<int64_t>(bytes);
  blocks[*data] = {current, bytes};
  return cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  touch();
  const auto block = blocks.find(data);
  if (block == blocks.end()) {
    return cudaErrorInvalidValue;
  }
  gpu(block->second.device).allocated_bytes -= static_cast<int64_t>(block->second.bytes);
  blocks.erase(block);
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  touch();
  *free_bytes = *total_bytes = size_t{80} << 30;
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  touch();
  constexpr size_t alignment = 256;
  *data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* data) {
  touch();
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  touch();
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t) {
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset2DAsync(void* data, size_t pitch, int value, size_t width, size_t height, cudaStream_t) {
  for (size_t row = 0; row < height; ++row) {
    std::memset(static_cast<char*>(data) + row * pitch, value, width);
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  touch();
  *stream = new RecordedStream{current, false, {}};
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) {
    touch();
  }
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->capturing = false;
  *graph = new RecordedGraph{stream->device, std::exchange(stream->captured, {})};
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  for (const RecordedNode& node : graph->nodes) {
    if (!shared_fits(graph->device, node)) {
      return cudaErrorInvalidValue;
    }
  }
  *exec = new RecordedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return exec->device == stream->device && current == stream->device ? cudaSuccess : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  touch();
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  touch();
  *event = new RecordedEvent{current};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  touch();
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return event->device == stream->device && current == stream->device ? cudaSuccess : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  touch();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = 1;
  return from->device == to->device ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {.sharedSizeBytes = 0, .localSizeBytes = 0, .numRegs = 32, .ptxVersion = 90};
  return load_on(touch());
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute, int value) {
  if (static_cast<size_t>(value) > touch().shared_bytes_per_block) {
    return cudaErrorInvalidValue;
  }
  most_shared[{current, function}] = static_cast<size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks_per, const void*, int, size_t) {
  *blocks_per = 1;
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void**) {
  RecordedStream& stream = *config->stream;
  if (stream.device != current) {
    return cudaErrorInvalidResourceHandle;
  }
  const RecordedNode node{function, config->dynamicSmemBytes};
  if (stream.capturing) {
    stream.captured.push_back(node);
    return cudaSuccess;
  }
  if (!shared_fits(current, node)) {
    return cudaErrorInvalidValue;
  }
  machine().launches.push_back({current, config->dynamicSmemBytes});
  return cudaSuccess;
}

// What runtime.cu asks of libraries that are not recorded.
namespace evenflow::kernels::cuda {

double measure_gemm(Stream&, Precision) {
  return 0;
}
Tracer* range_marker() {
  return nullptr;
}

}  // namespace evenflow::kernels::cuda
