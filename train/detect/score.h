// A loaded model, ready to score sound.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flow/model.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "io/shard.h"

namespace evenflow::train {

/// Scores of one clip: each the aggregate (mean, max or top-k) over its windows.
struct ClipScore {
  io::Clip clip;
  double score = 0;  ///< the one the model file names
  double score_zc = 0, score_zc_logdet = 0, score_scatter = 0, nll = 0, nll_given_v = 0;  ///< NaN: not of its model
  double score_reconstruction = std::numeric_limits<double>::quiet_NaN();                 ///< of an autoencoder
  double score_kld = std::numeric_limits<double>::quiet_NaN();
  double score_loss = std::numeric_limits<double>::quiet_NaN();
  double score_confidence = std::numeric_limits<double>::quiet_NaN();  ///< of a classifier
  /// Of Gaussian mixtures over a model's descriptors (experiments/study/mixtures.h).
  double score_gmm = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> estimate;  ///< per conditioned parameter, mean over windows
  int decision = -1;             ///< 1 anomalous, 0 normal, -1 none: no threshold in the model, or no finite score
  bool silent = false;           ///< its frames say nothing (frontend/silence.h)
  int64_t windows = 0;
  std::string fault;  ///< why `score` or an estimate is not finite; empty if all are
};

/// A score by its name, of windows and of clips.
struct NamedScore {
  const char* name;
  double flow::WindowScores::*of_window;  ///< null: clips alone have it
  double ClipScore::*of_clip;
};
/// Of flows: score_zc, score_zc_logdet, score_scatter, nll, nll_given_v.
std::span<const NamedScore> flow_scores();
/// Of autoencoders: score_reconstruction, score_kld, score_loss.
std::span<const NamedScore> vae_scores();
/// Of classifiers: score_confidence.
std::span<const NamedScore> classifier_scores();
/// All of them, family by family: flows', autoencoders', classifiers', and score_gmm of mixtures.
std::span<const std::span<const NamedScore>> score_families();
/// Those of model.kind.
std::span<const NamedScore> scores_of_kind(io::ModelKind kind);
/// Those of which a clip has a value; those of flows if there is no clip.
std::vector<NamedScore> scores_in(std::span<const ClipScore> clips);

class Detector {
 public:
  /// Reads a model; io::DataError names what is wrong.
  Detector(const std::filesystem::path& model, const std::string& device, int threads);
  Detector(io::ModelData model, const std::string& device, int threads);
  ~Detector();
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;

  const io::ModelData& model() const;
  const std::string& score_name() const;
  const flow::Model& network() const;

  /// One clip's frames [frames, bands] in dB. `parameter_names` name clip.parameter's columns; left out, they are the
  /// model's own. io::DataError names the clip if it is shorter than a window.
  ClipScore score(const io::Clip& clip, std::span<const float> logmel_db,
                  const std::vector<std::string>& parameter_names = {});
  /// Clips of a shard for which keep(clip) holds, in order; streamed, so memory does not grow with the shard.
  /// io::DataError if the shard's frontend is not the model's, naming the setting that differs.
  std::vector<ClipScore> score(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep = {},
                               const std::function<void(int64_t done, int64_t total)>& progress = {});

  /// Every window's scores of the clips for which keep(clip) holds, clip by clip; `clip` counts those kept.
  void score_windows(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                     const std::function<void(size_t clip, std::span<const flow::WindowScores>)>& visit);

  /// Writes latents, log-determinants, scores and the clip table, per window, to HDF5 (docs/formats.md, "Latents"),
  /// atomically. Memory is bounded by a few clips.
  void encode(const io::Shard& shard, const std::filesystem::path& out,
              const std::function<void(int64_t done, int64_t total)>& progress = {});

  /// Draws windows from the prior with zd at value v (per parameter; NaN or empty: v ~ N(mean, std)), temperature
  /// scaling the noise; returns log-mel in dB [n, bands, frames]. Window i is a function of (seed, i) alone.
  /// io::UsageError: v of the wrong length, or given to an unconstrained model.
  std::vector<float> sample(int64_t n, std::span<const double> v, double temperature, uint64_t seed);
  /// Moves a window, [window frames, bands] in dB, to v: encodes, shifts zd by k (v_to - its own estimate), inverts.
  /// A NaN in v_to leaves that parameter as it is. [bands, window frames] in dB.
  std::vector<float> transfer(std::span<const float> logmel_db, std::span<const double> v_to);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The score a model uses: config's, or for "auto" nll (a flow), score_reconstruction (an autoencoder),
/// score_confidence (a classifier).
std::string resolve_score(const io::Config& config);
/// The score that a trained model decides by, which its file names.
std::string decided_by(const io::ModelData& model);
/// One of the clip's scores by name ("nll"). io::DataError names one that does not exist.
double pick_score(const ClipScore& clip, const std::string& name);

/// The scores CSV of docs/formats.md, written atomically; read_scores reads it back (DataError names line and column):
/// path,machine,label,<parameter...>,score,<the scores of the model's kind...>,<estimate_parameter...>,
/// decision,split,domain,section. Numbers have as many digits as it takes to read the same double; NaN is an empty
/// cell.
void write_scores(const std::filesystem::path& file, const std::vector<ClipScore>& scores,
                  const std::vector<std::string>& manifest_parameters, const std::vector<std::string>& estimated);
/// io::DataError naming `file` if a parameter is called like one of those columns, in whatever letters: the scores
/// could not be read back.
void require_parameter_names(const std::vector<std::string>& names, const std::filesystem::path& file);
struct ScoreTable {
  std::vector<std::string> parameter_names, estimated_names;
  std::vector<ClipScore> clips;
};
ScoreTable read_scores(const std::filesystem::path& file);

}  // namespace evenflow::train
