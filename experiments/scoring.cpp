#include "experiments/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "experiments/interrupt.h"
#include "experiments/recordings.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/sound_format.h"
#include "io/text.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_bad_listed = 3;

}  // namespace

void declare_scoring(Options& options, ScoringRequest& request) {
  options.word("--split", request.split, {"train", "test", "all"},
               "which clips of manifests, folders and shards; a recording given by itself is always scored");
  options.flag("--skip-bad", request.skip_bad, "list recordings that cannot be used and go on without them");
  options.other_machines(request.other_machines);
  options.compute(request.compute);
}

namespace {

/// Whether a manifest says the recordings' values, rather than names of files and folders.
bool has_manifest(const fs::path& input) {
  std::error_code error;
  return input.extension() == ".csv" || fs::exists(input / "manifest.csv", error);
}

}  // namespace

ScoringInputs::ScoringInputs(const ScoringRequest& request, io::DeclaredCategories declared,
                             io::DeclaredCategories declared_of_files)
    : request_(request), declared_(std::move(declared)), declared_of_files_(std::move(declared_of_files)) {
  std::vector<train::ScoreTable> values;
  for (const fs::path& input : request_.inputs) {
    open(input);
    values.push_back(values_of(inputs_.back()));
  }
  train::joined(values);  // now, not after the work
  if (!repeated_.empty()) {
    notes_.push_back(fmt::format("left out: {} given already, such as {}",
                                 count_text(static_cast<int64_t>(repeated_.size()), "recording"), repeated_.front()));
  }
  if (anomalies_ > 0) {
    notes_.push_back(fmt::format("left out: {} labelled as anomalies", count_text(anomalies_, "clip")));
  }
}

void ScoringInputs::print_notes() const {
  for (const std::string& note : notes_) {
    print_note(note);
  }
}

/// Its parameters, without scores.
train::ScoreTable ScoringInputs::values_of(const Input& input) const {
  const io::Manifest& manifest = input.recordings.manifest;
  train::ScoreTable table;
  table.parameter_names = input.shard ? input.shard->parameter_names() : manifest.parameter_names;
  table.categories = input.shard ? input.shard->categories() : manifest.categories;
  for (const io::Clip& clip : input.shard ? input.shard->clips() : manifest.clips) {
    if (is_wanted(clip)) {
      table.clips.emplace_back().clip = clip;
    }
  }
  return table;
}

void ScoringInputs::require_kinds(const std::vector<std::string>& parameters, const io::Categories& trained) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const train::ScoreTable table = values_of(inputs_[i]);
    for (size_t p = 0; p < parameters.size(); ++p) {
      const auto found = std::find(table.parameter_names.begin(), table.parameter_names.end(), parameters[p]);
      const auto column = static_cast<size_t>(found - table.parameter_names.begin());
      const bool known = std::any_of(table.clips.begin(), table.clips.end(), [&](const train::ClipScore& clip) {
        return column < clip.clip.parameter.size() && !std::isnan(clip.clip.parameter[column]);
      });
      const bool names = !io::categories_of(table.categories, column).empty();
      const bool trained_names = !io::categories_of(trained, p).empty();
      if (known && names != trained_names) {
        throw io::DataError(
            fmt::format("'{}' has {} of '{}', and the model was trained on {}; {}", request_.inputs[i].string(),
                        names ? "names" : "numbers", parameters[p], trained_names ? "names" : "numbers",
                        trained_names ? fmt::format("call the manifest's column '{}:category'", parameters[p])
                                      : "give numbers, or leave the column out"));
      }
    }
  }
}

