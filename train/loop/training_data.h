// What a training reads: its shards, the clips of each side, their loaders, and what is fitted to them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "train/loop/augmentation.h"
#include "train/loop/loader.h"
#include "train/loop/selection.h"

namespace evenflow::train {

struct TrainingData {
  std::vector<std::unique_ptr<io::Shard>> owned;
  std::vector<const io::Shard*> shards;
  HeldOut clips;
  std::vector<std::string> notes;         ///< what was left out or put together: a sentence each
  io::ConditionData condition;            ///< names, k and v0 from the training clips; no names: unconstrained
  io::AugmentSettings augmentation;       ///< the configuration's, what is automatic in numbers
  std::optional<SpeedMoves> speed_moves;  ///< where windows are moved by spectrum
  std::optional<AugmentPlan> augment;     ///< of the windows of `train`; its extra value is the last of theirs
  std::unique_ptr<Loader> train, validation;
  std::string silence;  ///< a sentence on clips of either side that say nothing; empty: there are none
};

struct DataOptions {
  const HeldFrames* held = nullptr;  ///< frames that are in memory already
  bool listen = true;                ///< whether clips say anything is looked at, which takes all their frames
  bool learn = true;  ///< whether moves (speed_moves.h) are learnt, which takes those of the training side
};

/// What zd is to carry where these clips are trained on; `notes` as open_training_data's. io::UsageError,
/// io::DataError: a parameter that is not there or cannot be learnt.
io::ConditionData fit_condition_to(const ClipSelection& clips, const io::Config& config,
                                   std::vector<std::string>& notes);

/// Opens the shards and chooses the clips. Where condition.parameters is empty, zd carries the parameters that vary
/// among the training clips and that the model can carry together; `notes` name the others. io::UsageError or
/// io::DataError: no shard, shards that do not fit each other or the configuration, no clips, a clip too short, clips
/// that all say nothing (frontend/silence.h), a parameter that is not there or cannot be learnt, a model of a shape
/// that cannot be, what plan_augmentation refuses.
TrainingData open_training_data(const io::Config& config, const std::vector<std::filesystem::path>& shards,
                                const DataOptions& options = {});

/// The machines of the training clips on both sides, distinct and sorted; clips of unknown machine do not count.
std::vector<std::string> machines_of(const TrainingData& data);

/// One identity for all shards: FNV-1a 64 over their hashes, or the only one's own.
std::string data_hash(std::span<const io::Shard* const> shards);

/// The normaliser of the training frames. A frame with a value that is not finite is left out, and `warn` told once a
/// clip.
io::NormaliserData fit_normaliser_to(const TrainingData& data, io::Normalisation mode,
                                     const std::function<void(const std::string&)>& warn);

}  // namespace evenflow::train
