// Augmentation: how each window of a training batch is changed (kernels/gather.h), drawn on the device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/gather.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Sound at speed v becomes sound at `moved` when its frequencies are multiplied by this (WindowChange::warp).
EVENFLOW_ANYWHERE inline double speed_ratio(double v, double moved) {
  return moved / v;
}

/// A warp is neither to halve nor to double the frequencies by more than this: beyond it, what moves with the speed
/// leaves the bands, and what does not is bent too far.
inline constexpr double least_speed_ratio = 0.5, most_speed_ratio = 2.0;

/// What the draws are drawn from.
struct Augmentation {
  double speed = 0;                         ///< in units of v; 0: no warp
  double speed_probability = 0;             ///< of a window to be warped
  double noise = 0;                         ///< standard deviation on the normalised input
  int64_t mask_bands = 0, mask_frames = 0;  ///< the widest masks; 0: none
};

/// What a move (BandMoves) makes of a window's speed, and how wrong it may be.
struct SpeedMove {
  double step = 0;          ///< that the speed moves by
  double deviation = 0;     ///< of WindowChange::error_size, which is uniform about 0
  int32_t first_error = 0;  ///< of the errors, all alike likely, one is meant
  int32_t errors = 0;       ///< 0: none is
};

/// The moves from one operating point: rows [first, first + count).
struct PointMoves {
  int32_t first = 0, count = 0;
};

/// What differs between the models of one launch (lanes.h).
struct LaneDraws {
  Augmentation augmentation;
  uint64_t seed = 0;
  int64_t speed_column = -1;
  int64_t point_column = -1;
};

/// Draws the change of every window of a batch by (seed, step, place in the batch) alone, with the same bits on every
/// device:
/// - speed: with `speed_probability`, v becomes moved_speed of it, and the window is warped by their ratio. A window
///   whose v is NaN or 0 is not warped. With a point_column it is moved instead, by one of its point's moves, each as
///   likely as the others; a window without a point or a move is not;
/// - noise: of the given deviation, every window, by a key of its own;
/// - masks: one of a width uniform in 0 .. mask_bands at a place uniform among those where it fits, and one likewise of
///   frames (SpecAugment: Park et al. 2019, arXiv 1904.08779).
/// ShapeError.
struct DrawChanges {
  Augmentation augmentation;
  uint64_t seed = 0;
  Array<const int64_t> step;      ///< [1]
  int64_t speed_column = -1;      ///< of `values`: the v that is moved; -1: none is
  Array<const double> values;     ///< [n, columns]
  int64_t bands = 0, frames = 0;  ///< of a window
  double band_ratio = 1;          ///< of frequencies (mel_scale.h), for moved_speed
  Array<WindowChange> changes;    ///< [n] out
  Array<double> v;                ///< [n, P], P <= columns, out: the first P columns, with what was moved
  int64_t first = 0;              ///< the first window's place in its batch
  int64_t point_column = -1;      ///< of `values`: the number of the window's point, NaN: none; -1: windows are warped
  Array<const PointMoves> points{};
  Array<const SpeedMove> moves{};
  /// [1], on the device: holds in place of augmentation, seed and the two columns, and is not checked. Empty: they
  /// hold.
  Array<const LaneDraws> of_lane{};
};
void draw_changes(Stream& stream, const DrawChanges& task);
Cost cost(const DrawChanges& task);

// ---- of one window, for the backends

/// Puts what of_lane holds, if anything, in its place.
EVENFLOW_ANYWHERE inline void use_own_draws(DrawChanges& task) {
  if (task.of_lane.size == 0) {
    return;
  }
  const LaneDraws& own = task.of_lane.data[0];
  task.augmentation = own.augmentation;
  task.seed = own.seed;
  task.speed_column = own.speed_column;
  task.point_column = own.point_column;
}

/// Of `count` things alike likely, by u uniform in [0, 1); u may have been rounded to 1.
EVENFLOW_ANYWHERE inline int32_t drawn_of(int32_t count, double u) {
  const auto drawn = static_cast<int32_t>(u * count);
  return drawn < count ? drawn : count - 1;
}

/// Where the speed v of a window is moved to, from u uniform in [0, 1): by `range` at most, and by a factor between
/// least_speed_ratio and most_speed_ratio. The factor is a power of band_ratio other than 1, each that fits as likely
/// as the others: where bands are logarithmic, such a warp moves them by whole bands. One by parts of a band takes
/// means of two bands, which are smoother than any sound that is recorded. Unless a band fits to either side, v + d
/// with d uniform.
EVENFLOW_ANYWHERE inline double moved_speed(double v, double range, double band_ratio, double u) {
  const double magnitude = fabs(v);
  const double least = fmax(-range, (least_speed_ratio - 1.0) * magnitude);
  const double most = fmin(range, (most_speed_ratio - 1.0) * magnitude);
  // By products and quotients alone: the same bits everywhere.
  constexpr int most_powers = 4096;  // of numbers so small that a quotient rounds to itself
  int up = 0, down = 0;
  if (band_ratio > 1) {
    for (double at = magnitude * band_ratio; at <= magnitude + most && up < most_powers; at *= band_ratio) {
      ++up;
    }
    for (double at = magnitude / band_ratio; at >= magnitude + least && down < most_powers; at /= band_ratio) {
      ++down;
    }
  }
  if (up == 0 || down == 0) {
    const double step = fma(most - least, u, least);  // one rounding everywhere
    return v < 0 ? v - step : v + step;
  }
  const int drawn = drawn_of(up + down, u);
  double moved = v;
  for (int power = drawn; power < down; ++power) {
    moved /= band_ratio;
  }
  for (int power = down; power <= drawn; ++power) {
    moved *= band_ratio;
  }
  return moved;
}