void ScoringInputs::open(const fs::path& path) {
  Input input;
  if (io::is_model(path)) {
    throw io::UsageError("'" + path.string() + "' is a model, not sound; give recordings or shards to score");
  } else if (io::looks_like_hdf5(path)) {
    input.shard = std::make_unique<io::Shard>(path);
    train::require_parameter_names(input.shard->parameter_names(), path);
    for (const io::Clip& clip : input.shard->clips()) {
      if (is_wanted(clip)) {
        list(clip);
      } else if (of_split(clip)) {
        ++anomalies_;
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

/// Notes a clip of the input being opened. io::UsageError if its row could not be told from one of an input before.
void ScoringInputs::list(const io::Clip& clip) {
  ++machines_[clip.machine];
  const std::string of_which = request_.each_machine ? clip.machine + "/" : std::string();
  const auto [first, is_new] = inputs_by_clip_.emplace(of_which + clip.path.string(), inputs_.size());
  if (is_new || first->second == inputs_.size()) {
    return;
  }
  throw io::UsageError(fmt::format(
      "'{}' and '{}' both have a clip '{}', and rows of the scores could not be told apart; score them one at a time "
      "(evaluate takes several tables)",
      request_.inputs[first->second].string(), request_.inputs[inputs_.size()].string(), clip.path.string()));
}

/// The clips to score, under the paths by which the table's rows can be told apart: as given where a recording is
/// given itself or there are several inputs, else as the manifest has them or below the folder.
ScoringInputs::Recordings ScoringInputs::open_recordings(const fs::path& path) {
  Recordings out{read_clips(path, has_manifest(path) ? declared_ : declared_of_files_), {}};
  io::Manifest& manifest = out.manifest;
  const bool is_recording = !fs::is_directory(path) && io::is_recording(path);
  select(manifest, is_recording);
  if (!request_.skip_bad) {
    require_recordings(manifest, path);
  }
  drop_repeated(manifest, path);
  const std::string of_which = request_.inputs.size() > 1 ? path.string() + ": " : std::string();
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
    } else if (request_.inputs.size() > 1) {
      clip.path = out.files.back().lexically_normal();
    }
    if (const auto fault = io::text_fault(clip.path.string())) {
      throw io::DataError("'" + clip.path.string() + "' " + fault->what + "; rename it");
    }
  }
  return out;
}

void ScoringInputs::select(io::Manifest& manifest, bool is_recording) {
  const auto other_split = [&](const io::Clip& clip) { return !is_recording && !of_split(clip); };
  if (const auto others = static_cast<int64_t>(std::erase_if(manifest.clips, other_split)); others > 0) {
    manifest.notes.push_back(
        fmt::format("left out: {} of the other split (--split all takes both)", count_text(others, "clip")));
  }
  if (request_.normal_only) {
    anomalies_ +=
        static_cast<int64_t>(std::erase_if(manifest.clips, [](const io::Clip& clip) { return clip.label == 1; }));
  }
}

bool ScoringInputs::of_split(const io::Clip& clip) const {
  return request_.split == "all" || (clip.split == io::Split::train) == (request_.split == "train");
}

bool ScoringInputs::is_wanted(const io::Clip& clip) const {
  return of_split(clip) && !(request_.normal_only && clip.label == 1);
}

Scoring::Scoring(const ScoringRequest& request, train::Detector& detector)
    : request_(request),
      detector_(detector),
      pool_(request.compute.threads),
      sound_notes_(detector.model().config.frontend, true) {}

Scoring::Scoring(std::shared_ptr<const ScoringInputs> inputs, std::string machine, train::Detector& detector)
    : Scoring(inputs->request_, detector) {
  inputs_ = std::move(inputs);
  machine_ = std::move(machine);
}

void Scoring::run() {
  if (!inputs_) {
    open();
  }
  for (const ScoringInputs::Input& input : inputs_->inputs_) {
    const io::Manifest& manifest = input.recordings.manifest;
    tables_.push_back(detector_.table(input.shard ? input.shard->parameter_names() : manifest.parameter_names, {},
                                      input.shard ? input.shard->categories() : manifest.categories));
    if (input.shard) {
      add_shard(*input.shard);
    } else {
      add_recordings(input.recordings);
    }
  }
}

void Scoring::open() {
  const io::ModelData& model = detector_.model();
  // What names of files say is text; 3 is a name where the model was trained on names.
  inputs_ = std::make_shared<const ScoringInputs>(request_, io::declared_categories(model.config.condition.parameters),
                                                  model.condition.category_names());
  inputs_->require_kinds(model.condition.names, model.condition.categories);
  require_own_machines(inputs_->machines(), detector_.model().provenance.machines, request_.other_machines);
  inputs_->print_notes();
}

void Scoring::finish() {
  status_.clear();
  if (!bad_.empty() && !request_.skip_bad) {
    std::string text = fmt::format("{} cannot be scored: ", count_text(static_cast<int64_t>(bad_.size()), "recording"));
    for (size_t i = 0; i < std::min(bad_.size(), most_bad_listed); ++i) {
      text += (i == 0 ? "" : "; ") + bad_[i];
    }
    if (bad_.size() > most_bad_listed) {
      text += fmt::format("; and {} more", bad_.size() - most_bad_listed);
    }
    throw io::DataError(text + "; repair them or add --skip-bad");
  }
  if (std::all_of(tables_.begin(), tables_.end(), [](const auto& table) { return table.clips.empty(); })) {
    if (!bad_.empty()) {
      throw io::DataError("none of the recordings can be scored: " + bad_.front());
    }
    throw io::DataError(fmt::format("no {}{} clip in '{}'; choose others with --split",
                                    request_.normal_only ? "normal " : "", request_.split,
                                    request_.inputs.front().string()));
  }
}

bool Scoring::of_machine(const io::Clip& clip) const {
  return !machine_ || clip.machine == *machine_;
}

void Scoring::add_shard(const io::Shard& shard) {
  const auto progress = [&](int64_t done, int64_t total) { show(done, total); };
  const auto kept = [&](const io::Clip& clip) { return inputs_->is_wanted(clip) && of_machine(clip); };
  if (machine_ && std::none_of(shard.clips().begin(), shard.clips().end(), kept)) {
    return;  // another machine's, whose frontend may be another too
  }
  tables_.back().clips = detector_.score(shard, kept, progress);
  for (const train::ClipScore& score : tables_.back().clips) {
    sound_notes_.add_frames(score.clip.path, score.silent);
  }
}

void Scoring::add_recordings(const ScoringInputs::Recordings& recordings) {
  std::vector<size_t> clips;
  for (size_t i = 0; i < recordings.manifest.clips.size(); ++i) {
    if (of_machine(recordings.manifest.clips[i])) {
      clips.push_back(i);
    }
  }
  // So many clips are decoded side by side, then scored in turn (a clip's windows side by side).
  const size_t group = 8 * static_cast<size_t>(pool_.threads());
  for (size_t first = 0; first < clips.size(); first += group) {
    const size_t count = std::min(group, clips.size() - first);
    score_group(recordings, std::span(clips).subspan(first, count));
    show(static_cast<int64_t>(first + count), static_cast<int64_t>(clips.size()));
  }
}

void Scoring::score_group(const ScoringInputs::Recordings& recordings, std::span<const size_t> clips) {
  const io::Manifest& manifest = recordings.manifest;
  std::vector<frontend::FileFeatures> features(clips.size());
  std::vector<std::string> errors(clips.size());
  pool_.run(static_cast<int64_t>(clips.size()), [&](int64_t item, int) {
    const auto i = static_cast<size_t>(item);
    try {
      features[i] = detector_.features(recordings.files[clips[i]]);
    } catch (const io::DataError& error) {
      errors[i] = error.what();
    }
  });
  for (size_t i = 0; i < clips.size(); ++i) {
    if (errors[i].empty()) {
      score_clip(manifest, manifest.clips[clips[i]], features[i], errors[i]);
    }
    if (!errors[i].empty()) {
      bad_.push_back(errors[i]);
    }
  }
}

void Scoring::score_clip(const io::Manifest& manifest, const io::Clip& clip, const frontend::FileFeatures& features,
                         std::string& error) {
  if (!bad_.empty() && !request_.skip_bad) {
    return;  // what is left is only looked through for bad files
  }
  try {
    std::vector<train::ClipScore>& clips = tables_.back().clips;
    clips.push_back(detector_.score(clip, features.logmel_db, manifest.parameter_names, manifest.categories));
    sound_notes_.add(clip.path, features.source, clips.back().silent);
  } catch (const io::DataError& refused) {
    error = refused.what();
  }
}

void Scoring::show(int64_t done, int64_t total) {
  throw_if_stopped();
  status_.show_clips(done, total);
}

}  // namespace evenflow::experiments
