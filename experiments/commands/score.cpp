// evenflow score: clips to scores, through a trained model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/recordings.h"
#include "frontend/features.h"
#include "frontend/sound_notes.h"
#include "io/error.h"
#include "io/shard.h"
#include "kernels/parallel.h"
#include "train/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr size_t listed_at_most = 10;

class Scoring {
 public:
  Scoring(const ScoreArguments& arguments, train::Detector& detector)
      : arguments_(arguments),
        detector_(detector),
        pool_(arguments.compute.threads),
        notes_(detector.model().config.frontend, true) {
    transforms_.resize(static_cast<size_t>(pool_.threads()));
  }

  void add(const fs::path& input) {
    if (io::is_shard(input)) {
      add_shard(io::Shard(input));
    } else if (io::is_model(input)) {
      throw io::UsageError("'" + input.string() + "' is a model, not sound; give recordings or shards to score");
    } else {
      add_recordings(io::read_recordings(input), input);
    }
  }

  /// io::DataError if recordings could not be used, or if nothing was left to score.
  void finish() {
    status_.clear();
    if (!bad_.empty() && !arguments_.skip_bad) {
      std::string text =
          fmt::format("{} cannot be scored: ", count_text(static_cast<int64_t>(bad_.size()), "recording"));
      for (size_t i = 0; i < std::min(bad_.size(), listed_at_most); ++i) text += (i == 0 ? "" : "; ") + bad_[i];
      if (bad_.size() > listed_at_most) text += fmt::format("; and {} more", bad_.size() - listed_at_most);
      throw io::DataError(text + "; mend them or add --skip-bad");
    }
    if (scores_.empty()) {
      if (!bad_.empty()) throw io::DataError("none of the recordings can be scored: " + bad_.front());
      throw io::DataError(fmt::format("no {} clip in '{}'; choose others with --split", arguments_.split,
                                      arguments_.inputs.front().string()));
    }
    for (train::ClipScore& score : scores_)
      score.clip.parameter.resize(names_.size(), std::numeric_limits<double>::quiet_NaN());
  }

  const std::vector<train::ClipScore>& scores() const { return scores_; }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::string>& bad() const { return bad_; }
  /// What is to be said of the sound that was scored, a line each.
  std::vector<std::string> notes() const { return notes_.lines(); }

 private:
  bool keep(const io::Clip& clip) const {
    return arguments_.split == "all" || (clip.split == io::Split::train) == (arguments_.split == "train");
  }

  void add_shard(const io::Shard& shard) {
    const auto progress = [&](int64_t done, int64_t total) { show(done, total); };
    const auto kept = [&](const io::Clip& clip) { return keep(clip); };
    const size_t first = scores_.size();
    take(detector_.score(shard, kept, progress), shard.parameter_names());
    for (const train::ClipScore& score : std::span(scores_).subspan(first))
      notes_.add_frames(score.clip.path, score.silent);
  }

  void add_recordings(io::Manifest manifest, const fs::path& named) {
    std::erase_if(manifest.clips, [&](const io::Clip& clip) { return !keep(clip); });
    if (!arguments_.skip_bad) require_recordings(manifest, named);
    // So many clips are decoded side by side, then scored in turn (a clip's windows side by side).
    const size_t group = 8 * static_cast<size_t>(pool_.threads());
    for (size_t first = 0; first < manifest.clips.size(); first += group) {
      const size_t count = std::min(group, manifest.clips.size() - first);
      score_group(manifest, first, count);
      show(static_cast<int64_t>(first + count), static_cast<int64_t>(manifest.clips.size()));
    }
  }

