#include "kernels/device_ranks.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "kernels/check.h"

namespace evenflow::kernels {
namespace {

// A node's name and a GPU's place in it, with room to spare.
using Place = std::array<char, 320>;

Place place_of(const std::string& identity) {
  std::array<char, 256> node{};
  gethostname(node.data(), node.size() - 1);
  const std::string text = identity + " of " + node.data();
  Place place{};
  std::copy_n(text.data(), std::min(text.size(), place.size() - 1), place.data());
  return place;
}

/// DeviceError, on all ranks, if two of them are on one GPU.
void require_own_gpu(Device device, Communicator& ranks) {
  const std::string identity = runtime_of(device).identity(device);
  std::vector<Place> places(static_cast<size_t>(ranks.ranks()));
  places[static_cast<size_t>(ranks.rank())] = place_of(identity);
  ranks.gather_rows(places.data(), static_cast<int64_t>(sizeof(Place)));
  if (identity.empty()) {
    return;
  }
  for (auto place = places.begin(); place != places.end(); ++place) {
    const auto other = std::find(place + 1, places.end(), *place);
    if (other != places.end()) {
      throw DeviceError("ranks " + std::to_string(place - places.begin()) + " and " +
                        std::to_string(other - places.begin()) + " are on one GPU, " + place->data() +
                        "; start one rank per GPU, with --device auto");
    }
  }
}

}  // namespace

Device device_of_rank(std::string_view text, const Communicator& ranks) {
  Device device = parse_device(text);
  const bool by_number = text.find(':') != std::string_view::npos;
  if (ranks.ranks() == 1 || device.type == DeviceType::cpu || by_number) {
    return device;
  }
  const int devices = runtime_of(device).devices();
  if (devices == 1) {  // SLURM may show each rank a GPU of its own alone
    return device;
  }
  if (ranks.ranks_on_node() > devices) {
    throw DeviceError(std::to_string(ranks.ranks_on_node()) + " ranks on a node with " + std::to_string(devices) +
                      " GPUs; start one per GPU (mpirun --npernode " + std::to_string(devices) +
                      ", srun --ntasks-per-node=" + std::to_string(devices) + "), or use --device cpu");
  }
  device.index = ranks.rank_on_node();
  runtime_of(device).require_usable(device);
  return device;
}

DeviceRanks::DeviceRanks(Device device, Communicator& ranks) : device_(device) {
  require_own_gpu(device, ranks);
  joined_ = runtime_of(device).join_ranks(device, ranks);
}

DeviceRanks::~DeviceRanks() {
  runtime_of(device_).leave_ranks(joined_);
}

void DeviceRanks::gather(Stream& stream, std::span<const RankRows> rows) {
  runtime_of(device_).gather_ranks(stream, joined_, rows);
}

}  // namespace evenflow::kernels
