// evenflow score: clips to scores, through a trained model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/report/evaluation.h"
#include "frontend/features.h"
#include "frontend/sound_notes.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/hdf5_file.h"
#include "io/shard.h"
#include "io/sound_format.h"
#include "io/standard_output.h"
#include "io/text.h"
#include "kernels/parallel.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ScoreArguments {
  fs::path model, out;
  std::vector<fs::path> inputs;
  std::string split = "test";  ///< "train", "test" or "all"
  bool skip_bad = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, ScoreArguments& arguments) {
  options.file("--model", arguments.model, "the model (model.h5, last.h5)").required();
  options.files("INPUT", arguments.inputs, "recordings, folders of recordings, manifests, DCASE folders or shards")
      .required();
  options.file("--out", arguments.out, "the scores to write (CSV); -: standard output").required();
  options.force(arguments.force);
  options.word("--split", arguments.split, {"train", "test", "all"},
               "which clips of manifests, folders and shards; a recording given by itself is always scored");
  options.flag("--skip-bad", arguments.skip_bad, "list recordings that cannot be used and go on without them");
  options.compute(arguments.compute);
}

constexpr size_t listed_at_most = 3;

/// Scores inputs: all are looked at first, so that one which is refused costs no work.
class Scoring {
 public:
  Scoring(const ScoreArguments& arguments, train::Detector& detector)
      : arguments_(arguments),
        detector_(detector),
        pool_(arguments.compute.threads),
        sound_notes_(detector.model().config.frontend, true) {}

  void run() {
    for (const fs::path& input : arguments_.inputs) {
      open(input);
    }
    if (!repeated_.empty()) {
      notes_.push_back(fmt::format("left out: {} given already, such as {}",
                                   count_text(static_cast<int64_t>(repeated_.size()), "recording"), repeated_.front()));
    }
    const std::string others = other_machines(machines_, detector_.model().provenance.machines);
    if (!others.empty()) {
      notes_.push_back(others);
    }
    for (const std::string& note : notes_) {
      print_note(note);
    }
    for (const Input& input : inputs_) {
      if (input.shard) {
        add_shard(*input.shard);
      } else {
        add_recordings(input.recordings);
      }
    }
  }

  /// io::DataError if recordings could not be used, or if nothing was left to score.
  void finish() {
    status_.clear();
    if (!bad_.empty() && !arguments_.skip_bad) {
      std::string text =
          fmt::format("{} cannot be scored: ", count_text(static_cast<int64_t>(bad_.size()), "recording"));
      for (size_t i = 0; i < std::min(bad_.size(), listed_at_most); ++i) {
        text += (i == 0 ? "" : "; ") + bad_[i];
      }
      if (bad_.size() > listed_at_most) {
        text += fmt::format("; and {} more", bad_.size() - listed_at_most);
      }
      throw io::DataError(text + "; repair them or add --skip-bad");
    }
    if (scores_.empty()) {
      if (!bad_.empty()) {
        throw io::DataError("none of the recordings can be scored: " + bad_.front());
      }
      throw io::DataError(fmt::format("no {} clip in '{}'; choose others with --split", arguments_.split,
                                      arguments_.inputs.front().string()));
    }
    for (train::ClipScore& score : scores_) {
      score.clip.parameter.resize(names_.size(), std::numeric_limits<double>::quiet_NaN());
    }
  }

  /// What was scored; once.
  train::ScoreTable table() { return detector_.table(std::move(names_), std::move(scores_)); }
  const std::vector<std::string>& bad() const { return bad_; }
  /// What is to be said of the sound that was scored, a line each.
  std::vector<std::string> notes() const { return sound_notes_.lines(); }

 private:
  /// One of the two. Paths of `recordings` stand in the table; `files` are theirs.
  struct Recordings {
    io::Manifest manifest;
    std::vector<fs::path> files;
  };
  struct Input {
    std::unique_ptr<io::Shard> shard;
    Recordings recordings;
  };

  void open(const fs::path& path) {
    Input input;
    if (io::is_model(path)) {
      throw io::UsageError("'" + path.string() + "' is a model, not sound; give recordings or shards to score");
    } else if (io::looks_like_hdf5(path)) {
      input.shard = std::make_unique<io::Shard>(path);
      train::require_parameter_names(input.shard->parameter_names(), path);
      for (const io::Clip& clip : input.shard->clips()) {
        if (keep(clip)) {
          list(clip);
        }
      }
    } else {
      input.recordings = open_recordings(path);
      for (const io::Clip& clip : input.recordings.manifest.clips) {
        list(clip);
      }
    }
    inputs_.push_back(std::move(input));
  }

  /// Notes a clip of the input being opened. io::UsageError if an input before has one of the same path.
  void list(const io::Clip& clip) {
    ++machines_[clip.machine];
    const auto [first, is_new] = inputs_by_path_.emplace(clip.path.string(), inputs_.size());
    if (is_new || first->second == inputs_.size()) {
      return;
    }
    throw io::UsageError(fmt::format(
        "'{}' and '{}' both have a clip '{}', and rows of the scores could not be told apart; score them one at a time "
        "(evaluate takes several tables)",
        arguments_.inputs[first->second].string(), arguments_.inputs[inputs_.size()].string(), clip.path.string()));
  }

