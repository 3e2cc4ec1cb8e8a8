// The devices of a job's ranks, and what they gather from each other without the host.
#pragma once

#include <span>
#include <string_view>

#include "kernels/communicator.h"
#include "kernels/runtime.h"
#include "kernels/stream.h"

namespace evenflow::kernels {

/// The device of this process's rank: parse_device's; of "auto" and "cuda" the GPU of the rank's number on its node,
/// or the only one it sees. DeviceError as parse_device's, and where a node has fewer GPUs than ranks.
Device device_of_rank(std::string_view text, const Communicator& ranks);

/// Made by all ranks together. GPUs talk through NCCL, loaded here; DeviceError says why it cannot be used, or that two
/// ranks are on one GPU. `ranks` outlives it.
class DeviceRanks {
 public:
  DeviceRanks(Device device, Communicator& ranks);
  ~DeviceRanks();
  DeviceRanks(const DeviceRanks&) = delete;
  DeviceRanks& operator=(const DeviceRanks&) = delete;

  /// Queued: of every part, each rank's row to all ranks, in one launch; a graph may record it. Rows lie on the device.
  void gather(Stream& stream, std::span<const RankRows> rows);

 private:
  Device device_;
  void* joined_;  // the backend's own
};

}  // namespace evenflow::kernels
