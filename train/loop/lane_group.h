// Trainings side by side on one GPU: each runs on a thread of the host, and their steps are made together
// (packed_stepper.h) once all of them have come to theirs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "train/loop/lane.h"
#include "train/loop/packed_stepper.h"

namespace evenflow::train {

class LaneGroup {
 public:
  /// Errors as PackedStepper's.
  LaneGroup(const PackParts& parts, kernels::Device device, int64_t lanes, const HeldFrames& frames);
  ~LaneGroup();
  LaneGroup(const LaneGroup&) = delete;
  LaneGroup& operator=(const LaneGroup&) = delete;

  int64_t lanes() const;
  /// For one training, in a thread of its own; the lane's next one only once it is gone. The others make no step before
  /// this one has come to its first.
  std::unique_ptr<Lane> lane(int64_t number);

 private:
  class Member;
  class MemberStepper;
  struct Meeting;
  std::unique_ptr<Meeting> meeting_;
};

}  // namespace evenflow::train
