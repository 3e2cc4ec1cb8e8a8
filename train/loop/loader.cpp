#include "train/loop/loader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "frontend/features.h"
#include "io/error.h"
#include "kernels/random_order.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

// Streams of random.h, so that no two uses share their draws.
constexpr uint64_t order_stream = 0x6f72646572;
constexpr uint64_t draw_stream = 0x64726177;

uint64_t epoch_stream(uint64_t stream, int64_t epoch) {
  return mix_bits(stream) ^ static_cast<uint64_t>(epoch);
}

std::vector<int64_t> random_order(int64_t n, uint64_t seed, uint64_t stream_id) {
  kernels::Stream stream;
  std::vector<int64_t> order(static_cast<size_t>(n));
  kernels::random_order(stream,
                        {.seed = seed, .order_stream = stream_id, .order = {order.data(), n, {}}, .workspace = {}});
  return order;
}

// `count` of [0, n), ascending: the first of a random order.
std::vector<int64_t> distinct_draws(int64_t n, int64_t count, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order = random_order(n, seed, stream);
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

// A batch with its own copy of what it views.
struct Slot {
  std::vector<WindowRef> refs;
  std::vector<int64_t> start;
  std::vector<double> v;
  std::vector<float> frames;
};

/// The columns of the shards' parameters, and what codes of names become.
struct Columns {
  const std::vector<int>& of;
  const std::vector<std::vector<double>>& codes;
  const std::vector<double>& more;
  double value(size_t p, double given) const {
    if (p >= codes.size() || codes[p].empty() || std::isnan(given)) {
      return given;
    }
    return codes[p].at(static_cast<size_t>(given));
  }
};

}  // namespace

struct Loader::State {
  struct ClipWindows {
    int64_t frames = 0, windows = 0;
    int64_t first_frame = 0;     // in the shard
    int64_t resident_frame = 0;  // in resident_frames
    std::vector<double> v;
  };

  State(ClipSelection selection_in, const io::WindowSettings& window_in, const Columns& parameters,
        int64_t resident_bytes, const HeldFrames* held)
      : selection(std::move(selection_in)), window(window_in) {
    if (!selection.shards.empty()) {
      bands = selection.shards[0]->mel_bands();
    }
    int64_t total_frames = 0;
    for (const auto& [shard, clip] : selection.clips) {
      add_clip(*selection.shards[static_cast<size_t>(shard)], clip, parameters, total_frames);
      total_frames += clips.back().frames;
      total_windows += clips.back().windows;
    }
    if (held != nullptr && find_in(*held)) {
      resident_frames = held->frames();
      return;
    }
    resident = total_frames * bands * static_cast<int64_t>(sizeof(float)) <= resident_bytes;
    if (resident) {
      read_all(total_frames);
    }
  }

  bool find_in(const HeldFrames& held) {
    std::vector<int64_t> first;
    for (size_t i = 0; i < clips.size(); ++i) {
      const std::optional<int64_t> found = held.first_frame(shard_of(i), selection.clips[i].second);
      if (!found) {
        return false;
      }
      first.push_back(*found);
    }
    for (size_t i = 0; i < clips.size(); ++i) {
      clips[i].resident_frame = first[i];
    }
    return true;
  }

  ~State() { stop_prefetch(); }

  void add_clip(const io::Shard& shard, int32_t index, const Columns& parameters, int64_t resident_frame) {
    const auto i = static_cast<size_t>(index);
    const io::Clip& clip = shard.clips()[i];
    ClipWindows& entry = clips.emplace_back();
    entry.first_frame = shard.offsets()[i];
    entry.frames = shard.offsets()[i + 1] - entry.first_frame;
    entry.resident_frame = resident_frame;
    entry.windows = frontend::windows_in(entry.frames, window);
    if (entry.windows < 1) {
      throw io::DataError("clip '" + clip.path.string() + "' of '" + shard.path().string() + "' has " +
                          std::to_string(entry.frames) + " frames and a window needs " +
                          std::to_string(window.window_frames) + "; leave the clip out, or lower window.window_frames");
    }
    for (size_t p = 0; p < parameters.of.size(); ++p) {
      entry.v.push_back(parameters.value(p, clip.parameter.at(static_cast<size_t>(parameters.of[p]))));
    }
    if (!parameters.more.empty()) {
      entry.v.push_back(parameters.more.at(clips.size() - 1));
    }
  }

  const io::Shard& shard_of(size_t clip) const {
    return *selection.shards[static_cast<size_t>(selection.clips[clip].first)];
  }

  void read_all(int64_t total_frames) {
    own_frames.resize(static_cast<size_t>(total_frames * bands));
    for (size_t i = 0; i < clips.size(); ++i) {
      shard_of(i).read_frames(clips[i].first_frame, clips[i].frames,
                              own_frames.data() + clips[i].resident_frame * bands);
    }
    resident_frames = own_frames;
  }

