#include "train/detect/score.h"

#include <fmt/format.h>

#include <limits>

#include "flow/factory.h"
#include "io/error.h"
#include "kernels/check.h"
#include "train/detect/config_match.h"
#include "train/detect/detector_state.h"
#include "train/detect/score_clips.h"

namespace evenflow::train {
namespace {

constexpr int64_t scoring_batch = 128;  // windows a GPU carries at once

std::vector<int32_t> kept_clips(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep) {
  std::vector<int32_t> kept;
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    if (!keep || keep(shard.clips()[i])) {
      kept.push_back(static_cast<int32_t>(i));
    }
  }
  return kept;
}

/// The model's network, ready to score. DataError: no network has the file's configuration, or its weights.
std::unique_ptr<flow::Model> load_network(const io::ModelData& model, kernels::Device device) {
  try {
    auto network = flow::make_scoring_model(model.config, model.condition, device);
    network->load(model.parameters);
    kernels::Stream stream(network->device());
    network->assemble(stream);
    stream.synchronise();
    return network;
  } catch (const io::UsageError& error) {
    throw io::DataError(fmt::format("the model cannot be used: {}; train it again", error.what()));
  } catch (const kernels::SingularError& error) {
    throw io::DataError(fmt::format("the model cannot be used: {}; train it again", error.what()));
  }
}

}  // namespace

std::unique_ptr<frontend::LogMel> Transforms::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) {
    return std::make_unique<frontend::LogMel>(settings_);
  }
  std::unique_ptr<frontend::LogMel> transform = std::move(idle_.back());
  idle_.pop_back();
  return transform;
}

void Transforms::give_back(std::unique_ptr<frontend::LogMel> transform) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(transform));
}

frontend::FileFeatures Transforms::of(const std::filesystem::path& recording) {
  std::unique_ptr<frontend::LogMel> transform = take();
  frontend::FileFeatures features = frontend::file_features(recording, settings_, *transform);
  give_back(std::move(transform));
  return features;
}

std::vector<float> Transforms::of(const std::string& name, const frontend::Samples& samples) {
  std::unique_ptr<frontend::LogMel> transform = take();
  std::vector<float> features = frontend::sample_features(name, samples, settings_, *transform);
  give_back(std::move(transform));
  return features;
}

Detector::State::State(io::ModelData model_in, const std::string& device, int threads)
    : model(std::move(model_in)),
      network(load_network(model, kernels::parse_device(device))),
      score_name(decided_by(model)),
      scores(network->scores(), model.normal),
      transforms(model.config.frontend) {
  if (!scores.find(score_name)) {
    throw io::DataError(
        fmt::format("the model decides by {} but does not hold what that was in training; train it again", score_name));
  }
  engine = make_engine(*network, model.normaliser, {.threads = threads, .batch = scoring_batch, .training = false});
}

ClipScoring Detector::State::scoring() {
  return {.engine = *engine,
          .model = *network,
          .condition = model.condition,
          .window = model.config.window,
          .score = model.config.score,
          .scores = scores,
          .score_name = score_name,
          .threshold = &model.threshold,
          .normal = normal_scores(model, score_name)};
}

ModelValues Detector::State::values(const io::Clip& clip, const std::vector<std::string>& parameter_names,
                                    const io::Categories& categories) const {
  const io::ConditionData& own = model.condition;
  if (parameter_names.empty()) {
    return values_of(clip, {own.names, own.categories}, own);
  }
  if (!categories.empty()) {
    return values_of(clip, {parameter_names, categories}, own);
  }
  io::Categories of_names;
  for (const std::string& name : parameter_names) {
    const auto p = static_cast<size_t>(std::find(own.names.begin(), own.names.end(), name) - own.names.begin());
    of_names.push_back(io::categories_of(own.categories, p));
  }
  return values_of(clip, {parameter_names, of_names}, own);
}

ClipGroup Detector::State::group_of(const io::Clip& clip, std::span<const float> logmel_db,
                                    const std::vector<std::string>& parameter_names,
                                    const io::Categories& categories) const {
  ClipGroup group;
  add_clip(group, clip, logmel_db, values(clip, parameter_names, categories), model.config.window,
           model.config.frontend);
  return group;
}

Detector::Detector(const std::filesystem::path& model, const std::string& device, int threads,
                   const DecisionRequest& request) {
  io::ModelData data = io::read_model(model);
  try {
    set_decision(data, request);
    state_ = std::make_unique<State>(std::move(data), device, threads);
  } catch (const io::DataError& error) {
    throw io::DataError(fmt::format("'{}': {}", model.string(), error.what()));
  }
}

Detector::Detector(io::ModelData model, const std::string& device, int threads)
    : state_(std::make_unique<State>(std::move(model), device, threads)) {}

Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

const io::ModelData& Detector::model() const {
  return state_->model;
}
const std::string& Detector::score_name() const {
  return state_->score_name;
}
const std::vector<flow::Score>& Detector::scores() const {
  return state_->scores.scores();
}
std::vector<std::string> Detector::score_names() const {
  return state_->scores.names();
}
ScoreTable Detector::table(std::vector<std::string> parameter_names, std::vector<ClipScore> clips,
                           io::Categories categories) const {
  return {std::move(parameter_names), score_names(),         state_->model.condition.names,
          std::move(clips),           std::move(categories), state_->model.condition.categories};
}
const flow::Model& Detector::network() const {
  return *state_->network;
}

frontend::FileFeatures Detector::features(const std::filesystem::path& recording) {
  return state_->transforms.of(recording);
}

std::vector<float> Detector::features(const std::string& name, const frontend::Samples& samples) {
  return state_->transforms.of(name, samples);
}

ClipScore Detector::score(const std::filesystem::path& recording) {
  io::Clip clip;
  clip.path = recording;
  clip.parameter.assign(state_->model.condition.names.size(), std::numeric_limits<double>::quiet_NaN());
  return score(clip, features(recording).logmel_db);
}

ClipScore Detector::score(const io::Clip& clip, std::span<const float> logmel_db,
                          const std::vector<std::string>& parameter_names, const io::Categories& categories) {
  const ClipGroup group = state_->group_of(clip, logmel_db, parameter_names, categories);
  flow::WindowScores windows(*state_->network, static_cast<int64_t>(group.start.size()));
  state_->engine->score(group.batch(), windows);
  return aggregate(state_->scoring(), group, windows).front();
}

std::vector<ClipScore> Detector::score(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                                       const std::function<void(int64_t, int64_t)>& progress) {
  require_frontend(shard, state_->model.config.frontend, "the model");
  return score_clips(state_->scoring(), shard, kept_clips(shard, keep), progress);
}

void Detector::score_windows(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                             const WindowVisitor& visit) {
  require_frontend(shard, state_->model.config.frontend, "the model");
  size_t clip = 0;
  flow::WindowScores windows(*state_->network);
  const auto score_group = [&](ClipGroup& group) {
    windows.resize(static_cast<int64_t>(group.start.size()));
    state_->engine->score(group.batch(), windows);
    for (size_t c = 0; c < group.clips.size(); ++c, ++clip) {
      visit(clip, windows, group.first[c], group.first[c + 1]);
    }
  };
  for_each_group(shard, kept_clips(shard, keep), state_->model.condition, state_->model.config.window, scoring_batch,
                 score_group);
}

}  // namespace evenflow::train