  /// The clips to score, under the paths by which the table's rows can be told apart: as given where a recording is
  /// given itself or there are several inputs, else as the manifest has them or below the folder.
  Recordings open_recordings(const fs::path& path) {
    Recordings out{read_clips(path), {}};
    io::Manifest& manifest = out.manifest;
    const bool is_recording = !fs::is_directory(path) && io::is_recording(path);
    const auto other_split = [&](const io::Clip& clip) { return !is_recording && !keep(clip); };
    if (const auto others = static_cast<int64_t>(std::erase_if(manifest.clips, other_split)); others > 0) {
      manifest.notes.push_back(
          fmt::format("left out: {} of the other split (--split all takes both)", count_text(others, "clip")));
    }
    if (!arguments_.skip_bad) {
      require_recordings(manifest, path);
    }
    drop_repeated(manifest, path);
    const std::string of_which = arguments_.inputs.size() > 1 ? path.string() + ": " : std::string();
    if (!is_recording) {
      for (const std::string& note : manifest.notes) {
        notes_.push_back(of_which + note);
      }
    }
    std::erase_if(manifest.clips, [&](const io::Clip& clip) {
      const fs::path file = file_of(manifest, clip);
      const auto identity = io::identify(file);
      if (!identity || identities_.insert(*identity).second) {
        return false;
      }
      repeated_.push_back(fmt::format("'{}'", file.string()));
      return true;
    });
    for (io::Clip& clip : manifest.clips) {
      out.files.push_back(file_of(manifest, clip));
      if (is_recording) {
        clip.path = path;
      } else if (arguments_.inputs.size() > 1) {
        clip.path = out.files.back().lexically_normal();
      }
      if (const auto fault = io::text_fault(clip.path.string())) {
        throw io::DataError("'" + clip.path.string() + "' " + fault->what + "; rename it");
      }
    }
    return out;
  }

  bool keep(const io::Clip& clip) const {
    return arguments_.split == "all" || (clip.split == io::Split::train) == (arguments_.split == "train");
  }

  void add_shard(const io::Shard& shard) {
    const auto progress = [&](int64_t done, int64_t total) { show(done, total); };
    const auto kept = [&](const io::Clip& clip) { return keep(clip); };
    const size_t first = scores_.size();
    take(detector_.score(shard, kept, progress), shard.parameter_names());
    for (const train::ClipScore& score : std::span(scores_).subspan(first)) {
      sound_notes_.add_frames(score.clip.path, score.silent);
    }
  }

  void add_recordings(const Recordings& recordings) {
    const io::Manifest& manifest = recordings.manifest;
    // So many clips are decoded side by side, then scored in turn (a clip's windows side by side).
    const size_t group = 8 * static_cast<size_t>(pool_.threads());
    for (size_t first = 0; first < manifest.clips.size(); first += group) {
      const size_t count = std::min(group, manifest.clips.size() - first);
      score_group(recordings, first, count);
      show(static_cast<int64_t>(first + count), static_cast<int64_t>(manifest.clips.size()));
    }
  }

  void score_group(const Recordings& recordings, size_t first, size_t count) {
    const io::Manifest& manifest = recordings.manifest;
    std::vector<frontend::FileFeatures> features(count);
    std::vector<std::string> errors(count);
    pool_.run(static_cast<int64_t>(count), [&](int64_t item, int) {
      const auto i = static_cast<size_t>(item);
      try {
        features[i] = detector_.features(recordings.files[first + i]);
      } catch (const io::DataError& error) {
        errors[i] = error.what();
      }
    });
    for (size_t i = 0; i < count; ++i) {
      if (errors[i].empty()) {
        score_clip(manifest, manifest.clips[first + i], features[i], errors[i]);
      }
      if (!errors[i].empty()) {
        bad_.push_back(errors[i]);
      }
    }
  }

  void score_clip(const io::Manifest& manifest, const io::Clip& clip, const frontend::FileFeatures& features,
                  std::string& error) {
    if (!bad_.empty() && !arguments_.skip_bad) {
      return;  // what is left is only looked through for bad files
    }
    try {
      take({detector_.score(clip, features.logmel_db, manifest.parameter_names)}, manifest.parameter_names);
      sound_notes_.add(clip.path, features.source, scores_.back().silent);
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
      if (found == names_.end()) {
        names_.push_back(name);
      }
    }
    for (train::ClipScore& score : scores) {
      std::vector<double> values(names_.size(), std::numeric_limits<double>::quiet_NaN());
      for (size_t i = 0; i < std::min(column.size(), score.clip.parameter.size()); ++i) {
        values[column[i]] = score.clip.parameter[i];
      }
      score.clip.parameter = std::move(values);
      scores_.push_back(std::move(score));
    }
  }

  void show(int64_t done, int64_t total) {
    throw_if_stopped();
    status_.show_clips(done, total);
  }

