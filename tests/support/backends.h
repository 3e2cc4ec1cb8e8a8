// The devices, and on the CPU the instruction sets, that every operation's suite runs on.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/stream.h"

namespace evenflow::tests {

struct BackendUnderTest {
  kernels::Device device{};
  int64_t instruction_set = 0;  ///< a Highway target; CPU only
  bool emulated = false;        ///< the CUDA kernels on the CPU (tests/emulation)
  bool ptx = false;             ///< and they as nvcc made them (tests/ptx)
  std::string name;             ///< letters, digits, underscores
};
std::ostream& operator<<(std::ostream& out, const BackendUnderTest& backend);

/// The CPU once per instruction set that the machine has and the kernels are built for; the CUDA kernels under the
/// emulation; and cuda:0 where it can be used. Where the environment says so, only the CUDA kernels as nvcc made them,
/// as "cuda_ptx" (tests/ptx/runner.h).
std::vector<BackendUnderTest> backends_under_test();

/// As the program would find them: the CPU with its best instruction set, and the GPUs of backends_under_test.
std::vector<BackendUnderTest> devices_under_test();
std::vector<BackendUnderTest> gpus_under_test();

/// Restores run-time dispatch when it ends.
class SelectedBackend {
 public:
  explicit SelectedBackend(const BackendUnderTest& backend);
  ~SelectedBackend();
  SelectedBackend(const SelectedBackend&) = delete;
  SelectedBackend& operator=(const SelectedBackend&) = delete;
};

/// A suite over backend x shape. Shape has `std::string name() const`.
template <class Shape>
class OpTest : public testing::TestWithParam<std::tuple<BackendUnderTest, Shape>> {
 protected:
  const Shape& shape() const { return std::get<1>(this->GetParam()); }
  kernels::Device device() const { return std::get<0>(this->GetParam()).device; }

 private:
  SelectedBackend selected_{std::get<0>(this->GetParam())};

 protected:
  kernels::Stream stream_{device()};
};

template <class Shape>
std::string case_name(const testing::TestParamInfo<std::tuple<BackendUnderTest, Shape>>& info) {
  return std::get<0>(info.param).name + "_" + std::get<1>(info.param).name();
}

template <class Shape>
auto on_every_backend(const std::vector<Shape>& shapes) {
  return testing::Combine(testing::ValuesIn(backends_under_test()), testing::ValuesIn(shapes));
}

/// Of suites of the CPU's own kernels.
template <class Shape>
auto on_every_instruction_set(const std::vector<Shape>& shapes) {
  std::vector<BackendUnderTest> cpus = backends_under_test();
  std::erase_if(cpus, [](const BackendUnderTest& backend) { return backend.device.type != kernels::DeviceType::cpu; });
  return testing::Combine(testing::ValuesIn(cpus), testing::ValuesIn(shapes));
}

/// Of suites of the CUDA backend's own kernels.
template <class Shape>
auto on_every_gpu(const std::vector<Shape>& shapes) {
  return testing::Combine(testing::ValuesIn(gpus_under_test()), testing::ValuesIn(shapes));
}

/// Of what only the emulation can say of them.
template <class Shape>
auto on_emulated_gpus(const std::vector<Shape>& shapes) {
  std::vector<BackendUnderTest> gpus = gpus_under_test();
  std::erase_if(gpus, [](const BackendUnderTest& backend) { return !backend.emulated; });
  return testing::Combine(testing::ValuesIn(gpus), testing::ValuesIn(shapes));
}

/// Of what only the kernels as nvcc made them need.
template <class Shape>
auto on_ptx(const std::vector<Shape>& shapes) {
  std::vector<BackendUnderTest> gpus = gpus_under_test();
  std::erase_if(gpus, [](const BackendUnderTest& backend) { return !backend.ptx; });
  return testing::Combine(testing::ValuesIn(gpus), testing::ValuesIn(shapes));
}

}  // namespace evenflow::tests
