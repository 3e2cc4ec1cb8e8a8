// kernels/cuda/runtime.h on the CPU. What is queued runs at synchronise(), no sooner: a host that does not wait reads
// what was there before.
#include "kernels/cuda/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "cuda_emulation.h"
#include "device_memory.h"
#include "kernels/check.h"
#include "kernels/lanes.h"

namespace evenflow::emulation {
namespace {

using Work = std::function<void()>;

struct Queue {
  std::vector<Work> waiting;
  std::vector<Work> captured;
  bool capturing = false;
  std::exception_ptr failure;     // of work that ran when nobody could be told
  std::shared_ptr<void> scratch;  // with the graphs that were recorded with it
  int64_t scratch_bytes = 0, scratch_stride = 0;
  std::shared_ptr<void> counters;  // as scratch
  int64_t counter_count = 0;
  std::array<std::shared_ptr<void>, static_cast<size_t>(kernels::cuda::Attachment::count)> attachments;
};

struct Graph {
  std::vector<Work> work;
  std::shared_ptr<void> scratch, counters;
};

struct Event {
  std::chrono::steady_clock::time_point time;
  Queue* queue = nullptr;
};

// One queue runs at a time, as one kernel does.
std::recursive_mutex mutex;
std::set<Queue*> queues;

Queue& queue_of(kernels::Stream& stream) {
  return *static_cast<Queue*>(stream.handle());
}

/// CUDA's answer to a child of fork(): it cannot use a device that its parent has used.
void require_own_process() {
  static const pid_t owner = ::getpid();
  if (::getpid() != owner) {
    throw kernels::DeviceError("initialization error");
  }
}

void run_all(Queue& queue) {
  require_own_process();
  const std::lock_guard lock(mutex);
  const DeviceMemoryOpen open;
  // What fails takes what is behind it along, as a lost context does.
  const std::vector<Work> work = std::exchange(queue.waiting, {});
  if (queue.failure) {
    std::rethrow_exception(std::exchange(queue.failure, nullptr));
  }
  for (const Work& item : work) {
    item();
  }
}

void run_all_quietly(Queue& queue) noexcept {
  try {
    run_all(queue);
  } catch (...) {
    queue.failure = std::current_exception();
  }
}

}  // namespace

void run_later(kernels::Stream& stream, Work work) {
  kernels::cuda::require_one_model(stream);
  run_later_for_lanes(stream, std::move(work));
}

void run_later_for_lanes(kernels::Stream& stream, Work work) {
  Queue& queue = queue_of(stream);
  const std::lock_guard lock(mutex);  // another thread that releases memory runs every queue
  (queue.capturing ? queue.captured : queue.waiting).push_back(std::move(work));
}

}  // namespace evenflow::emulation

namespace evenflow::kernels::cuda {

using emulation::Event;
using emulation::Graph;
using emulation::Queue;
using emulation::run_later;
using emulation::run_later_for_lanes;

namespace {

LaunchListener* listener = nullptr;

std::shared_ptr<void> kept_memory(int64_t bytes, Device device) {
  return {runtime().allocate(static_cast<size_t>(bytes), device),
          [device](void* data) { runtime().release(data, device); }};
}

}  // namespace

const DeviceLimits& limits_of(int index) {
  const auto with_shared = [](int64_t bytes) {
    return DeviceLimits{.multiprocessors = 4,
                        .shared_bytes_per_block = bytes,
                        .memory_bytes = int64_t{2} << 30,
                        .l2_bytes = int64_t{1} << 20};
  };
  // cuda:1 can only be asked for its limits: those of compute capability 8.6, 8.9 and 12.0.
  static const std::array limits{with_shared(emulation::most_shared_bytes), with_shared(99 * 1024)};
  return limits.at(static_cast<size_t>(index));
}

LaneStrides strides_of(Stream& stream) {
  const Queue& queue = emulation::queue_of(stream);
  return {.memory = stream.lanes().stride,
          .scratch = queue.scratch_stride,
          .lane = static_cast<const unsigned char*>(stream.lanes().memory),
          .scratch_of_lane = static_cast<unsigned char*>(queue.scratch.get())};
}

void* scratch(Stream& stream, int64_t bytes_of_lane) {
  Queue& queue = emulation::queue_of(stream);
  queue.scratch_stride = scratch_stride(bytes_of_lane);
  const int64_t bytes = stream.lanes().count * queue.scratch_stride;
  if (bytes > queue.scratch_bytes) {
    if (queue.capturing) {
      throw DeviceError("an operation needs " + std::to_string(bytes) +
                        " bytes of scratch memory while a graph is recorded; run it once before");
    }
    queue.scratch.reset();
    queue.scratch = kept_memory(bytes, stream.device());
    queue.scratch_bytes = bytes;
  }
  if (!queue.scratch) {
    return nullptr;
  }
  // What an operation left there is none of the next one's business.
  run_later_for_lanes(stream,
                      [data = queue.scratch.get(), bytes] { std::memset(data, 0xFF, static_cast<size_t>(bytes)); });
  return queue.scratch.get();
}

unsigned* arrival_counters(Stream& stream) {
  Queue& queue = emulation::queue_of(stream);
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
  return emulation::queue_of(stream).attachments[static_cast<size_t>(which)];
}

void note_launch(const Launch& shape) {
  if (listener == nullptr) {
    return;
  }
  listener->launched({.name = shape.name,
                      .blocks = static_cast<int64_t>(shape.grid.x) * shape.grid.y * shape.grid.z,
                      .threads_per_block = static_cast<int64_t>(shape.block.x) * shape.block.y * shape.block.z,
                      .shared_bytes = static_cast<int64_t>(shape.shared_bytes)});
}

namespace {

class EmulatedRuntime final : public Runtime {
 public:
  std::string describe(Device) override { return "emulated CUDA device"; }

