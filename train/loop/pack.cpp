#include "train/loop/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "kernels/check.h"
#include "train/loop/held_frames.h"
#include "train/loop/lane.h"
#include "train/loop/lane_group.h"
#include "train/loop/selection.h"
#include "train/loop/training_data.h"

namespace evenflow::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t most_lanes = 64;

const std::string not_side_by_side = "not side by side with others: ";
const std::string not_held = "the frames of all clips do not fit into train.resident_mib; raise it until they do";

/// Threads dealt evenly to the places in use.
class ThreadShares {
 public:
  ThreadShares(int threads, size_t places) : threads_(threads), used_(places, false) {}

  void use(size_t place, bool used) {
    const std::lock_guard lock(mutex_);
    used_[place] = used;
  }
  int of(size_t place) {
    const std::lock_guard lock(mutex_);
    const auto at = used_.begin() + static_cast<std::ptrdiff_t>(place);
    const auto before = static_cast<int>(std::count(used_.begin(), at, true));
    const auto places = before + static_cast<int>(std::count(at, used_.end(), true));
    return std::max(1, threads_ / places + (before < threads_ % places ? 1 : 0));
  }

 private:
  std::mutex mutex_;
  int threads_;
  std::vector<bool> used_;
};

/// On the CPU, with a share of the threads.
class CpuLane final : public Lane {
 public:
  CpuLane(ThreadShares& shares, size_t place, const HeldFrames* frames)
      : shares_(shares), place_(place), frames_(frames) {
    shares_.use(place_, true);
  }
  ~CpuLane() override { shares_.use(place_, false); }
  const HeldFrames* frames() const override { return frames_; }
  int threads() override { return shares_.of(place_); }

 private:
  ThreadShares& shares_;
  size_t place_;
  const HeldFrames* frames_;
};

/// The frames of all trainings' clips, if they fit into the memory that each of them may take for its own. What is
/// wrong with shards or settings is left to be said by the training itself.
std::unique_ptr<HeldFrames> hold_frames(const std::vector<TrainOptions>& trainings) {
  std::map<fs::path, std::unique_ptr<io::Shard>> shards;
  std::map<fs::path, std::set<int32_t>> clips;
  int64_t most_bytes = 0, bytes = 0;
  for (const TrainOptions& training : trainings) {
    most_bytes = std::max<int64_t>(most_bytes, training.config.train.resident_mib << 20);
    try {
      std::vector<const io::Shard*> own;
      for (const fs::path& path : training.shards) {
        auto& shard = shards[path];
        if (!shard) {
          shard = std::make_unique<io::Shard>(path);
        }
        own.push_back(shard.get());
      }
      for (const auto& [shard, clip] : clips_to_train_on(own, training.config.train).clips) {
        clips[training.shards[static_cast<size_t>(shard)]].insert(clip);
      }
    } catch (const std::exception&) {  // the others share theirs
    }
  }
  std::vector<HeldFrames::Clips> all;
  for (const auto& [path, of_shard] : clips) {
    const io::Shard& shard = *shards.at(path);
    all.push_back({shard, {of_shard.begin(), of_shard.end()}});
    if (shard.mel_bands() != all.front().shard.mel_bands()) {
      return nullptr;
    }
    for (const int32_t clip : of_shard) {
      const auto i = static_cast<size_t>(clip);
      bytes += (shard.offsets()[i + 1] - shard.offsets()[i]) * shard.mel_bands() * static_cast<int64_t>(sizeof(float));
    }
  }
  return bytes <= most_bytes ? std::make_unique<HeldFrames>(all) : nullptr;
}

/// Alone on the device.
class LoneLane final : public Lane {
 public:
  LoneLane(const HeldFrames* frames, std::string note) : frames_(frames), note_(std::move(note)) {}
  const HeldFrames* frames() const override { return frames_; }
  std::string note() const override { return note_; }

 private:
  const HeldFrames* frames_;
  std::string note_;
};

/// What trainings must have in common to share launches, as a text; why this one cannot; how many windows it has.
struct Kind {
  std::string common, why_not;
  int64_t windows, epoch_windows;
};
/// Trainings of one kind, and the most windows that one of them has.
struct Alike {
  std::vector<size_t> trainings;
  int64_t windows = 0, epoch_windows = 0;
};

