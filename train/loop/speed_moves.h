// Training windows moved to speeds that nobody recorded, by what the training clips tell of the machine's spectrum
// there (statistics/spectrum_by_speed.h): augment.speed_by = "spectrum".
//
// A point is where the other parameters of the model, the machine and the speed are what they are in some of the
// clips; points that differ in the speed alone form a group, and sound is moved inside its group. What points and moves
// there are depends on the clips' values alone, and not on which of them are held out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/config.h"
#include "kernels/augment.h"
#include "kernels/buffer.h"
#include "kernels/gather.h"
#include "train/loop/selection.h"
#include "train/statistics/spectrum_by_speed.h"

namespace evenflow::train {

/// On the host.
struct MoveTable {
  std::vector<kernels::PointMoves> points;
  std::vector<kernels::SpeedMove> moves;
  std::vector<float> factor, offset, error;

  /// Sets what is drawn from.
  void set(kernels::DrawChanges& draw) const;
  kernels::BandMoves of_bands() const;
};

struct MovesOnDevice {
  MovesOnDevice(kernels::Stream& stream, const MoveTable& table);

  kernels::Buffer<kernels::PointMoves> points;
  kernels::Buffer<kernels::SpeedMove> moves;
  kernels::Buffer<float> factor, offset, error;

  kernels::BandMoves of_bands() const { return {factor.view(), offset.view(), error.view()}; }
};

/// Of a clip, the mean and deviation of each band over its frames [frames, bands]; frames that are not finite are left
/// out. Empty if none is left.
BandMoments moments_of(std::span<const float> frames, int64_t bands);

class SpeedMoves {
 public:
  /// `speed`: a parameter of the clips. `others`: the model's, which may have it among them.
  SpeedMoves(const HeldOut& clips, const std::string& speed, const std::vector<std::string>& others,
             const io::FrontendSettings& frontend);

  /// Has a group two points, so that there are moves?
  bool any() const;
  /// io::DataError unless there are.
  void require() const;
  /// The number of a clip's point; -1 where its speed is unknown.
  int64_t point_of(std::pair<int32_t, int32_t> clip) const;
  /// Those of the clips, in their order; NaN for -1.
  std::vector<double> points_of(const ClipSelection& clips) const;

  /// `moments`: of each clip of the training side, in order.
  void learn(const ClipSelection& train, std::span<const BandMoments> moments);
  /// Is anything known of how sound changes with the speed?
  bool has_learnt() const;
  /// Moves by up to `range`, either way; inside its group's speeds and beyond them by a factor of 2 at most. Moves that
  /// change nothing in a group of which no two speeds were learnt.
  MoveTable table(double range) const;
  /// For a log: how each spectrum is told, and how well.
  std::string describe() const;

 private:
  struct Group {
    std::vector<double> speeds;         // of its points, ascending
    int64_t first = 0;                  // of its points
    std::vector<SpectrumBySpeed> told;  // one or, before learn(), none
  };
  void add_moves(const Group& group, size_t point, double range, MoveTable& table) const;
  void add_errors(const Group& group, MoveTable& table) const;

  std::vector<Group> groups_;
  std::map<std::pair<int32_t, int32_t>, int64_t> points_;  // of clips
  std::vector<double> centres_hz_;
  std::string speed_;
};

}  // namespace evenflow::train