  void* allocate(size_t bytes, Device) override {
    emulation::require_own_process();
    void* data = emulation::device_allocate(bytes);
    const emulation::DeviceMemoryOpen open;
    std::memset(data, 0, bytes);
    return data;
  }

  void release(void* data, Device) noexcept override {
    // A GPU finishes what is queued before it lets memory go.
    const std::lock_guard lock(emulation::mutex);
    for (Queue* queue : emulation::queues) {
      emulation::run_all_quietly(*queue);
    }
    emulation::device_release(data);
  }

  void* allocate_pinned(size_t bytes, Device) override {
    constexpr size_t alignment = 64;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, rounded);
    std::memset(data, 0, rounded);
    return data;
  }

  void release_pinned(void* data, Device) noexcept override { std::free(data); }

  void* create_stream(Device) override {
    emulation::require_own_process();
    auto* queue = new Queue;
    const std::lock_guard lock(emulation::mutex);
    emulation::queues.insert(queue);
    return queue;
  }

  void release_stream(void* queue, Device) noexcept override {
    const std::lock_guard lock(emulation::mutex);
    const std::unique_ptr<Queue> owner(static_cast<Queue*>(queue));
    emulation::run_all_quietly(*owner);
    emulation::queues.erase(owner.get());
  }

  void synchronise(Stream& stream) override {
    Queue& queue = emulation::queue_of(stream);
    if (queue.capturing) {
      throw DeviceError("waiting for a stream while a graph is recorded from it");
    }
    emulation::run_all(queue);
  }

  int64_t scratch_bytes(Stream& stream) override { return emulation::queue_of(stream).scratch_bytes; }
  void reserve_scratch(Stream& stream, int64_t bytes_of_lane) override {
    scratch(stream, bytes_of_lane);
    arrival_counters(stream);
  }

  void copy(Stream& stream, const void* from, void* to, int64_t bytes) override {
    run_later(stream, [=] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
  }

  void zero(Stream& stream, void* data, int64_t bytes) override {
    run_later_for_lanes(stream, [=, lanes = stream.lanes()] {
      for (int64_t lane = 0; lane < lanes.count; ++lane) {
        std::memset(static_cast<unsigned char*>(data) + lane * lanes.stride, 0, static_cast<size_t>(bytes));
      }
    });
  }

  void begin_capture(Stream& stream) override { emulation::queue_of(stream).capturing = true; }

  void* end_capture(Stream& stream) override {
    Queue& queue = emulation::queue_of(stream);
    queue.capturing = false;
    return new Graph{std::exchange(queue.captured, {}), queue.scratch, queue.counters};
  }

  void launch_graph(Stream& stream, void* graph) override {
    for (const auto& work : static_cast<Graph*>(graph)->work) {
      run_later_for_lanes(stream, work);
    }
  }

  int64_t graph_nodes(void* graph) override { return static_cast<int64_t>(static_cast<Graph*>(graph)->work.size()); }

  void release_graph(void* graph) noexcept override { delete static_cast<Graph*>(graph); }

  void* create_event(Device) override { return new Event; }

  void release_event(void* event) noexcept override { delete static_cast<Event*>(event); }

  void record_event(Stream& stream, void* event) override {
    auto* e = static_cast<Event*>(event);
    e->queue = &emulation::queue_of(stream);
    run_later_for_lanes(stream, [e] { e->time = std::chrono::steady_clock::now(); });
  }

  double event_seconds(void* from, void* to) override {
    emulation::run_all(*static_cast<Event*>(to)->queue);
    return std::chrono::duration<double>(static_cast<Event*>(to)->time - static_cast<Event*>(from)->time).count();
  }

  // Through the host, in NCCL's place.
  void gather_ranks(Stream& stream, void* joined, std::span<const RankRows> rows) override {
    run_later(stream, [this, &stream, joined, parts = std::vector<RankRows>(rows.begin(), rows.end())] {
      Runtime::gather_ranks(stream, joined, parts);
    });
  }

  void set_launch_listener(LaunchListener* next) override { listener = next; }

  int64_t cache_bytes(Device device) override { return limits_of(device.index).l2_bytes; }
};

}  // namespace

Runtime& runtime() {
  static EmulatedRuntime runtime;
  return runtime;
}

}  // namespace evenflow::kernels::cuda
