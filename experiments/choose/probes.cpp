#include "experiments/choose/probes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "train/statistics/random.h"

namespace evenflow::experiments {
namespace {

constexpr uint64_t probe_stream = 0x70726f6265;
constexpr std::array<const char*, probe_kinds> kind_names = {"tone", "band", "clicks"};

/// The draws of one probe, in their order.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t number) : seed_(seed), counter_(number << 8U) {}
  int64_t below(int64_t n) { return train::random_below(n, seed_, probe_stream, counter_++); }
  double uniform() { return kernels::unit_interval(train::random_bits(seed_, probe_stream, counter_++)); }

 private:
  uint64_t seed_, counter_;
};

/// Raises the bands [first, first + count) of a frame.
void raise(float* frame, int64_t first, int64_t count, float gain_db) {
  for (int64_t band = first; band < first + count; ++band) {
    frame[band] += gain_db;
  }
}

}  // namespace

void make_probe(std::vector<float>& frames, int64_t bands, ProbeKind kind, uint64_t seed, uint64_t number) {
  Draws draws(seed, number * probe_kinds + static_cast<uint64_t>(kind));
  const auto gain_db =
      static_cast<float>(softest_probe_db * std::pow(loudest_probe_db / softest_probe_db, draws.uniform()));
  const int64_t count = static_cast<int64_t>(frames.size()) / bands;
  const int64_t width = kind == ProbeKind::tone   ? std::min<int64_t>(2, bands)
                        : kind == ProbeKind::band ? std::max<int64_t>(1, bands / 8)
                                                  : bands;
  const int64_t first = draws.below(bands - width + 1);
  const int64_t period = kind == ProbeKind::clicks ? 8 + draws.below(17) : 1;
  const int64_t length = kind == ProbeKind::clicks ? 2 : 1;
  for (int64_t frame = 0; frame < count; ++frame) {
    if (frame % period < length) {
      raise(frames.data() + frame * bands, first, width, gain_db);
    }
  }
}

void write_probes(const io::Shard& shard, const std::vector<int32_t>& clips, uint64_t seed,
                  const std::filesystem::path& out) {
  io::ShardWriter writer(out, shard.frontend(), shard.parameter_names(), shard.device(), shard.categories());
  for (const int32_t index : clips) {
    const std::vector<float> normal = shard.clip_frames(static_cast<size_t>(index));
    for (int kind = 0; kind < probe_kinds; ++kind) {
      std::vector<float> frames = normal;
      make_probe(frames, shard.mel_bands(), static_cast<ProbeKind>(kind), seed, static_cast<uint64_t>(index));
      io::Clip clip = shard.clips()[static_cast<size_t>(index)];
      clip.path += std::string(" with ") + kind_names[static_cast<size_t>(kind)];
      clip.split = io::Split::test;
      clip.label = 1;
      writer.append(clip, frames);
    }
  }
  writer.finish();
}

}  // namespace evenflow::experiments
