// Probes: normal clips with a small departure that no operating point makes. They stand in for faults where there are
// none to choose by (as in Fung, Qiu, Li & Rudolph 2023, arXiv 2310.10461).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/shard.h"

namespace evenflow::experiments {

enum class ProbeKind {
  tone,    ///< two neighbouring bands are louder all the time
  band,    ///< an eighth of the bands is louder all the time
  clicks,  ///< all bands are louder for two frames in every 8 to 24
};
inline constexpr int probe_kinds = 3;
/// From what hardly any detector can find to what every one should.
inline constexpr double softest_probe_db = 1.0, loudest_probe_db = 32.0;

/// Makes a clip's frames [frames, bands] in dB a probe of one kind. How much louder, which bands, which frames are
/// drawn by (seed, number): softest_probe_db to loudest_probe_db, evenly on a logarithmic scale.
void make_probe(std::vector<float>& frames, int64_t bands, ProbeKind kind, uint64_t seed, uint64_t number);

/// Writes a shard with a probe of each kind of every clip in `clips`, labelled anomalous, of split test. Probe `p` of
/// clips[i] is clip 3 i + p, and its path ends in its kind's name.
void write_probes(const io::Shard& shard, const std::vector<int32_t>& clips, uint64_t seed,
                  const std::filesystem::path& out);

}  // namespace evenflow::experiments
