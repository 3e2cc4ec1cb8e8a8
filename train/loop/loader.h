// Windows of the selected clips, in an order that (seed, epoch) alone decides; resident or streamed, same result.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "io/config.h"
#include "io/shard.h"
#include "train/detect/engine.h"
#include "train/loop/held_frames.h"

namespace evenflow::train {

/// One window of one clip.
struct WindowRef {
  int32_t shard = 0;
  int32_t clip = 0;   ///< index in the shard
  int64_t frame = 0;  ///< first frame, in the shard
};

/// The clips of several shards that a training, or a validation, uses.
struct ClipSelection {
  std::vector<const io::Shard*> shards;
  std::vector<std::pair<int32_t, int32_t>> clips;  ///< (shard, clip)
  const io::Clip& clip(std::pair<int32_t, int32_t> at) const {
    return shards[static_cast<size_t>(at.first)]->clips()[static_cast<size_t>(at.second)];
  }
};

/// All windows, in clip order: where each starts in the resident frames and its values.
struct WindowTable {
  std::vector<int64_t> start;
  std::vector<double> v;  ///< [windows * parameters]
};

class Loader {
 public:
  /// `parameters`: the columns of the shards' parameters that make up a window's values. `codes`: of each of these
  /// columns, what a clip's code of a name becomes (NaN: unknown); empty of a number. Frames up to `resident_bytes`
  /// are held in memory, more are streamed by a prefetch thread. Where all are among `held`, which outlives the loader,
  /// those are used. `more`: of each clip one more value, the last of its windows'; empty: none.
  Loader(ClipSelection selection, const io::WindowSettings& window, const std::vector<int>& parameters,
         int64_t resident_bytes, const HeldFrames* held = nullptr, const std::vector<std::vector<double>>& codes = {},
         const std::vector<double>& more = {});
  ~Loader();

  bool resident() const;
  int64_t clips() const;
  int64_t windows() const;  ///< in all
  int64_t windows_per_epoch(int windows_per_clip) const;

  /// From the next start on, frames of a batch are read only of the windows of its share (streamed; resident frames are
  /// all there). Empty: of all.
  using Share = std::function<Range(int64_t windows)>;
  void read_only(Share share);

  /// Starts an epoch: batches of `batch` windows from batch `first_batch` on; windows_per_clip 0: all of them.
  void start_epoch(uint64_t seed, int64_t epoch, int64_t batch, int windows_per_clip, int64_t first_batch = 0);
  /// Windows in clip order, no shuffling (validation, statistics).
  void start_in_order(int64_t batch);
  /// The next batch, valid until the next call; size 0 at the end. Its windows as references in refs().
  WindowBatch next();
  std::span<const WindowRef> refs() const;

  /// For a device that does the loader's work itself: the frames and where the windows lie in them (resident only), and
  /// the windows of an epoch, in its order, as rows of the table.
  std::span<const float> resident_frames() const;
  WindowTable window_table() const;
  std::vector<int64_t> epoch_windows(uint64_t seed, int64_t epoch, int windows_per_clip) const;

  /// Calls sink with all frames of the selected clips in order, in pieces.
  void visit_frames(const std::function<void(std::span<const float>)>& sink) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A permutation of [0, n) from (seed, epoch): kernels::random_order of the epoch's stream, the same on every device.
std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch);
uint64_t epoch_order_stream(int64_t epoch);

}  // namespace evenflow::train
