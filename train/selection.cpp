#include "train/selection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "io/error.h"
#include "train/config_match.h"
#include "train/random.h"

namespace evenflow::train {
namespace {

constexpr uint64_t hold_out_stream = 0x686f6c64;

const io::Clip& clip_of(const ClipSelection& selection, std::pair<int32_t, int32_t> at) {
  return selection.shards[static_cast<size_t>(at.first)]->clips()[static_cast<size_t>(at.second)];
}

[[noreturn]] void no_clips(const std::vector<const io::Shard*>& shards, const std::string& machine) {
  std::set<std::string> machines;
  for (const io::Shard* shard : shards) {
    for (const io::Clip& clip : shard->clips()) {
      if (clip.split == io::Split::train && clip.label != 1) machines.insert("'" + clip.machine + "'");
    }
  }
  const std::string first = shards.empty() ? "" : "'" + shards[0]->path().string() + "': ";
  if (machine.empty() || machines.empty()) {
    throw io::DataError(first +
                        "no normal clip of split train; mark the training clips in the manifest and prepare again");
  }
  throw io::DataError(fmt::format("{}no normal training clip of machine '{}'; set train.machine to one of {}", first,
                                  machine, fmt::join(machines, ", ")));
}

// Clips of one machine and one operating point. NaN (unknown) has one rank of its own.
std::string stratum_of(const io::Clip& clip) {
  std::string key = clip.machine;
  for (const double value : clip.parameter) key += std::isnan(value) ? "|?" : fmt::format("|{}", value);
  return key;
}

struct Stratum {
  std::vector<size_t> members;  // indices into the selection, in the order of their hashes
  size_t held = 0;
  double wanted = 0;
  size_t most() const { return members.size() - 1; }
};

std::vector<Stratum> strata_of(const ClipSelection& all, double fraction, uint64_t seed) {
  std::map<std::string, Stratum> by_key;
  for (size_t i = 0; i < all.clips.size(); ++i) by_key[stratum_of(clip_of(all, all.clips[i]))].members.push_back(i);
  std::vector<Stratum> strata;
  for (auto& [key, stratum] : by_key) {
    std::sort(stratum.members.begin(), stratum.members.end(), [&](size_t a, size_t b) {
      return random_bits(seed, hold_out_stream, a) < random_bits(seed, hold_out_stream, b);
    });
    stratum.wanted = fraction * static_cast<double>(stratum.members.size());
    stratum.held = std::min(static_cast<size_t>(stratum.wanted), stratum.most());
    strata.push_back(std::move(stratum));
  }
  return strata;
}

// Deals the clips that whole numbers left over to the strata furthest below their share; the hash of a stratum's next
// clip breaks ties, so that no operating point is preferred.
void deal_remainder(std::vector<Stratum>& strata, size_t target, uint64_t seed, bool keep_one) {
  const auto held = [&] {
    size_t sum = 0;
    for (const Stratum& stratum : strata) sum += stratum.held;
    return sum;
  };
  const auto rank = [&](const Stratum& s) {
    return std::pair(s.wanted - static_cast<double>(s.held),
                     static_cast<double>(random_bits(seed, hold_out_stream, s.members[s.held])));
  };
  for (size_t sum = held(); sum < target; ++sum) {
    Stratum* next = nullptr;
    for (Stratum& stratum : strata) {
      if (stratum.held >= (keep_one ? stratum.most() : stratum.members.size())) continue;
      if (next == nullptr || rank(stratum) > rank(*next)) next = &stratum;
    }
    if (next == nullptr) return;
    ++next->held;
  }
}

}  // namespace

ClipSelection normal_training_clips(const std::vector<const io::Shard*>& shards, const std::string& machine) {
  ClipSelection selection{shards, {}};
  for (size_t s = 0; s < shards.size(); ++s) {
    const std::vector<io::Clip>& clips = shards[s]->clips();
    for (size_t c = 0; c < clips.size(); ++c) {
      const io::Clip& clip = clips[c];
      if (clip.split != io::Split::train || (!machine.empty() && clip.machine != machine)) continue;
      if (clip.label == 1) {
        throw io::DataError("clip '" + clip.path.string() + "' of '" + shards[s]->path().string() +
                            "' is an anomaly in split train, and training takes normal clips only; move it to split "
                            "test in the manifest and prepare again");
      }
      selection.clips.emplace_back(static_cast<int32_t>(s), static_cast<int32_t>(c));
    }
  }
  if (selection.clips.empty()) no_clips(shards, machine);
  return selection;
}

HeldOut hold_out(const ClipSelection& all, double fraction, uint64_t seed) {
  HeldOut result{{all.shards, {}}, {all.shards, {}}};
  const size_t n = all.clips.size();
  std::vector<bool> held(n, false);
  if (fraction > 0 && n >= 2) {
    const auto rounded = static_cast<size_t>(std::llround(fraction * static_cast<double>(n)));
    const size_t target = std::clamp<size_t>(rounded, 1, n - 1);
    std::vector<Stratum> strata = strata_of(all, fraction, seed);
    deal_remainder(strata, target, seed, true);
    const bool none = std::all_of(strata.begin(), strata.end(), [](const Stratum& s) { return s.held == 0; });
    if (none) deal_remainder(strata, 1, seed, false);  // every operating point has a single clip
    for (const Stratum& stratum : strata) {
      for (size_t i = 0; i < stratum.held; ++i) held[stratum.members[i]] = true;
    }
  }
  for (size_t i = 0; i < n; ++i) (held[i] ? result.validation : result.train).clips.push_back(all.clips[i]);
  return result;
}

void require_alike(const std::vector<const io::Shard*>& shards) {
  for (const io::Shard* shard : shards) {
    require_frontend(*shard, shards[0]->frontend(), "shard '" + shards[0]->path().string() + "'");
    if (shard->parameter_names() == shards[0]->parameter_names()) continue;
    throw io::DataError(fmt::format("'{}' has parameters [{}] and '{}' has [{}]; prepare both with the same columns",
                                    shard->path().string(), fmt::join(shard->parameter_names(), ", "),
                                    shards[0]->path().string(), fmt::join(shards[0]->parameter_names(), ", ")));
  }
}

std::vector<int> parameter_columns(const io::Shard& shard, const std::vector<std::string>& names) {
  const std::vector<std::string>& there = shard.parameter_names();
  std::vector<int> columns;
  for (const std::string& name : names) {
    const auto found = std::find(there.begin(), there.end(), name);
    if (found == there.end()) {
      throw io::UsageError(fmt::format("condition.parameters names '{}', which '{}' does not have; it has [{}]", name,
                                       shard.path().string(), fmt::join(there, ", ")));
    }
    columns.push_back(static_cast<int>(found - there.begin()));
  }
  return columns;
}

}  // namespace evenflow::train
