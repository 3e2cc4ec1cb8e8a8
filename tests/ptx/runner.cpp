#include "tests/ptx/runner.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "kernels/check.h"
#include "tests/ptx/agreement.h"

namespace evenflow::ptx {
namespace {

using Bytes = std::vector<unsigned char>;

std::vector<Bytes> copy_of(const std::vector<emulation::DeviceAllocation>& allocations) {
  std::vector<Bytes> copies;
  copies.reserve(allocations.size());
  for (const auto& [data, bytes] : allocations) {
    copies.emplace_back(data, data + bytes);
  }
  return copies;
}

template <class T>
T value_at(const unsigned char* bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

/// Of what a region was written with as T.
template <class T>
double distance_of(const Region& region, const Bytes& emulated, Written as) {
  constexpr size_t words = sizeof(T) / 4;
  double largest = 0, difference = 0;
  for (size_t word = 0; word + words <= region.words.size(); ++word) {
    if (region.words[word] != as) {
      continue;
    }
    const auto theirs = static_cast<double>(value_at<T>(emulated.data(), 4 * word));
    const auto ours = static_cast<double>(value_at<T>(region.begin, 4 * word));
    if (std::isfinite(theirs)) {
      largest = std::max(largest, std::fabs(theirs));
    }
    const bool same = theirs == ours || (std::isnan(theirs) && std::isnan(ours));
    if (!same) {
      difference = std::max(difference, std::isfinite(theirs - ours) ? std::fabs(theirs - ours) : HUGE_VAL);
    }
    word += words - 1;
  }
  constexpr double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
  return difference == 0 ? 0 : difference / (largest * unit);
}

/// A word that the emulation and the PTX disagree about as bits: an integer, or what one of them did not write.
size_t differing_word(const Region& region, const Bytes& emulated) {
  for (size_t word = 0; 4 * word < region.bytes; ++word) {
    const size_t bytes = std::min<size_t>(4, region.bytes - 4 * word);
    const Written how = region.words[word];
    if (how != Written::f32 && how != Written::f64 &&
        std::memcmp(region.begin + 4 * word, emulated.data() + 4 * word, bytes) != 0) {
      return word;
    }
  }
  return SIZE_MAX;
}

/// Whether threads go over items with the grid's stride (kernels/cuda/grid.h), each item by itself: so that any grid
/// does the same. One that fills a GPU has no second turn of the loop before items are many.
bool goes_with_any_grid(const std::string& kernel) {
  constexpr std::array kernels{"adam_update_kernel",  "additive_kernel",      "additive_backward_kernel",
                               "add_planes_kernel",   "pack_kernel",          "add_rows_kernel",
                               "add_samples_kernel",  "linear_bias_kernel",   "order_keys_kernel",
                               "sum_rows_kernel",     "row_moments_kernel",   "squeeze_kernel",
                               "unsqueeze_kernel",    "subtract_kernel",      "guarded_update_kernel",
                               "logmel_bands_kernel", "logmel_windows_kernel"};
  const std::string name = kernel.substr(0, kernel.find('<'));
  return std::find(kernels.begin(), kernels.end(), name) != kernels.end();
}

/// The test's own shape, if it has one, and the grid.
std::string shape_of(const emulation::KernelLaunch& launch) {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string name = test == nullptr ? "" : test->name();
  const size_t slash = name.find('/');
  std::string shape = slash == std::string::npos ? "" : name.substr(slash + 1);
  for (const unsigned blocks : launch.grid) {
    shape += " " + std::to_string(blocks);
  }
  return shape;
}

}  // namespace

Runner::Runner(const std::filesystem::path& folder, std::filesystem::path report) : report_(std::move(report)) {
  // A launch's copies are large and short-lived: they get the last launch's memory, without asking the system.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".ptx") {
      continue;
    }
    std::ifstream stream(file.path());
    auto& module = modules_.emplace_back(std::make_unique<Module>(
        file.path().filename().string(), std::string{std::istreambuf_iterator<char>(stream), {}}));
    for (const std::string& name : module->kernel_names()) {
      entries_[common_name(name)] = {module.get(), name};
    }
  }
  if (!report_.empty()) {
    std::filesystem::remove(report_);
  }
}