/// How many parts each parameter's run of zd has.
std::string parts_text(const io::ConditionData& condition) {
  std::string text;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    text += fmt::format("{} ", io::categories_of(condition.categories, p).size());
  }
  return text;
}

/// What room the changes of windows take.
std::string changes_text(const std::optional<AugmentPlan>& augment) {
  if (!augment) {
    return "not changed";
  }
  const MoveTable moves = augment->moves.value_or(MoveTable{});
  return fmt::format("changed by {} values and {} moves from {} points, with {} errors", augment->more_values(),
                     moves.moves.size(), moves.points.size(), moves.error.size());
}

Kind kind_of(const TrainOptions& training, const HeldFrames* frames, kernels::Device device) {
  const TrainingData data =
      open_training_data(training.config, training.shards, {.held = frames, .listen = false, .learn = false});
  const io::Config& config = training.config;
  io::Config shape;
  shape.frontend = config.frontend;
  shape.window = config.window;
  shape.model = config.model;
  shape.train.batch = config.train.batch;
  shape.train.precision = config.train.precision;
  shape.train.kernels = config.train.kernels;
  const io::NormaliserData any{std::vector<float>(static_cast<size_t>(data.shards[0]->mel_bands()), 0.0F),
                               std::vector<float>(static_cast<size_t>(data.shards[0]->mel_bands()), 1.0F)};
  return {.common = fmt::format("{}{} parameters of {}, {}", io::to_toml(shape), data.condition.names.size(),
                                parts_text(data.condition), changes_text(data.augment)),
          .why_not = why_not_packed({.config = config,
                                     .condition = data.condition,
                                     .normaliser = any,
                                     .loader = *data.train,
                                     .augment = data.augment},
                                    device),
          .windows = data.train->windows(),
          .epoch_windows = data.train->windows_per_epoch(config.train.windows_per_clip)};
}

/// Room for so many trainings like this one or, where the GPU has less, for as many as fit.
std::unique_ptr<LaneGroup> make_group(const TrainOptions& like, const Alike& alike, const HeldFrames& frames,
                                      int64_t lanes) {
  const kernels::Device device = kernels::parse_device(like.config.train.device);
  const TrainingData data =
      open_training_data(like.config, like.shards, {.held = &frames, .listen = false, .learn = false});
  const io::NormaliserData normaliser = fit_normaliser_to(data, like.config.window.normalise, [](const auto&) {});
  for (;; lanes = (lanes + 1) / 2) {
    try {
      return std::make_unique<LaneGroup>(PackParts{.config = like.config,
                                                   .condition = data.condition,
                                                   .normaliser = normaliser,
                                                   .loader = *data.train,
                                                   .augment = data.augment,
                                                   .windows = alike.windows,
                                                   .epoch_windows = alike.epoch_windows},
                                         device, lanes, frames);
    } catch (const kernels::DeviceError&) {
      if (lanes == 1) {
        throw;
      }
    }
  }
}

class Pack {
 public:
  explicit Pack(const PackOptions& options)
      : options_(options), results_(options.trainings.size()), frames_(hold_frames(options.trainings)) {}

  std::vector<PackResult> run() {
    std::vector<size_t> on_cpu;
    std::map<std::string, Alike> alike;  // by device and kind
    std::vector<std::pair<size_t, std::string>> alone;
    for (size_t i = 0; i < options_.trainings.size(); ++i) {
      sort_in(i, on_cpu, alike, alone);
    }
    train_on_cpu(on_cpu);
    for (const auto& [kind, trainings] : alike) {
      train_on_gpu(trainings);
    }
    for (const auto& [training, why] : alone) {
      serve({training}, 1, [&, why = why](size_t) { return std::make_unique<LoneLane>(frames_.get(), why); });
    }
    return std::move(results_);
  }

 private:
  using MakeLane = std::function<std::unique_ptr<Lane>(size_t place)>;

