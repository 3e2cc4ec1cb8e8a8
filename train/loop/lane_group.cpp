#include "train/loop/lane_group.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace evenflow::train {

/// Where the trainings' threads meet. Whoever comes last makes the steps, for all that wait. A training is waited for
/// from its beginning to its end: a launch for all lanes between the first and the last would disturb one that is being
/// made, or scores its clips.
struct LaneGroup::Meeting {
  struct Place {
    bool taken = false;
    std::optional<int64_t> wanted;  // steps; none: on its way
    std::span<const StepOutcome> outcomes;
  };

  Meeting(const PackParts& parts, kernels::Device device, int64_t lanes, const HeldFrames& frames_in)
      : frames(frames_in), steps(parts, device, lanes), places(static_cast<size_t>(lanes)) {}

  Place& place(int64_t lane) { return places[static_cast<size_t>(lane)]; }

  void take(int64_t lane) {
    const std::lock_guard lock(mutex);
    place(lane).taken = true;
  }
  void leave(int64_t lane) {
    const std::lock_guard lock(mutex);
    place(lane) = {};
    step_if_all_wait();
  }

  std::span<const StepOutcome> run(int64_t lane, int64_t count) {
    std::unique_lock lock(mutex);
    Place& mine = place(lane);
    mine.wanted = count;
    step_if_all_wait();
    changed.wait(lock, [&] { return !mine.wanted || error; });
    if (error) {
      std::rethrow_exception(error);
    }
    return std::exchange(mine.outcomes, {});
  }

  void step_if_all_wait() {
    const auto on_its_way = [](const Place& p) { return p.taken && !p.wanted; };
    const auto waits = [](const Place& p) { return p.wanted.has_value(); };
    if (error || std::any_of(places.begin(), places.end(), on_its_way) ||
        std::none_of(places.begin(), places.end(), waits)) {
      return;
    }
    try {
      step();
    } catch (...) {
      error = std::current_exception();
    }
    changed.notify_all();
  }

  void step() {
    int64_t count = std::numeric_limits<int64_t>::max();
    for (const Place& p : places) {
      count = std::min(count, p.wanted.value_or(count));
    }
    const auto& outcomes = steps.run(count);
    for (size_t lane = 0; lane < places.size(); ++lane) {
      if (!outcomes[lane].empty()) {
        places[lane].outcomes = outcomes[lane];
        places[lane].wanted.reset();
      }
    }
  }

  const HeldFrames& frames;
  std::mutex mutex;  // guards all below
  std::condition_variable changed;
  PackedStepper steps;
  std::vector<Place> places;
  std::exception_ptr error;
};

class LaneGroup::MemberStepper final : public Stepper {
 public:
  MemberStepper(Meeting& meeting, int64_t lane, const StepParts& parts) : meeting_(meeting), lane_(lane) {
    const std::lock_guard lock(meeting_.mutex);
    meeting_.steps.put(lane_, parts);
  }
  ~MemberStepper() override {
    const std::lock_guard lock(meeting_.mutex);
    meeting_.steps.remove(lane_);
  }
  MemberStepper(const MemberStepper&) = delete;
  MemberStepper& operator=(const MemberStepper&) = delete;

  void start_epoch(int64_t epoch, int64_t first_step) override {
    const std::lock_guard lock(meeting_.mutex);
    meeting_.steps.start_epoch(lane_, epoch, first_step);
  }
  std::span<const StepOutcome> run(int64_t count) override { return meeting_.run(lane_, count); }
  void settle() override {
    const std::lock_guard lock(meeting_.mutex);
    meeting_.steps.settle(lane_);
  }

 private:
  Meeting& meeting_;
  int64_t lane_;
};

class LaneGroup::Member final : public Lane {
 public:
  Member(Meeting& meeting, int64_t lane) : meeting_(meeting), lane_(lane) { meeting_.take(lane_); }
  ~Member() override { meeting_.leave(lane_); }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  const HeldFrames* frames() const override { return &meeting_.frames; }
  std::unique_ptr<kernels::MemoryScope> memory() override {
    const std::lock_guard lock(meeting_.mutex);
    return meeting_.steps.scope(lane_);
  }
  std::unique_ptr<Stepper> stepper(const StepParts& parts) override {
    return std::make_unique<MemberStepper>(meeting_, lane_, parts);
  }

 private:
  Meeting& meeting_;
  int64_t lane_;
};

LaneGroup::LaneGroup(const PackParts& parts, kernels::Device device, int64_t lanes, const HeldFrames& frames)
    : meeting_(std::make_unique<Meeting>(parts, device, lanes, frames)) {}
LaneGroup::~LaneGroup() = default;

std::unique_ptr<Lane> LaneGroup::lane(int64_t number) {
  return std::make_unique<Member>(*meeting_, number);
}

int64_t LaneGroup::lanes() const {
  return meeting_->steps.lanes();
}

}  // namespace evenflow::train
