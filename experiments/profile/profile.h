// Where a training step's time goes: every operation alone and the step as a whole, measured on one device and put
// beside what the device can do at most.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/config.h"
#include "kernels/cost.h"
#include "kernels/precision.h"

namespace evenflow::experiments {

struct ProfileSettings {
  io::Config
      config;  ///< of it: model, window, mel bands, condition, and train's device, threads, batch, precision, kernels
  int repeat = 20;    ///< measured steps
  bool warm = false;  ///< leave the caches as the step before left them, instead of clearing them before each operation
  bool ranges = false;  ///< name the ranges for Nsight (kernels/probe.h)
  std::function<void(const std::string& what)> progress;
};

/// Seconds; 10th and 90th percentile beside the median.
struct Spread {
  double median = 0, p10 = 0, p90 = 0;
};
/// By linear interpolation. Needs at least one value.
Spread spread_of(std::vector<double> values);

/// The precisions that a matrix product is measured in, by their names.
inline constexpr std::array<std::pair<const char*, kernels::Precision>, 3> gemm_precisions = {
    {{"float32", kernels::Precision::float32}, {"tf32", kernels::Precision::tf32}, {"bf16", kernels::Precision::bf16}}};

struct Ceilings {
  double copy = 0;               ///< bytes/s, read and written, of a copy beyond the caches
  std::array<double, 3> gemm{};  ///< FLOP/s by kernels::Precision; 0: not measured
  std::string gemm_missing;      ///< why none was measured, or empty
  double gemm_of(kernels::Precision precision) const { return gemm[static_cast<size_t>(precision)]; }
};

/// One call within a step: of a whole batch on a GPU, of what is carried at once on the CPU.
struct ProfiledCall {
  std::string name;     ///< "block2.step3.coupling_forward"; the second of its kind at a place: "gaussian_squares 2"
  std::string phase;    ///< "forward"
  double per_step = 1;  ///< how often a step makes this call: once, or once per window
  Spread seconds;       ///< of one call
  kernels::Cost cost;   ///< of one call
  int64_t launches = 0;
};

struct ProfiledPart {
  std::string name;
  Spread seconds;  ///< of a step's calls
  double flop = 0;
};

/// All calls of one operation in one block, or outside of the blocks. Figures are of a whole step.
struct ProfiledOperation {
  std::string block;  ///< "block1", or empty
  std::string operation;
  Spread seconds;
  double share = 0;  ///< of the sum over all operations
  kernels::Cost cost;
  double gemm_ceiling = 0;  ///< FLOP/s at this operation's precision; 0: not measured
  int64_t launches = 0;
  std::vector<ProfiledCall> calls;
  std::vector<ProfiledPart> parts;
};

struct ProfiledKernel {
  std::string name;
  int64_t launches = 0;  ///< in a step; the rest is of the largest of them
  int64_t blocks = 0, threads_per_block = 0, shared_bytes = 0, registers = 0, local_bytes = 0;
  double occupancy = 0;
};

struct Profile {
  io::Config config;
  std::string device, device_text;
  int repeat = 0;
  int threads = 1;  ///< of the step as a whole
  bool warm = false;
  int64_t windows = 0;  ///< in a step
  int64_t at_once = 0;  ///< carried at once by the operations measured alone
  int64_t parameters = 0;
  double forward_flop = 0;  ///< of one window
  double step_flop = 0;     ///< of all windows
  Ceilings ceilings;
  Spread operations;  ///< sum over all operations, each alone, on one stream
  Spread whole;       ///< the step as a training makes it: a graph on a GPU, all threads on the CPU
  int64_t launches = 0, graph_nodes = 0;
  std::vector<ProfiledOperation> rows;  ///< the longest first
  std::vector<ProfiledKernel> kernels;  ///< the most launched first; none on the CPU
};

/// io::UsageError for settings that cannot be, kernels::DeviceError for the device, std::runtime_error if the step's
/// loss is not finite.
Profile run_profile(const ProfileSettings& settings);

}  // namespace evenflow::experiments
