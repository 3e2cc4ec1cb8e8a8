#include "kernels/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "kernels/check.h"
#include "kernels/cpu/choices.h"
#include "kernels/cpu/probe.h"
#include "kernels/cpu/runtime.h"

namespace evenflow::kernels::cpu {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      return line.substr(std::min(line.size(), line.find(": ") + 2));
    }
  }
  return "unknown model";
}

// Streams, graphs and events of the CPU are host matters: kernels/stream.cpp, graph.cpp, event.cpp.
class CpuRuntime final : public Runtime {
 public:
  std::string describe(Device) override {
    return "CPU " + cpu_model() + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores, " +
           describe_choices();
  }
  void* allocate(size_t bytes, Device) override {
    constexpr size_t alignment = 64;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, rounded);
    if (data == nullptr) {
      throw DeviceError("out of memory: " + std::to_string(bytes) +
                        " bytes asked for; use a smaller batch or less data");
    }
    std::memset(data, 0, rounded);
    return data;
  }
  void release(void* data, Device) noexcept override { std::free(data); }
  void copy(Stream&, const void* from, void* to, int64_t bytes) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void zero(Stream&, void* data, int64_t bytes) override { std::memset(data, 0, static_cast<size_t>(bytes)); }
  int64_t cache_bytes(Device) override { return cpu::cache_bytes(); }
  double measure_gemm(Stream&, Precision precision) override {
    return precision == Precision::float32 ? measure_sgemm() : 0;
  }
};

}  // namespace

Runtime& runtime() {
  static CpuRuntime runtime;
  return runtime;
}

}  // namespace evenflow::kernels::cpu