struct Mask {
  int32_t first, count;
};
/// At most `widest` of `length`.
EVENFLOW_ANYWHERE inline Mask mask_at(int64_t widest, int64_t length, double u_width, double u_first) {
  const auto count = static_cast<int64_t>(u_width * static_cast<double>(widest + 1));
  const auto first = static_cast<int64_t>(u_first * static_cast<double>(length - count + 1));
  return {static_cast<int32_t>(first), static_cast<int32_t>(count)};
}

/// What a window's draws are for, each named by its number.
enum class AugmentDraw : uint64_t {
  warped,
  speed_step,
  noise,
  band_width,
  first_band,
  frame_width,
  first_frame,
  error,
  error_size
};

EVENFLOW_ANYWHERE inline uint64_t augment_bits(const DrawChanges& task, int64_t window, AugmentDraw draw) {
  constexpr uint64_t augment_stream = 0x6175676d656e74;
  const uint64_t step = mix_bits(mix_bits(augment_stream) ^ static_cast<uint64_t>(task.step.data[0]));
  return random_bits(task.seed, step ^ static_cast<uint64_t>(task.first + window), static_cast<uint64_t>(draw));
}
EVENFLOW_ANYWHERE inline double augment_uniform(const DrawChanges& task, int64_t window, AugmentDraw draw) {
  return unit_interval(augment_bits(task, window, draw));
}

/// v, or v + d.
EVENFLOW_ANYWHERE inline double drawn_speed(const DrawChanges& task, int64_t window, double v) {
  const Augmentation& a = task.augmentation;
  const bool can_move = a.speed > 0 && v == v && v != 0;
  if (!can_move || !(augment_uniform(task, window, AugmentDraw::warped) < a.speed_probability)) {
    return v;
  }
  return moved_speed(v, a.speed, task.band_ratio, augment_uniform(task, window, AugmentDraw::speed_step));
}

/// Which error of a move, and how much of it, from two uniform in [0, 1).
EVENFLOW_ANYWHERE inline void draw_error(const SpeedMove& move, double u, double u_size, WindowChange& change) {
  constexpr double root_3 = 1.7320508075688772;  // of numbers uniform in [-1, 1] the deviation is its inverse
  if (move.errors > 0) {
    change.error = move.first_error + drawn_of(move.errors, u);
    change.error_size = static_cast<float>(root_3 * move.deviation * (u_size + u_size - 1.0));
  }
}

/// One of the point's moves; what the speed becomes.
EVENFLOW_ANYWHERE inline double draw_move(const DrawChanges& task, int64_t window, double point, double speed,
                                          WindowChange& change) {
  const auto uniform = [&](AugmentDraw draw) { return augment_uniform(task, window, draw); };
  if (point != point || !(uniform(AugmentDraw::warped) < task.augmentation.speed_probability)) {
    return speed;
  }
  const PointMoves& own = task.points.data[static_cast<int64_t>(point)];
  if (own.count == 0) {
    return speed;
  }
  change.move = own.first + drawn_of(own.count, uniform(AugmentDraw::speed_step));
  const SpeedMove& move = task.moves.data[change.move];
  draw_error(move, uniform(AugmentDraw::error), uniform(AugmentDraw::error_size), change);
  return speed + move.step;
}

EVENFLOW_ANYWHERE inline void draw_change_of(const DrawChanges& task, int64_t window) {
  using enum AugmentDraw;
  const int64_t columns = task.values.size / task.changes.size, kept = task.v.size / task.changes.size;
  const double* values = task.values.data + window * columns;
  double* v = task.v.data + window * kept;
  for (int64_t p = 0; p < kept; ++p) {
    v[p] = values[p];
  }
  WindowChange change;
  if (task.point_column >= 0) {
    const double speed = task.speed_column < 0 ? 0.0 : values[task.speed_column];
    const double moved = draw_move(task, window, values[task.point_column], speed, change);
    if (task.speed_column >= 0 && task.speed_column < kept) {
      v[task.speed_column] = moved;
    }
  } else if (task.speed_column >= 0) {
    const double speed = values[task.speed_column];
    const double moved = drawn_speed(task, window, speed);
    if (moved != speed && moved == moved) {
      change.warp = static_cast<float>(speed_ratio(speed, moved));
    }
    if (task.speed_column < kept) {
      v[task.speed_column] = moved;
    }
  }
  const Augmentation& a = task.augmentation;
  change.noise = static_cast<float>(a.noise);
  change.noise_key = augment_bits(task, window, noise);
  const auto uniform = [&](AugmentDraw draw) { return augment_uniform(task, window, draw); };
  const Mask of_bands = mask_at(a.mask_bands, task.bands, uniform(band_width), uniform(first_band));
  const Mask of_frames = mask_at(a.mask_frames, task.frames, uniform(frame_width), uniform(first_frame));
  change.first_masked_band = of_bands.first;
  change.masked_bands = of_bands.count;
  change.first_masked_frame = of_frames.first;
  change.masked_frames = of_frames.count;
  task.changes.data[window] = change;
}

}  // namespace evenflow::kernels
