// A loaded model, ready to score sound.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "flow/model.h"
#include "frontend/features.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "train/detect/decision.h"
#include "train/detect/explain.h"
#include "train/detect/score_table.h"

namespace evenflow::train {

struct ClipGroup;

/// A clip's latents, window by window.
struct ClipLatents {
  std::vector<int64_t> frame;  ///< [windows] where each begins
  std::vector<float> zc, zd;   ///< [windows, flow::Model::zc_size() or zd_size()]
  flow::WindowScores scores;   ///< of the windows
};

class Detector {
 public:
  /// Reads a model; io::DataError names what is wrong. `request`: how to decide in place of what it says; errors as
  /// set_decision's.
  Detector(const std::filesystem::path& model, const std::string& device, int threads,
           const DecisionRequest& request = {});
  Detector(io::ModelData model, const std::string& device, int threads);
  ~Detector();
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;

  const io::ModelData& model() const;
  /// The score that decides.
  const std::string& score_name() const;
  /// Those of a clip, in the order of ClipScore::scores.
  const std::vector<flow::Score>& scores() const;
  std::vector<std::string> score_names() const;
  /// A table of clips that it scored; `parameter_names` name the columns of their parameters, and `categories` what the
  /// codes of those that are categories stand for.
  ScoreTable table(std::vector<std::string> parameter_names, std::vector<ClipScore> clips,
                   io::Categories categories = {}) const;
  const flow::Model& network() const;

  /// A recording as the model hears it: decoded, resampled and transformed with the model's frontend settings. Any
  /// number of threads may call it at a time. io::DataError names the file.
  frontend::FileFeatures features(const std::filesystem::path& recording);
  /// The same of samples in memory, [frames, bands] in dB. Throws what frontend::sample_features throws.
  std::vector<float> features(const std::string& name, const frontend::Samples& samples);

  /// A recording, from file to decision; its parameters are unknown. io::DataError names the file.
  ClipScore score(const std::filesystem::path& recording);
  /// One clip's frames [frames, bands] in dB. `parameter_names` name clip.parameter's columns, and `categories` what
  /// the codes of those that are names stand for; left out, they are the model's own. io::DataError names the clip if
  /// it is shorter than a window.
  ClipScore score(const io::Clip& clip, std::span<const float> logmel_db,
                  const std::vector<std::string>& parameter_names = {}, const io::Categories& categories = {});
  /// Clips of a shard for which keep(clip) holds, in order; streamed, so memory does not grow with the shard.
  /// io::DataError if the shard's frontend is not the model's, naming the setting that differs.
  std::vector<ClipScore> score(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep = {},
                               const std::function<void(int64_t done, int64_t total)>& progress = {});

  /// Every window's scores of the clips for which keep(clip) holds, clip by clip; `clip` counts those kept, and its
  /// windows are the rows [first, end).
  using WindowVisitor = std::function<void(size_t clip, const flow::WindowScores& windows, int64_t first, int64_t end)>;
  void score_windows(const io::Shard& shard, const std::function<bool(const io::Clip&)>& keep,
                     const WindowVisitor& visit);

  /// Writes latents, log-determinants, scores and the clip table, per window, to HDF5 (docs/formats.md, "Latents"),
  /// atomically. Memory is bounded by a few clips.
  void encode(const io::Shard& shard, const std::filesystem::path& out,
              const std::function<void(int64_t done, int64_t total)>& progress = {});

  /// The latents of one clip, whose frames are given as to `score`.
  ClipLatents encode(const io::Clip& clip, std::span<const float> logmel_db,
                     const std::vector<std::string>& parameter_names = {}, const io::Categories& categories = {});

  /// Draws windows from the prior with zd at value v (per parameter; NaN or empty: v ~ N(mean, std), a name by its
  /// frequencies), temperature scaling the noise; returns log-mel in dB [n, bands, frames]. Window i is a function of
  /// (seed, i) alone. io::UsageError: v of the wrong length, given to an unconstrained model, or no code of a name's.
  std::vector<float> sample(int64_t n, std::span<const double> v, double temperature, uint64_t seed);
  /// Moves a window, [window frames, bands] in dB, to v: encodes, shifts zd by k (v_to - its own estimate), or the part
  /// of each category of a name so that its mean is k or 0, and inverts.
  /// A NaN in v_to leaves that parameter as it is. [bands, window frames] in dB.
  std::vector<float> transfer(std::span<const float> logmel_db, std::span<const double> v_to);
  /// The same of a clip, [frames, bands], window behind window; the last one ends with the clip. [frames, bands].
  std::vector<float> transfer_clip(std::span<const float> logmel_db, std::span<const double> v_to);

  /// Why a clip scores as it does: frames [frames, bands] in dB, parameter_names and categories as score() has
  /// them. io::UsageError: no such score, options.at of the wrong length. io::DataError names a clip that is too short,
  /// or whose score is not finite.
  Explanation explain(const io::Clip& clip, std::span<const float> logmel_db, const ExplainOptions& options = {},
                      const std::vector<std::string>& parameter_names = {}, const io::Categories& categories = {});
  /// Adds a normal clip to those that explanations compare with (ExplainOptions::normals), unless what the model makes
  /// of it is not finite. io::DataError names a clip that is too short.
  void add_normal(NormalReference& reference, const io::Clip& clip, std::span<const float> logmel_db,
                  const std::vector<std::string>& parameter_names = {}, const io::Categories& categories = {});

 private:
  // Explanation's shares and gradient.
  void divide(const ClipGroup& group, const flow::WindowScores& windows, std::span<const double> v, Explanation& out);
  friend class ClipStream;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::train