  void score_group(const io::Manifest& manifest, size_t first, size_t count) {
    std::vector<frontend::FileFeatures> features(count);
    std::vector<std::string> errors(count);
    const io::FrontendSettings& settings = detector_.model().config.frontend;
    pool_.run(static_cast<int64_t>(count), [&](int64_t item, int worker) {
      const auto i = static_cast<size_t>(item);
      std::unique_ptr<frontend::LogMel>& transform = transforms_[static_cast<size_t>(worker)];
      if (!transform) transform = std::make_unique<frontend::LogMel>(settings);
      try {
        features[i] = frontend::file_features(file_of(manifest, manifest.clips[first + i]), settings, *transform);
      } catch (const io::DataError& error) {
        errors[i] = error.what();
      }
    });
    for (size_t i = 0; i < count; ++i) {
      if (errors[i].empty()) score_clip(manifest, manifest.clips[first + i], features[i], errors[i]);
      if (!errors[i].empty()) bad_.push_back(errors[i]);
    }
  }

  void score_clip(const io::Manifest& manifest, const io::Clip& clip, const frontend::FileFeatures& features,
                  std::string& error) {
    if (!bad_.empty() && !arguments_.skip_bad) return;  // what is left is only looked through for bad files
    try {
      take({detector_.score(clip, features.logmel_db, manifest.parameter_names)}, manifest.parameter_names);
      notes_.add(clip.path, features.source, scores_.back().silent);
    } catch (const io::DataError& refused) {
      error = refused.what();
    }
  }

  /// Appends scores, their parameters moved to this table's columns.
  void take(std::vector<train::ClipScore> scores, const std::vector<std::string>& names) {
    std::vector<size_t> column;
    for (const std::string& name : names) {
      const auto found = std::find(names_.begin(), names_.end(), name);
      column.push_back(static_cast<size_t>(found - names_.begin()));
      if (found == names_.end()) names_.push_back(name);
    }
    for (train::ClipScore& score : scores) {
      std::vector<double> values(names_.size(), std::numeric_limits<double>::quiet_NaN());
      for (size_t i = 0; i < std::min(column.size(), score.clip.parameter.size()); ++i)
        values[column[i]] = score.clip.parameter[i];
      score.clip.parameter = std::move(values);
      scores_.push_back(std::move(score));
    }
  }

  void show(int64_t done, int64_t total) {
    if (!status_.due()) return;
    status_.show(fmt::format("{} {} of {} clips", bar_text(static_cast<double>(done) / static_cast<double>(total), 30),
                             done, total));
  }

  const ScoreArguments& arguments_;
  train::Detector& detector_;
  kernels::ThreadPool pool_;
  std::vector<std::unique_ptr<frontend::LogMel>> transforms_;
  std::vector<train::ClipScore> scores_;
  std::vector<std::string> names_, bad_;
  frontend::SoundNotes notes_;
  StatusLine status_;
};

std::string decisions_text(const train::Detector& detector, const std::vector<train::ClipScore>& scores) {
  const io::ThresholdData& threshold = detector.model().threshold;
  if (std::isnan(threshold.value)) return "The model has no threshold, so no decisions were made.";
  const auto anomalous = std::count_if(scores.begin(), scores.end(), [](const auto& s) { return s.decision == 1; });
  return fmt::format("{} decided anomalous: {} above {:.6g}, which {:.0f} % of normal clips stay below ({}).",
                     count_text(anomalous, "clip"), detector.score_name(), threshold.value, 100.0 * threshold.quantile,
                     threshold.method);
}

}  // namespace

int run(const ScoreArguments& arguments) {
  discard_on_signals(arguments.out);
  require_writable(arguments.out);
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  Scoring scoring(arguments, detector);
  for (const fs::path& input : arguments.inputs) scoring.add(input);
  scoring.finish();
  train::write_scores(arguments.out, scoring.scores(), scoring.names(), detector.model().condition.names);
  fmt::print("Scored {} -> {}\n{}\n", count_text(static_cast<int64_t>(scoring.scores().size()), "clip"),
             arguments.out.string(), decisions_text(detector, scoring.scores()));
  for (const std::string& line : scoring.notes()) fmt::print("{}\n", one_line(line));
  if (!scoring.bad().empty()) {
    fmt::print("Skipped {}:\n", count_text(static_cast<int64_t>(scoring.bad().size()), "recording"));
    for (const std::string& sentence : scoring.bad()) fmt::print("  {}\n", one_line(sentence));
  }
  return exit_ok;
}

}  // namespace evenflow::experiments