Runner::~Runner() {
  emulation::run_kernels_by(nullptr);
  if (report_.empty()) {
    return;
  }
  std::filesystem::create_directories(report_.parent_path());
  std::ofstream out(report_);
  for (const auto& [name, record] : records_) {
    const Entry& entry = entries_[name];
    const std::vector<Instruction>& code = entry.module->kernel(entry.name).code;
    out << readable_name(name) << "\tnever ran\t" << code.size();
    for (const Instruction& instruction : code) {
      if (!instruction.ran) {
        out << '\t' << instruction.line;
      }
    }
    out << '\n';
    for (const std::string& shape : record.shapes) {
      out << readable_name(name) << '\t' << shape << '\t' << record.farthest.f32 << '\t' << record.farthest.f64 << '\n';
    }
  }
}

const Runner::Entry& Runner::entry_of(const emulation::KernelLaunch& launch) {
  Entry& entry = known_[launch.image.function];
  if (entry.module == nullptr) {
    const std::string name = common_name(symbols_.name_of(launch.image.function));
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw kernels::DeviceError("kernel " + std::string(launch.name) + ": no PTX has " + name);
    }
    entry = found->second;
  }
  return entry;
}

void Runner::run(const emulation::KernelLaunch& launch, const std::function<void()>& emulate) {
  const Entry& entry = entry_of(launch);
  const std::vector<emulation::DeviceAllocation> allocations = emulation::device_allocations();
  const std::vector<Bytes> before = copy_of(allocations);
  emulate();
  const std::vector<Bytes> emulated = copy_of(allocations);
  std::vector<Region> regions;
  for (size_t i = 0; i < allocations.size(); ++i) {
    std::copy(before[i].begin(), before[i].end(), allocations[i].data);
    regions.push_back({allocations[i].data, allocations[i].bytes});
  }
  for (const auto& [data, bytes] : entry.module->variables()) {
    regions.push_back({data, bytes});
  }
  DeviceMemory memory(std::move(regions));
  const std::string name = common_name(entry.name);
  Record& record = records_[name];
  Shape shape{.grid = launch.grid,
              .block = launch.block,
              .shared_bytes = launch.shared_bytes,
              .last_block_first = !launch.last_block_first};  // no bit may hang on it
  if (record.launches++ % 2 == 1 && goes_with_any_grid(readable_name(name))) {
    shape.grid[0] = 1;
  }
  try {
    ptx::run(entry.module->kernel(entry.name), shape, launch.image.parameters, memory);
  } catch (const std::exception& error) {
    throw kernels::DeviceError(error.what());
  }
  Distance distance;
  for (size_t i = 0; i < allocations.size(); ++i) {
    const Region& region = *memory.find(reinterpret_cast<uint64_t>(allocations[i].data), allocations[i].bytes);
    if (std::memcmp(region.begin, emulated[i].data(), region.bytes) == 0) {
      continue;
    }
    distance.f32 = std::max(distance.f32, distance_of<float>(region, emulated[i], Written::f32));
    distance.f64 = std::max(distance.f64, distance_of<double>(region, emulated[i], Written::f64));
    if (const size_t word = differing_word(region, emulated[i]); word != SIZE_MAX) {
      throw kernels::DeviceError("kernel " + std::string(launch.name) + ": word " + std::to_string(word) + " of " +
                                 std::to_string(region.words.size()) + " is not what the emulation makes of it");
    }
  }
  record.shapes.insert(shape_of(launch));
  record.farthest.f32 = std::max(record.farthest.f32, distance.f32);
  record.farthest.f64 = std::max(record.farthest.f64, distance.f64);
  require_agreement(readable_name(name), distance);
}

Runner* runner_of_environment() {
  static const std::unique_ptr<Runner> runner = [] {
    const char* folder = std::getenv("EVENFLOW_PTX");
    const char* report = std::getenv("EVENFLOW_PTX_REPORT");
    return folder == nullptr ? nullptr : std::make_unique<Runner>(folder, report == nullptr ? "" : report);
  }();
  return runner.get();
}

}  // namespace evenflow::ptx