  const ScoreArguments& arguments_;
  train::Detector& detector_;
  kernels::ThreadPool pool_;
  std::vector<train::ClipScore> scores_;
  std::vector<std::string> names_, bad_;
  std::vector<Input> inputs_;
  std::map<std::string, int64_t> machines_;  // of all inputs: how many clips
  std::unordered_map<std::string, size_t> inputs_by_path_;
  std::set<io::FileIdentity> identities_;
  std::vector<std::string> repeated_, notes_;
  frontend::SoundNotes sound_notes_;
  StatusLine status_;
};

/// Of a single clip, what a person asked for.
std::string clip_text(const train::Detector& detector, const train::ClipScore& clip) {
  const std::string decision = clip.decision == 1 ? "anomalous" : clip.decision == 0 ? "normal" : "no decision";
  return fmt::format("{}: {} {:.6g}, {}", clip.clip.path.string(), detector.score_name(), clip.score, decision);
}

std::string decisions_text(const train::Detector& detector, const std::vector<train::ClipScore>& scores) {
  const io::ThresholdData& threshold = detector.model().threshold;
  if (std::isnan(threshold.value)) {
    return "The model has no threshold, so no decisions were made.";
  }
  const auto anomalous = std::count_if(scores.begin(), scores.end(), [](const auto& s) { return s.decision == 1; });
  const std::string rests_on =
      threshold.clips > 0 ? fmt::format("{} of {} training clips lie above", threshold.above, threshold.clips)
                          : fmt::format("meant to leave {:.0f} % of normal clips below", 100.0 * threshold.quantile);
  return fmt::format("{} decided anomalous: {} above {:.6g} (rule {}; {}).", count_text(anomalous, "clip"),
                     detector.score_name(), threshold.value, threshold.method, rests_on);
}

/// io::DataError if clips have no finite score, or no finite estimate: which, and why.
void require_finite(const std::vector<train::ClipScore>& scores, const fs::path& out) {
  std::vector<std::string> faults;
  int64_t undecided = 0;
  for (const train::ClipScore& score : scores) {
    if (score.fault.empty()) {
      continue;
    }
    faults.push_back(fmt::format("'{}' ({})", score.clip.path.string(), score.fault));
    if (!std::isfinite(score.score)) {
      ++undecided;
    }
  }
  if (faults.empty()) {
    return;
  }
  const auto count = static_cast<int64_t>(faults.size());
  std::string text = fmt::format("{} no finite {}: ", count == 1 ? "1 clip has" : fmt::format("{} clips have", count),
                                 undecided > 0 ? "score and no decision" : "estimate");
  for (size_t i = 0; i < std::min(faults.size(), listed_at_most); ++i) {
    text += (i == 0 ? "" : "; ") + faults[i];
  }
  if (faults.size() > listed_at_most) {
    text += fmt::format("; and {} more", faults.size() - listed_at_most);
  }
  throw io::DataError(fmt::format("{}; the table is in '{}'", text, out.string()));
}

int run(const ScoreArguments& arguments) {
  stop_on_signals();
  if (io::is_standard_output(arguments.out)) {
    io::keep_standard_output_for_result();
  }
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  for (const fs::path& input : arguments.inputs) {
    outputs.reads_recordings(input);
  }
  outputs.writes(arguments.out, FileKind::scores);
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  Scoring scoring(arguments, detector);
  scoring.run();
  scoring.finish();
  const train::ScoreTable table = scoring.table();
  train::write_scores(arguments.out, table);
  if (table.clips.size() == 1) {
    fmt::print("{}\n", io::escaped(clip_text(detector, table.clips.front())));
  }
  fmt::print("Scored {} -> {}\n{}\n", count_text(static_cast<int64_t>(table.clips.size()), "clip"),
             arguments.out.string(), decisions_text(detector, table.clips));
  const auto any = [](const train::ClipScore&) { return true; };
  fmt::print("{}", without_value_text(train::without_value(table, any)));
  if (const std::string outside = outside_calibration_text(train::outside_calibration(table.clips)); !outside.empty()) {
    fmt::print("note: {}\n", io::escaped(outside));
  }
  for (const std::string& line : scoring.notes()) {
    fmt::print("{}\n", io::escaped(one_line(line)));
  }
  if (!scoring.bad().empty()) {
    fmt::print("Skipped {}:\n", count_text(static_cast<int64_t>(scoring.bad().size()), "recording"));
    for (const std::string& sentence : scoring.bad()) {
      fmt::print("  {}\n", one_line(sentence));
    }
  }
  require_finite(table.clips, arguments.out);
  return exit_ok;
}

}  // namespace

Command score_command() {
  return make_command<ScoreArguments>(
      "score",
      "Scores clips with a trained model. It writes a CSV with every score, the estimated parameters and the "
      "decision of each clip. INPUT is any mix of recordings, folders, manifests and shards; recordings go through "
      "the model's own frontend settings.",
      "  evenflow score --model runs/first/model.h5 features.h5 --out scores.csv\n"
      "  evenflow score --model runs/first/model.h5 today/*.wav --out today.csv",
      declare, run);
}

}  // namespace evenflow::experiments
