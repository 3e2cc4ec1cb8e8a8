#include "train/loop/training_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "flow/factory.h"
#include "flow/latent.h"
#include "frontend/normaliser.h"
#include "frontend/silence.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/text.h"
#include "train/detect/config_match.h"
#include "train/detect/score.h"
#include "train/loop/normal_clips.h"
#include "train/statistics/finite.h"

namespace evenflow::train {
namespace {

/// A value of the shard's parameter `p`, or its name.
std::string shown_value(const io::Shard& shard, size_t p, double value) {
  const std::vector<std::string>& names = io::categories_of(shard.categories(), p);
  return names.empty() ? fmt::format("{:g}", value) : io::value_text(value, names);
}

/// The settings for those of `names` alone that stand at the places `kept`; k and v0 may have one for each name.
io::ConditionSettings settings_of(const io::ConditionSettings& settings, const std::vector<std::string>& names,
                                  const std::vector<size_t>& kept) {
  const auto pick = [&](auto& to, const auto& from) {
    to.clear();
    for (const size_t p : kept) {
      to.push_back(from[p]);
    }
  };
  io::ConditionSettings out = settings;
  pick(out.parameters, names);
  if (settings.k.size() == names.size()) {
    pick(out.k, settings.k);
  }
  if (settings.v0.size() == names.size()) {
    pick(out.v0, settings.v0);
  }
  return out;
}

/// The settings with the parameters named that vary in the training clips and that the model can carry together, for
/// which those of the shards stand.
io::ConditionSettings with_learnable(const io::Config& config, const io::Shard& shard,
                                     const std::vector<std::vector<double>>& values, std::vector<std::string>& notes) {
  const std::vector<std::string>& names = shard.parameter_names();
  std::vector<size_t> varying;
  for (size_t p = 0; p < names.size(); ++p) {
    std::set<double> distinct;
    for (const std::vector<double>& row : values) {
      if (!std::isnan(row[p])) {
        distinct.insert(row[p]);
      }
    }
    if (distinct.size() < 2) {
      notes.push_back(fmt::format("{} is left out: {} in every training clip, and what never varies cannot be learnt",
                                  names[p], distinct.empty() ? "unknown" : shown_value(shard, p, *distinct.begin())));
      continue;
    }
    varying.push_back(p);
  }
  io::ConditionSettings settings = settings_of(config.condition, names, varying);
  if (varying.empty()) {
    return settings;
  }
  const flow::CarriedParameters carried =
      flow::carried_parameters(config, flow::fit_condition(settings, names, values, shard.categories()));
  for (const std::string& reason : carried.left_out) {
    notes.push_back(reason);
  }
  return settings_of(settings, settings.parameters, carried.kept);
}

/// io::DataError names a parameter that is declared a category and has numbers.
void require_declared(const io::ConditionSettings& settings, const io::Shard& shard) {
  for (const std::string& name : io::declared_categories(settings.parameters)) {
    const auto found = std::find(shard.parameter_names().begin(), shard.parameter_names().end(), name);
    const auto p = static_cast<size_t>(found - shard.parameter_names().begin());
    if (found != shard.parameter_names().end() && io::categories_of(shard.categories(), p).empty()) {
      throw io::DataError(
          fmt::format("condition.parameters has '{0}:category', but '{1}' has numbers of it; prepare it again with "
                      "--condition.parameters {0}:category",
                      name, shard.path().string()));
    }
  }
}

/// io::DataError names a parameter that all training clips share, and the shards.
void require_learnable(const io::ConditionSettings& settings, const std::vector<const io::Shard*>& shards,
                       const std::vector<std::vector<double>>& values) {
  const io::Shard& shard = *shards.front();
  for (const std::string& name : settings.parameters) {
    const auto found = std::find(shard.parameter_names().begin(), shard.parameter_names().end(), name);
    const auto p = static_cast<size_t>(found - shard.parameter_names().begin());
    if (found == shard.parameter_names().end()) {
      continue;  // fit_condition says so
    }
    std::set<double> distinct;
    for (const std::vector<double>& row : values) {
      if (!std::isnan(row[p])) {
        distinct.insert(row[p]);
      }
    }
    if (distinct.size() < 2) {
      std::vector<std::string> files;
      files.reserve(shards.size());
      for (const io::Shard* one : shards) {
        files.push_back(fmt::format("'{}'", one->path().string()));
      }
      const std::vector<std::string>& names = io::categories_of(shard.categories(), p);
      const std::string value = distinct.empty() ? std::string() : io::value_text(*distinct.begin(), names);
      throw io::DataError(fmt::format(
          "'{}' is {} in every training clip of {}, and what never varies cannot be learnt; record clips at another "
          "value, or leave it out of condition.parameters",
          name,
          distinct.empty() ? "unknown"
          : names.empty()  ? value
                           : fmt::format("'{}'", value),
          io::first_names(files)));
    }
  }
}

}  // namespace

io::ConditionData fit_condition_to(const ClipSelection& clips, const io::Config& config,
                                   std::vector<std::string>& notes) {
  const std::vector<std::string>& names = clips.shards[0]->parameter_names();
  io::ConditionSettings settings = config.condition;
  if (!settings.enabled || (names.empty() && settings.parameters.empty())) {
    return {};
  }
  std::vector<std::vector<double>> values;
  for (const auto& at : clips.clips) {
    values.push_back(clips.clip(at).parameter);
  }
  require_declared(settings, *clips.shards[0]);
  settings.parameters = io::declared_names(settings.parameters);
  if (settings.parameters.empty()) {
    settings = with_learnable(config, *clips.shards[0], values, notes);
  }
  if (settings.parameters.empty()) {
    return {};
  }
  require_learnable(settings, clips.shards, values);
  return flow::fit_condition(settings, names, values, clips.shards[0]->categories());
}

namespace {

/// Of each of the model's names, its codes of the shards' codes.
std::vector<std::vector<double>> codes_of(const io::ConditionData& model, const io::Shard& shard) {
  const std::vector<std::string>& names = shard.parameter_names();
  std::vector<std::vector<double>> codes;
  for (size_t p = 0; p < model.names.size(); ++p) {
    std::vector<double>& of_one = codes.emplace_back();
    const auto column = std::find(names.begin(), names.end(), model.names[p]) - names.begin();
    for (const std::string& name : io::categories_of(shard.categories(), static_cast<size_t>(column))) {
      of_one.push_back(io::code_of(name, io::categories_of(model.categories, p)));
    }
  }
  return codes;
}

int64_t bytes_of(const ClipSelection& selection) {
  int64_t bytes = 0;
  for (const auto& [s, c] : selection.clips) {
    const io::Shard& shard = *selection.shards[static_cast<size_t>(s)];
    const auto i = static_cast<size_t>(c);
    bytes += (shard.offsets()[i + 1] - shard.offsets()[i]) * shard.mel_bands() * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

std::string clip_name(const ClipSelection& side, size_t index) {
  const auto [shard, clip] = side.clips[index];
  return side.shards[static_cast<size_t>(shard)]->clips()[static_cast<size_t>(clip)].path.string();
}

/// Of both sides. io::DataError if there is nothing to learn from them.
std::string check_sound(const TrainingData& data) {
  frontend::TrainingSound sound(data.shards[0]->frontend());
  const auto listen = [&](const ClipSelection& side, const Loader& loader) {
    size_t clip = 0;
    loader.visit_frames([&](std::span<const float> frames) { sound.add(clip_name(side, clip++), frames); });
  };
  listen(data.clips.train, *data.train);
  listen(data.clips.validation, *data.validation);
  sound.require();
  return sound.warning();
}

/// How speeds are moved, and by what.
void find_speed_moves(io::Config& config, TrainingData& data) {
  const bool moves = config.augment.speed > 0 && config.augment.speed_probability != 0;
  if (moves && config.augment.speed_by != io::SpeedChange::warp) {
    data.speed_moves.emplace(data.clips, augmented_speed(config, *data.shards[0]), data.condition.names,
                             config.frontend);
    if (config.augment.speed_by == io::SpeedChange::spectrum) {
      data.speed_moves->require();
    } else if (!data.speed_moves->any()) {
      data.speed_moves.reset();
    }
  }
  config.augment = data.augmentation =
      with_change(config.augment, data.speed_moves ? io::SpeedChange::spectrum : io::SpeedChange::warp);
}

}  // namespace

TrainingData open_training_data(const io::Config& config, const std::vector<std::filesystem::path>& shards,
                                const DataOptions& options) {
  if (shards.empty()) {
    throw io::UsageError("no shard to train on; make one with evenflow prepare");
  }
  TrainingData data;
  for (const std::filesystem::path& path : shards) {
    data.owned.push_back(std::make_unique<io::Shard>(path));
    data.shards.push_back(data.owned.back().get());
  }
  for (const io::Shard* shard : data.shards) {
    require_parameter_names(shard->parameter_names(), shard->path());
  }
  require_frontend(*data.shards[0], config.frontend, "the configuration");
  require_alike(data.shards);
  data.clips =
      hold_out(clips_to_train_on(data.shards, config.train), config.train.validation_fraction, config.train.seed);
  if (!config.train.leave_out.empty()) {
    data.notes.push_back(fmt::format("trained without {}", fmt::join(config.train.leave_out, ", ")));
  }
  data.condition = fit_condition_to(data.clips.train, config, data.notes);
  if (const std::vector<std::string> machines = machines_of(data); machines.size() > 1) {
    data.notes.push_back(fmt::format("one model of {} machines together: {}; --machine NAME trains on one",
                                     machines.size(), fmt::join(machines, ", ")));
  }
  flow::require_model(config, data.condition);
  io::Config in_numbers = config;
  if (config.augment.speed == io::AugmentSettings::automatic &&
      (config.model.kind == io::ModelKind::classifier || !why_not_calibrated(data.clips, data.condition).empty())) {
    in_numbers.augment.speed = 0;
  }
  // By both sides, so that it does not hang on which clips are held out.
  ClipSelection both = data.clips.train;
  both.clips.insert(both.clips.end(), data.clips.validation.clips.begin(), data.clips.validation.clips.end());
  in_numbers.augment = data.augmentation = resolve_augmentation(in_numbers, both, data.condition.names);
  require_calibration(in_numbers, data.clips, data.condition);
  const std::vector<std::vector<double>> codes = codes_of(data.condition, *data.shards[0]);
  const std::vector<int> columns = parameter_columns(*data.shards[0], data.condition.names);
  find_speed_moves(in_numbers, data);
  const auto plan = [&] {
    return plan_augmentation(in_numbers, data.clips.train, data.condition.names,
                             data.speed_moves ? &*data.speed_moves : nullptr);
  };
  data.augment = plan();
  std::vector<int> train_columns = columns;
  if (data.augment && data.augment->extra_column) {
    train_columns.push_back(*data.augment->extra_column);
  }
  const std::vector<double> points =
      data.speed_moves ? data.speed_moves->points_of(data.clips.train) : std::vector<double>{};
  const int64_t budget = config.train.resident_mib << 20;
  const int64_t train_bytes = bytes_of(data.clips.train);
  const int64_t left = train_bytes <= budget ? budget - train_bytes : budget;
  data.train =
      std::make_unique<Loader>(data.clips.train, config.window, train_columns, budget, options.held, codes, points);
  data.validation = std::make_unique<Loader>(data.clips.validation, config.window, columns, left, options.held, codes);
  if (options.listen) {
    data.silence = check_sound(data);
  }
  if (options.learn) {
    if (data.speed_moves) {
      std::vector<BandMoments> moments;
      const int64_t bands = data.shards[0]->mel_bands();
      data.train->visit_frames([&](std::span<const float> frames) { moments.push_back(moments_of(frames, bands)); });
      data.speed_moves->learn(data.clips.train, moments);
      data.augment = plan();
    }
  }
  return data;
}

std::vector<std::string> machines_of(const TrainingData& data) {
  std::set<std::string> machines;
  for (const ClipSelection* side : {&data.clips.train, &data.clips.validation}) {
    for (const auto& at : side->clips) {
      machines.insert(side->clip(at).machine);
    }
  }
  machines.erase("");
  return {machines.begin(), machines.end()};
}

std::string data_hash(std::span<const io::Shard* const> shards) {
  if (shards.size() == 1) {
    return shards[0]->data_hash();
  }
  io::Fnv1a64 hash;
  for (const io::Shard* shard : shards) {
    const std::string own = shard->data_hash();
    hash.add(own.data(), own.size());
  }
  return hash.hex();
}

io::NormaliserData fit_normaliser_to(const TrainingData& data, io::Normalisation mode,
                                     const std::function<void(const std::string&)>& warn) {
  const int bands = data.shards[0]->mel_bands();
  bool first_pass = true;
  return frontend::fit_normaliser(bands, mode, [&](const auto& sink) {
    size_t clip = 0;
    data.train->visit_frames([&](std::span<const float> frames) {
      const size_t index = clip++;
      if (all_finite(frames)) {
        sink(frames);
        return;
      }
      const auto width = static_cast<size_t>(bands);
      size_t bad = 0;
      for (size_t at = 0; at < frames.size(); at += width) {
        const auto frame = frames.subspan(at, width);
        if (all_finite(frame)) {
          sink(frame);
        } else {
          ++bad;
        }
      }
      if (first_pass) {
        warn(fmt::format("warning: clip '{}' has {} frames with values that are not finite; prepare the shard again",
                         clip_name(data.clips.train, index), bad));
      }
    });
    first_pass = false;
  });
}

}  // namespace evenflow::train