  // ---- which windows, in which order

  struct Item {
    int32_t clip = 0;  // in clips
    int64_t window = 0;
  };

  std::vector<Item> drawn_items(uint64_t seed, int64_t epoch, int windows_per_clip) const {
    std::vector<Item> items;
    for (size_t c = 0; c < clips.size(); ++c) {
      const int64_t n = clips[c].windows;
      const auto clip = static_cast<int32_t>(c);
      if (windows_per_clip <= 0 || windows_per_clip >= n) {
        for (int64_t w = 0; w < n; ++w) {
          items.push_back({clip, w});
        }
        continue;
      }
      const uint64_t stream = mix_bits(epoch_stream(draw_stream, epoch)) ^ c;
      for (const int64_t w : distinct_draws(n, windows_per_clip, seed, stream)) {
        items.push_back({clip, w});
      }
    }
    return items;
  }

  std::vector<Item> epoch_items(uint64_t seed, int64_t epoch, int windows_per_clip) const {
    const std::vector<Item> items = drawn_items(seed, epoch, windows_per_clip);
    std::vector<Item> ordered;
    ordered.reserve(items.size());
    for (const int64_t i : epoch_order(static_cast<int64_t>(items.size()), seed, epoch)) {
      ordered.push_back(items[static_cast<size_t>(i)]);
    }
    return ordered;
  }

  void begin(std::vector<Item> new_order, int64_t batch_size, int64_t first_batch) {
    stop_prefetch();
    order = std::move(new_order);
    batch = std::max<int64_t>(batch_size, 1);
    consumed = std::min(first_batch * batch, static_cast<int64_t>(order.size()));
    taken = 0;
    if (!resident) {
      start_prefetch();
    }
  }

  // ---- one batch

  void fill_refs(Slot& slot, int64_t first, int64_t count) const {
    slot.refs.clear();
    slot.start.clear();
    slot.v.clear();
    for (int64_t i = first; i < first + count; ++i) {
      const Item& item = order[static_cast<size_t>(i)];
      const auto c = static_cast<size_t>(item.clip);
      const int64_t frame = item.window * window.window_hop_frames;
      slot.refs.push_back({selection.clips[c].first, selection.clips[c].second, clips[c].first_frame + frame});
      slot.start.push_back(resident ? clips[c].resident_frame + frame : (i - first) * window.window_frames);
      slot.v.insert(slot.v.end(), clips[c].v.begin(), clips[c].v.end());
    }
  }

  void copy_frames(Slot& slot) const {
    const int64_t size = static_cast<int64_t>(window.window_frames) * bands;
    slot.frames.resize(slot.refs.size() * static_cast<size_t>(size));
    const auto windows = static_cast<int64_t>(slot.refs.size());
    const Range mine = share ? share(windows) : Range{0, windows};
    for (int64_t i = mine.first; i < mine.first + mine.count; ++i) {
      const WindowRef& ref = slot.refs[static_cast<size_t>(i)];
      selection.shards[static_cast<size_t>(ref.shard)]->read_frames(ref.frame, window.window_frames,
                                                                    slot.frames.data() + i * size);
    }
  }

  int64_t count_at(int64_t first) const { return std::min(batch, static_cast<int64_t>(order.size()) - first); }

  WindowBatch view(const Slot& slot) const {
    return {resident ? resident_frames : std::span<const float>(slot.frames), slot.start, slot.v};
  }

  // ---- the prefetch thread: fills slots[k % 2] for batch k while the caller works on the one before

  void start_prefetch() {
    quit = false;
    filled = 0;
    error = nullptr;
    thread = std::thread([this, first = consumed] { prefetch(first); });
  }

