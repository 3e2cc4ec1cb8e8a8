#include "train/loop/packed_stepper.h"

#include <algorithm>
#include <utility>

#include "flow/factory.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/random_order.h"

namespace evenflow::train {
namespace {

template <class T>
int64_t buffer_bytes(const kernels::Buffer<T>& buffer) {
  return buffer.size() * static_cast<int64_t>(sizeof(T));
}

std::shared_ptr<const kernels::Buffer<float>> on_device(kernels::Stream& stream, std::span<const float> frames) {
  const kernels::MemoryScope beside_lanes;
  auto buffer = std::make_shared<kernels::Buffer<float>>(static_cast<int64_t>(frames.size()), stream.device());
  kernels::upload(stream, frames, buffer->view());
  return buffer;
}

}  // namespace

std::string why_not_packed(const PackParts& parts, kernels::Device device) {
  if (device.type == kernels::DeviceType::cpu) {
    return "one launch serves many models on a GPU only; set train.device to cuda";
  }
  if (!parts.loader.resident()) {
    return "the training's frames are streamed, which serves one model at a time; raise train.resident_mib until they "
           "fit";
  }
  return flow::why_not_lanes(parts.config, device);
}

PackedStepper::PackedStepper(const PackParts& parts, kernels::Device device, int64_t lanes)
    : device_(device),
      stream_(device),
      memory_(device, lanes, measure(parts)),
      lanes_(static_cast<size_t>(lanes)),
      outcomes_(static_cast<size_t>(lanes)) {
  const kernels::LanesServed all(stream_, memory_.serve(0, lanes));
  stream_.reserve_scratch(bytes_.scratch_bytes);
  bytes_.shared_bytes += kernels::lane_counter_bytes(lanes);
}

PackedStepper::~PackedStepper() = default;

// Builds a training as its lane will be built, and makes steps that change nothing, for the operations' scratch memory.
kernels::LaneLayout PackedStepper::measure(const PackParts& parts) {
  const std::string reason = why_not_packed(parts, device_);
  kernels::check(reason.empty(), "PackedStepper", "trainings that can be packed: " + reason);
  held_.push_back({parts.loader.resident_frames(), on_device(stream_, parts.loader.resident_frames())});
  const int64_t windows = std::max(parts.windows, parts.loader.windows());
  const int64_t epoch_windows =
      std::max(parts.epoch_windows, parts.loader.windows_per_epoch(parts.config.train.windows_per_clip));
  order_workspace_ =
      kernels::Buffer<unsigned char>(kernels::random_order_workspace_bytes(device_, epoch_windows), device_);
  shared_ = {held_[0].device->view(), order_workspace_.view(), windows, epoch_windows};

  kernels::LaneLayout layout;
  auto heard = std::make_unique<kernels::MemoryScope>(device_, layout);
  const io::TrainSettings& settings = parts.config.train;
  const auto model = flow::make_model(parts.config, parts.condition, settings.seed, device_);
  const auto engine = make_engine(*model, parts.normaliser, {.batch = settings.batch, .training = true});
  Optimizer optimizer(model->parameters());
  Guard guard(optimizer);
  BatchStepper stepper({.settings = settings,
                        .model = *model,
                        .engine = *engine,
                        .loader = parts.loader,
                        .optimizer = optimizer,
                        .guard = guard,
                        .learning_rate = [](int64_t) { return 0.0; },
                        .augment = parts.augment},
                       shared_);
  heard.reset();

  stepper.pause();
  kernels::Stream& stream = dynamic_cast<BatchEngine&>(*engine).stream();
  for (const int64_t step : {int64_t{0}, stepper.steps() - 1}) {
    stepper.queue_operations(stream, 0, stepper.windows_of(step));
  }
  stream.synchronise();
  bytes_ = {.lane_bytes = layout.bytes(),
            .scratch_bytes = stream.scratch_bytes(),
            .shared_bytes = buffer_bytes(*held_[0].device) + buffer_bytes(order_workspace_)};
  return layout;
}

std::unique_ptr<kernels::MemoryScope> PackedStepper::scope(int64_t lane) {
  kernels::check(!present(lane), "PackedStepper::scope", "an absent lane");
  memory_.clear(lane);
  return std::make_unique<kernels::MemoryScope>(memory_, lane);
}

void PackedStepper::hold(std::span<const float> frames) {
  const auto same = [&](const Frames& held) { return held.host.data() == frames.data(); };
  if (!frames.empty() && std::none_of(held_.begin(), held_.end(), same)) {
    held_.push_back({frames, on_device(stream_, frames)});
    bytes_.shared_bytes += buffer_bytes(*held_.back().device);
  }
}

void PackedStepper::put(int64_t lane, const StepParts& parts) {
  kernels::check(!present(lane), "PackedStepper::put", "an absent lane");
  kernels::check(parts.loader.resident_frames().data() == held_[0].host.data() &&
                     parts.loader.windows() <= shared_.windows &&
                     parts.loader.windows_per_epoch(parts.settings.windows_per_clip) <= shared_.epoch_windows,
                 "PackedStepper::put", "windows of the pack's frames, no more than there is room for");
  auto& engine = dynamic_cast<BatchEngine&>(parts.engine);
  for (const Frames& frames : held_) {
    engine.hold(frames.host, frames.device);
  }
  const kernels::MemoryScope behind_its_model(memory_, lane);
  auto stepper = std::make_unique<BatchStepper>(parts, shared_);
  stepper->pause();
  lanes_[static_cast<size_t>(lane)] = std::move(stepper);
}

void PackedStepper::remove(int64_t lane) {
  present_stepper(lane).pause();
  lanes_[static_cast<size_t>(lane)].reset();
}

BatchStepper& PackedStepper::present_stepper(int64_t lane) {
  kernels::check(present(lane), "PackedStepper", "a present lane");
  return *lanes_[static_cast<size_t>(lane)];
}

void PackedStepper::start_epoch(int64_t lane, int64_t epoch, int64_t first_step) {
  present_stepper(lane).start_epoch(epoch, first_step);
}

void PackedStepper::settle(int64_t lane) {
  present_stepper(lane).settle();
}

// The lanes whose next step is of so many windows, ready to make it; the others change nothing meanwhile.
std::vector<int64_t> PackedStepper::lanes_to_step(int64_t windows) {
  std::vector<int64_t> out;
  for (int64_t lane = 0; lane < lanes(); ++lane) {
    BatchStepper* const stepper = lanes_[static_cast<size_t>(lane)].get();
    if (stepper == nullptr) {
      continue;
    }
    if (stepper->alike_ahead() > 0 && stepper->windows_of(stepper->position()) == windows) {
      stepper->begin();
      out.push_back(lane);
    } else {
      stepper->pause();
    }
  }
  return out;
}

const std::vector<std::span<const StepOutcome>>& PackedStepper::run(int64_t count) {
  std::fill(outcomes_.begin(), outcomes_.end(), std::span<const StepOutcome>());
  const BatchStepper* last = nullptr;  // furthest behind
  const auto progress = [](const BatchStepper& stepper) { return std::pair(stepper.epoch(), stepper.position()); };
  for (const auto& stepper : lanes_) {
    if (stepper != nullptr && stepper->alike_ahead() > 0 && (last == nullptr || progress(*stepper) < progress(*last))) {
      last = stepper.get();
    }
  }
  if (last == nullptr) {
    return outcomes_;
  }
  const int64_t windows = last->windows_of(last->position());
  const std::vector<int64_t> lanes = lanes_to_step(windows);
  int64_t steps = std::min(count, BatchStepper::most_queued);
  for (const int64_t lane : lanes) {
    steps = std::min(steps, stepper(lane)->alike_ahead());
  }
  queue(windows, steps);
  for (const int64_t lane : lanes) {
    outcomes_[static_cast<size_t>(lane)] = present_stepper(lane).collect(steps);
  }
  return outcomes_;
}

// From the first present lane to the last: an absent one between them is carried along, and changes nothing of its own.
void PackedStepper::queue(int64_t windows, int64_t steps) {
  const auto is_present = [](const auto& stepper) { return stepper != nullptr; };
  const int64_t first = std::find_if(lanes_.begin(), lanes_.end(), is_present) - lanes_.begin();
  const int64_t last = lanes_.rend() - std::find_if(lanes_.rbegin(), lanes_.rend(), is_present);
  const auto operations = [&, first] { present_stepper(first).queue_operations(stream_, 0, windows); };
  const kernels::LanesServed served(stream_, memory_.serve(first, last - first));
  Recorded& recorded = recorded_for(first, last - first, windows);
  for (int64_t step = 0; step < steps; ++step) {
    if (!recorded.warm) {
      operations();
      recorded.warm = true;
      continue;
    }
    if (recorded.graph.empty()) {
      recorded.graph = kernels::Graph(stream_, operations);
    }
    recorded.graph.launch(stream_);
  }
  stream_.synchronise();
}

// Steps of other lanes than these are not recorded for long: a pack's lanes change once in a while.
PackedStepper::Recorded& PackedStepper::recorded_for(int64_t first, int64_t lanes, int64_t windows) {
  std::erase_if(recorded_, [&](const Recorded& r) { return r.first != first || r.lanes != lanes; });
  const auto found =
      std::find_if(recorded_.begin(), recorded_.end(), [&](const Recorded& r) { return r.windows == windows; });
  if (found != recorded_.end()) {
    return *found;
  }
  return recorded_.emplace_back(
      Recorded{.first = first, .lanes = lanes, .windows = windows, .warm = false, .graph = {}});
}

}  // namespace evenflow::train