  // Whatever cannot be told of a training now, it will say itself.
  void sort_in(size_t index, std::vector<size_t>& on_cpu, std::map<std::string, Alike>& alike,
               std::vector<std::pair<size_t, std::string>>& alone) {
    const TrainOptions& training = options_.trainings[index];
    try {
      const kernels::Device device = kernels::parse_device(training.config.train.device);
      if (device.type == kernels::DeviceType::cpu) {
        on_cpu.push_back(index);
        return;
      }
      const Kind kind = kind_of(training, frames_.get(), device);
      if (kind.why_not.empty() && frames_) {
        Alike& of_kind = alike[kernels::to_string(device) + " " + kind.common];
        of_kind.trainings.push_back(index);
        of_kind.windows = std::max(of_kind.windows, kind.windows);
        of_kind.epoch_windows = std::max(of_kind.epoch_windows, kind.epoch_windows);
      } else {
        alone.emplace_back(index, not_side_by_side + (kind.why_not.empty() ? not_held : kind.why_not));
      }
    } catch (const std::exception&) {
      alone.emplace_back(index, "");
    }
  }

  void train_on_cpu(const std::vector<size_t>& trainings) {
    if (trainings.empty()) {
      return;
    }
    const int threads =
        options_.threads > 0 ? options_.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    const auto served = static_cast<size_t>(options_.at_once > 0 ? options_.at_once : threads);
    const size_t places = std::clamp<size_t>(served, 1, trainings.size());
    ThreadShares shares(threads, places);
    serve(trainings, places, [&](size_t place) { return std::make_unique<CpuLane>(shares, place, frames_.get()); });
  }

  void train_on_gpu(const Alike& alike) {
    const int64_t served = options_.at_once > 0 ? std::min(options_.at_once, most_lanes) : most_lanes;
    std::unique_ptr<LaneGroup> group;
    try {
      group = make_group(options_.trainings[alike.trainings.front()], alike, *frames_,
                         std::min(served, static_cast<int64_t>(alike.trainings.size())));
    } catch (const std::exception& error) {
      const std::string note = not_side_by_side + error.what();
      serve(alike.trainings, 1, [&](size_t) { return std::make_unique<LoneLane>(frames_.get(), note); });
      return;
    }
    serve(alike.trainings, static_cast<size_t>(group->lanes()),
          [&](size_t place) { return group->lane(static_cast<int64_t>(place)); });
  }

  /// So many at once, one after the other in each place.
  void serve(const std::vector<size_t>& trainings, size_t places, const MakeLane& make_lane) {
    std::mutex mutex;
    size_t next = 0;
    std::vector<std::unique_ptr<Lane>> lanes;  // all before the first training begins
    for (size_t place = 0; place < places; ++place) {
      lanes.push_back(make_lane(place));
    }
    const auto work = [&](size_t place) {
      for (std::unique_ptr<Lane>& lane = lanes[place];; lane.reset()) {
        size_t index = 0;
        {
          const std::lock_guard lock(mutex);
          if (next == trainings.size()) {
            break;
          }
          index = trainings[next++];
        }
        if (!lane) {
          lane = make_lane(place);
        }
        train_one(index, *lane);
      }
      lanes[place].reset();
    };
    std::vector<std::thread> others;
    for (size_t place = 1; place < places; ++place) {
      others.emplace_back(work, place);
    }
    work(0);
    for (std::thread& other : others) {
      other.join();
    }
  }

  void train_one(size_t index, Lane& lane) {
    TrainOptions training = options_.trainings[index];
    PackResult& result = results_[index];
    if (training.stop != nullptr && training.stop->load()) {
      result.result.interrupted = true;
      return;
    }
    one_at_a_time(training.progress);
    one_at_a_time(training.log);
    try {
      training.lane = &lane;
      result.result = train(training);
    } catch (...) {
      result.error = std::current_exception();
    }
    const std::lock_guard lock(calls_);
    if (options_.ended) {
      options_.ended(index);
    }
  }

  template <class Argument>
  void one_at_a_time(std::function<void(const Argument&)>& call) {
    if (call) {
      call = [this, inner = call](const Argument& argument) {
        const std::lock_guard lock(calls_);
        inner(argument);
      };
    }
  }

  const PackOptions& options_;
  std::vector<PackResult> results_;
  std::unique_ptr<HeldFrames> frames_;
  std::mutex calls_;
};

}  // namespace

std::vector<PackResult> train_pack(const PackOptions& options) {
  return Pack(options).run();
}

}  // namespace evenflow::train