  void prefetch(int64_t first) {
    try {
      for (int64_t k = 0; first < static_cast<int64_t>(order.size()); ++k, first += batch) {
        {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return quit || k < taken + 1; });
          if (quit) {
            return;
          }
        }
        Slot& slot = slots[static_cast<size_t>(k % 2)];
        fill_refs(slot, first, count_at(first));
        copy_frames(slot);
        const std::lock_guard lock(mutex);
        filled = k + 1;
        changed.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      changed.notify_all();
    }
  }

  void stop_prefetch() {
    if (!thread.joinable()) {
      return;
    }
    {
      const std::lock_guard lock(mutex);
      quit = true;
    }
    changed.notify_all();
    thread.join();
  }

  const Slot* next_streamed() {
    std::unique_lock lock(mutex);
    const int64_t k = taken;
    changed.wait(lock, [&] { return error || filled > k; });
    if (filled <= k) {
      std::rethrow_exception(error);
    }
    ++taken;
    changed.notify_all();
    return &slots[static_cast<size_t>(k % 2)];
  }

  const Slot* next() {
    const int64_t count = count_at(consumed);
    if (count <= 0) {
      return nullptr;
    }
    consumed += count;
    if (!resident) {
      return next_streamed();
    }
    fill_refs(slots[0], consumed - count, count);
    return slots.data();
  }

  ClipSelection selection;
  io::WindowSettings window;
  int64_t bands = 0;
  std::vector<ClipWindows> clips;
  int64_t total_windows = 0;
  bool resident = true;
  std::vector<float> own_frames;
  std::span<const float> resident_frames;  // own_frames, or those held for others too

  Share share;
  std::vector<Item> order;
  int64_t batch = 1, consumed = 0;
  std::array<Slot, 2> slots;
  const Slot* current = nullptr;

  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  bool quit = false;
  int64_t taken = 0, filled = 0;  // batches handed out; batches ready
  std::exception_ptr error;
};

Loader::Loader(ClipSelection selection, const io::WindowSettings& window, const std::vector<int>& parameters,
               int64_t resident_bytes, const HeldFrames* held, const std::vector<std::vector<double>>& codes,
               const std::vector<double>& more)
    : state_(std::make_unique<State>(std::move(selection), window, Columns{parameters, codes, more}, resident_bytes,
                                     held)) {}

Loader::~Loader() = default;

bool Loader::resident() const {
  return state_->resident;
}
int64_t Loader::clips() const {
  return static_cast<int64_t>(state_->clips.size());
}
int64_t Loader::windows() const {
  return state_->total_windows;
}

int64_t Loader::windows_per_epoch(int windows_per_clip) const {
  int64_t total = 0;
  for (const State::ClipWindows& clip : state_->clips) {
    total += windows_per_clip > 0 ? std::min<int64_t>(windows_per_clip, clip.windows) : clip.windows;
  }
  return total;
}

void Loader::read_only(Share share) {
  state_->stop_prefetch();
  state_->share = std::move(share);
}

void Loader::start_epoch(uint64_t seed, int64_t epoch, int64_t batch, int windows_per_clip, int64_t first_batch) {
  state_->begin(state_->epoch_items(seed, epoch, windows_per_clip), batch, first_batch);
}

void Loader::start_in_order(int64_t batch) {
  state_->begin(state_->drawn_items(0, 0, 0), batch, 0);
}

WindowBatch Loader::next() {
  state_->current = state_->next();
  return state_->current != nullptr ? state_->view(*state_->current) : WindowBatch{};
}

std::span<const WindowRef> Loader::refs() const {
  if (state_->current == nullptr) {
    return {};
  }
  return state_->current->refs;
}

void Loader::visit_frames(const std::function<void(std::span<const float>)>& sink) const {
  const State& s = *state_;
  std::vector<float> frames;
  for (size_t i = 0; i < s.clips.size(); ++i) {
    const auto size = static_cast<size_t>(s.clips[i].frames * s.bands);
    if (s.resident) {
      sink(s.resident_frames.subspan(static_cast<size_t>(s.clips[i].resident_frame * s.bands), size));
      continue;
    }
    frames.resize(size);
    s.shard_of(i).read_frames(s.clips[i].first_frame, s.clips[i].frames, frames.data());
    sink(frames);
  }
}

std::span<const float> Loader::resident_frames() const {
  return state_->resident_frames;
}

WindowTable Loader::window_table() const {
  WindowTable table;
  for (const State::Item& item : state_->drawn_items(0, 0, 0)) {
    const State::ClipWindows& clip = state_->clips[static_cast<size_t>(item.clip)];
    table.start.push_back(clip.resident_frame + item.window * state_->window.window_hop_frames);
    table.v.insert(table.v.end(), clip.v.begin(), clip.v.end());
  }
  return table;
}

std::vector<int64_t> Loader::epoch_windows(uint64_t seed, int64_t epoch, int windows_per_clip) const {
  std::vector<int64_t> first;  // row of each clip's first window
  int64_t rows = 0;
  for (const State::ClipWindows& clip : state_->clips) {
    first.push_back(rows);
    rows += clip.windows;
  }
  std::vector<int64_t> windows;
  for (const State::Item& item : state_->epoch_items(seed, epoch, windows_per_clip)) {
    windows.push_back(first[static_cast<size_t>(item.clip)] + item.window);
  }
  return windows;
}

std::vector<int64_t> epoch_order(int64_t n, uint64_t seed, int64_t epoch) {
  return random_order(n, seed, epoch_order_stream(epoch));
}

uint64_t epoch_order_stream(int64_t epoch) {
  return epoch_stream(order_stream, epoch);
}

}  // namespace evenflow::train
