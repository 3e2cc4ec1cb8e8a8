// What normal clips sound like at an operating point: what is expected of each mel band, and how much clips differ.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/model_file.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

/// Normal clips to compare with: what a model holds of those it was trained on, or others.
struct NormalReference {
  io::PointData points;
  io::SoundData sound;
  int64_t size() const { return static_cast<int64_t>(sound.paths.size()); }
  /// A clip with its descriptor and sound; `v` of the model's parameters.
  void add(const ClipScore& clip, std::span<const double> v);
};

/// Of a clip at an operating point; spreads are standard deviations between clips, at least 0.5 dB. Some of a machine's
/// sound moves with its speed, and some does not: where nobody recorded, a band may have what it has at other speeds,
/// or what they have at the frequency that their speeds make of it. Both are normal.
struct ExpectedSound {
  std::vector<double> level_db;                       ///< [bands] mean over the frames
  std::vector<double> least_level_db, most_level_db;  ///< [bands] the lower and the higher of it and of what moves
  std::vector<double> peak_db;                        ///< [bands] greatest over the frames; the higher of both
  std::vector<double> level_spread_db, peak_spread_db;
  double quietest_db = 0, quietest_spread_db = 0;
  /// The operating point: what was asked for, moved to the nearest among the clips'; NaN: it plays no part. May be
  /// empty.
  std::vector<double> at;
  bool outside = false;  ///< it was moved by more than a tenth of the range of the clips' values
};

/// Which parameter is the speed that frequencies move with, and how the bands lie (kernels/mel_scale.h).
struct SpeedOfBands {
  size_t parameter = 0;
  double mels_per_band = 0;
};

class NormalSound {
 public:
  /// parameters: values of a clip in data.v; speed: none, if no parameter is one; names: those whose values are codes.
  /// io::DataError: fewer than two clips. `data` outlives it.
  NormalSound(const io::SoundData& data, size_t parameters, std::optional<SpeedOfBands> speed = {},
              std::vector<size_t> names = {});

  /// At v (NaN: unknown). By weighted least squares, band by band: a plane over the known parameters, clips weighted by
  /// exp(-u^2 / 2), u their distance from v in bandwidths of a twelfth of the values' range, which grow together until
  /// the weights are worth five clips and two more for each parameter (Fan and Gijbels 1996). Clips of which a
  /// parameter is unknown have no part in it, nor have clips of other names. If v is unknown, or too few clips are
  /// left: mean and deviation over the clips of these names, if they are five or more, or else over all.
  ExpectedSound at(std::span<const double> v) const;

  /// The operating point whose normal clips have a clip's spectrum at whatever level: v with its unknown numbers (NaN)
  /// filled in, that of the least misfit_of after the level is taken off. Of one unknown number 61 values over the
  /// clips' range are tried, of several the clips' own. None: no number is unknown, or the clips that at() takes do not
  /// tell. level_db: [bands] of the clip.
  std::optional<std::vector<double>> of_spectrum(std::span<const float> level_db, std::span<const double> v) const;

 private:
  std::vector<std::vector<double>> candidates(std::span<const double> v) const;
  const io::SoundData& data_;
  size_t parameters_;
  std::optional<SpeedOfBands> speed_;
  std::vector<size_t> names_;
};

/// By how much a clip is louder than normal: the median over the bands.
double level_above(const ExpectedSound& expected, std::span<const float> level_db);

/// How far a clip that is `above_db` louder is from normal otherwise, in spreads: the mean over the bands, each counted
/// as four at most, so that a tone or a lacking band does not decide where everything else belongs.
double misfit_of(const ExpectedSound& expected, std::span<const float> level_db, double above_db);

}  // namespace evenflow::train
