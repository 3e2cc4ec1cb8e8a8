#include "tests/support/backends.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/cpu/choices.h"
#include "tests/ptx/runner.h"

namespace evenflow::tests {

std::ostream& operator<<(std::ostream& out, const BackendUnderTest& backend) {
  return out << backend.name;
}

std::vector<BackendUnderTest> backends_under_test() {
  const kernels::Device gpu{kernels::DeviceType::cuda, 0};
  std::vector<BackendUnderTest> out;
  if (ptx::Runner* runner = ptx::runner_of_environment(); runner != nullptr) {
    emulation::run_kernels_by(runner);
    return {{.device = gpu, .instruction_set = 0, .emulated = true, .ptx = true, .name = "cuda_ptx"}};
  }
  for (const int64_t target : {int64_t{HWY_AVX3}, int64_t{HWY_AVX2}, int64_t{HWY_STATIC_TARGET}}) {
    const bool known = std::any_of(out.begin(), out.end(), [&](const auto& b) { return b.instruction_set == target; });
    if (known || (kernels::cpu::available_targets() & target) == 0) {
      continue;
    }
    out.push_back({.device = {},
                   .instruction_set = target,
                   .emulated = false,
                   .ptx = false,
                   .name = std::string("cpu_") + hwy::TargetName(target)});
  }
  out.push_back({.device = gpu, .instruction_set = 0, .emulated = true, .ptx = false, .name = "cuda_emulated"});
  try {
    out.push_back({.device = kernels::parse_device("cuda:0"),
                   .instruction_set = 0,
                   .emulated = false,
                   .ptx = false,
                   .name = "cuda"});
  } catch (const kernels::DeviceError&) {
  }
  return out;
}

std::vector<BackendUnderTest> gpus_under_test() {
  std::vector<BackendUnderTest> gpus = backends_under_test();
  std::erase_if(gpus, [](const BackendUnderTest& backend) { return backend.device.type == kernels::DeviceType::cpu; });
  return gpus;
}

std::vector<BackendUnderTest> devices_under_test() {
  std::vector<BackendUnderTest> out = gpus_under_test();
  out.insert(out.begin(), {.device = {}, .instruction_set = 0, .emulated = false, .ptx = false, .name = "cpu"});
  return out;
}

SelectedBackend::SelectedBackend(const BackendUnderTest& backend) {
  kernels::cpu_backend();  // what it chooses must not come after what is chosen here
  if (backend.instruction_set != 0) {
    hwy::GetChosenTarget().Update(backend.instruction_set);
  }
  if (backend.emulated) {
    kernels::use_cuda_backend(&kernels::cuda_backend());
  }
}

SelectedBackend::~SelectedBackend() {
  hwy::GetChosenTarget().DeInit();
  kernels::use_cuda_backend(nullptr);
}

}  // namespace evenflow::tests
