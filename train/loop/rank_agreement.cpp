#include "train/loop/rank_agreement.h"

#include <algorithm>
#include <array>

#include "io/checksum.h"
#include "io/error.h"
#include "train/detect/shares.h"

namespace evenflow::train {
namespace {

using Digits = std::array<char, 16>;  // of io::Fnv1a64

}  // namespace

void require_same(kernels::Communicator& ranks, const std::string& what, const std::string& text) {
  io::Fnv1a64 hash;
  hash.add(text.data(), text.size());
  std::vector<Digits> all(static_cast<size_t>(ranks.ranks()));
  std::copy_n(hash.hex().begin(), all[0].size(), all[static_cast<size_t>(ranks.rank())].begin());
  Shares(ranks).gather(std::span(all), 1);
  const auto other = std::find_if(all.begin(), all.end(), [&](const Digits& digits) { return digits != all.front(); });
  if (other != all.end()) {
    throw io::UsageError("ranks 0 and " + std::to_string(other - all.begin()) + " of this training have different " +
                         what + "; start all with one command, on machines of one kind, or each training by itself");
  }
}

void take_from_first(kernels::Communicator& ranks, std::vector<float>& values) {
  ranks.broadcast(values.data(), static_cast<int64_t>(values.size() * sizeof(float)));
}

}  // namespace evenflow::train
