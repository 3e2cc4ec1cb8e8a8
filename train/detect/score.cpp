#include "train/detect/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

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
    if (!keep || keep(shard.clips()[i])) kept.push_back(static_cast<int32_t>(i));
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
    throw io::DataError(fmt::format("the model cannot be used: {}; train it anew", error.what()));
  } catch (const kernels::SingularError& error) {
    throw io::DataError(fmt::format("the model cannot be used: {}; train it anew", error.what()));
  }
}

}  // namespace

Detector::State::State(io::ModelData model_in, const std::string& device, int threads)
    : model(std::move(model_in)),
      network(load_network(model, kernels::parse_device(device))),
      score_name(decided_by(model)) {
  engine = make_engine(*network, model.normaliser, {.threads = threads, .batch = scoring_batch, .training = false});
}

ClipScoring Detector::State::scoring() {
  return {*engine, model.condition.names, model.config.window, model.config.score, score_name, &model.threshold};
}

Detector::Detector(const std::filesystem::path& model, const std::string& device, int threads) {
  io::ModelData data = io::read_model(model);
  try {
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
const flow::Model& Detector::network() const {
  return *state_->network;
}

ClipScore Detector::score(const io::Clip& clip, std::span<const float> logmel_db,
                          const std::vector<std::string>& parameter_names) {
  const std::vector<std::string>& own = state_->model.condition.names;
  const std::vector<double> v = values_of(clip, parameter_names.empty() ? own : parameter_names, own);
  ClipGroup group;
  add_clip(group, clip, logmel_db, v, state_->model.config.window, state_->model.config.frontend);
  std::vector<flow::WindowScores> windows(group.start.size());
  state_->engine->score(group.batch(), windows);
  return aggregate(state_->scoring(), group, windows).front();
}

std::vector<ClipScore> Detector::score(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                                       const std::function<void(int64_t, int64_t)>& progress) {
  require_frontend(shard, state_->model.config.frontend, "the model");
  return score_clips(state_->scoring(), shard, kept_clips(shard, keep), progress);
}

void Detector::score_windows(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                             const std::function<void(size_t clip, std::span<const flow::WindowScores>)>& visit) {
  require_frontend(shard, state_->model.config.frontend, "the model");
  size_t clip = 0;
  std::vector<flow::WindowScores> windows;
  const auto score_group = [&](ClipGroup& group) {
    windows.resize(group.start.size());
    state_->engine->score(group.batch(), windows);
    for (size_t c = 0; c < group.clips.size(); ++c, ++clip) {
      const auto first = static_cast<size_t>(group.first[c]), end = static_cast<size_t>(group.first[c + 1]);
      visit(clip, std::span<const flow::WindowScores>(windows).subspan(first, end - first));
    }
  };
  for_each_group(shard, kept_clips(shard, keep), state_->model.condition.names, state_->model.config.window,
                 scoring_batch, score_group);
}

std::span<const NamedScore> flow_scores() {
  using W = flow::WindowScores;
  using C = ClipScore;
  static constexpr NamedScore scores[] = {{"score_zc", &W::score_zc, &C::score_zc},
                                          {"score_zc_logdet", &W::score_zc_logdet, &C::score_zc_logdet},
                                          {"score_scatter", &W::score_scatter, &C::score_scatter},
                                          {"nll", &W::nll, &C::nll},
                                          {"nll_given_v", &W::nll_given_v, &C::nll_given_v}};
  return scores;
}

std::span<const NamedScore> vae_scores() {
  using W = flow::WindowScores;
  using C = ClipScore;
  static constexpr NamedScore scores[] = {{"score_reconstruction", &W::score_reconstruction, &C::score_reconstruction},
                                          {"score_kld", &W::score_kld, &C::score_kld},
                                          {"score_loss", &W::score_loss, &C::score_loss}};
  return scores;
}

std::span<const NamedScore> classifier_scores() {
  static constexpr NamedScore scores[] = {
      {"score_confidence", &flow::WindowScores::score_confidence, &ClipScore::score_confidence}};
  return scores;
}

std::span<const std::span<const NamedScore>> score_families() {
  static constexpr NamedScore of_mixtures[] = {{"score_gmm", nullptr, &ClipScore::score_gmm}};
  static const std::array<std::span<const NamedScore>, 4> families = {flow_scores(), vae_scores(), classifier_scores(),
                                                                      of_mixtures};
  return families;
}

std::span<const NamedScore> scores_of_kind(io::ModelKind kind) {
  return kind == io::ModelKind::vae          ? vae_scores()
         : kind == io::ModelKind::classifier ? classifier_scores()
                                             : flow_scores();
}

std::vector<NamedScore> scores_in(std::span<const ClipScore> clips) {
  std::vector<NamedScore> found;
  for (const std::span<const NamedScore> family : score_families()) {
    const bool any = std::any_of(clips.begin(), clips.end(), [&](const ClipScore& clip) {
      return std::any_of(family.begin(), family.end(),
                         [&](const NamedScore& s) { return !std::isnan(clip.*s.of_clip); });
    });
    if (any) found.insert(found.end(), family.begin(), family.end());
  }
  if (found.empty()) found.assign(flow_scores().begin(), flow_scores().end());
  return found;
}

std::string resolve_score(const io::Config& config) {
  if (config.score.score != "auto") return config.score.score;
  if (config.model.kind == io::ModelKind::vae) return "score_reconstruction";
  if (config.model.kind == io::ModelKind::classifier) return "score_confidence";
  return "nll";
}

std::string decided_by(const io::ModelData& model) {
  return model.threshold.score.empty() ? resolve_score(model.config) : model.threshold.score;
}

double pick_score(const ClipScore& clip, const std::string& name) {
  std::string known;
  for (const std::span<const NamedScore> family : score_families()) {
    for (const NamedScore& score : family) {
      if (name == score.name) return clip.*score.of_clip;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", score.name);
    }
  }
  throw io::DataError(fmt::format("there is no score '{}'; there are {}", name, known));
}

}  // namespace evenflow::train
