// evenflow info: what a file is and what is in it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <system_error>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/export/export.h"
#include "experiments/monitor/state_file.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/sweep/standing.h"
#include "experiments/sweep/sweep.h"
#include "flow/factory.h"
#include "frontend/audio.h"
#include "frontend/features.h"
#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/dcase.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/latents_file.h"
#include "io/manifest.h"
#include "io/model_file.h"
#include "io/output_folder.h"
#include "io/run_folder.h"
#include "io/samples_file.h"
#include "io/shard.h"
#include "io/sound_format.h"
#include "io/text.h"
#include "io/version.h"
#include "kernels/check.h"
#include "kernels/device.h"
#include "train/detect/score.h"
#include "train/detect/score_set.h"
#include "train/loop/augmentation.h"
#include "train/loop/budget.h"
#include "train/statistics/conformal.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct InfoArguments {
  fs::path file;
};

void declare(Options& options, InfoArguments& arguments) {
  options.file("FILE", arguments.file, "a file or folder; without one: this program and this machine");
}

void line(std::string_view name, const std::string& value) {
  fmt::print("  {:<14} {}\n", io::escaped(name), io::escaped(value));
}

std::string frontend_text(const io::FrontendSettings& s) {
  return fmt::format("{} Hz, channel {}, FFT of {} every {} samples, {} padding, {} mel bands", s.sample_rate_hz,
                     s.channel, s.n_fft, s.hop_samples, io::name_of(s.pad_mode), s.mel_bands);
}

double seconds_of(int64_t frames, const io::FrontendSettings& settings) {
  return static_cast<double>(frames) * settings.hop_samples / settings.sample_rate_hz;
}

void describe_shard(const fs::path& file) {
  const io::Shard shard(file);
  fmt::print("{}: feature shard\n", io::escaped(file.string()));
  line("clips", std::to_string(shard.clips().size()));
  line("sound",
       fmt::format("{:.2f} h, {} frames", seconds_of(shard.frames(), shard.frontend()) / 3600.0, shard.frames()));
  fmt::print("{}", describe_clips(shard.clips(), shard.parameter_names(), shard.categories()));
  line("frontend", frontend_text(shard.frontend()) + (shard.device() == "cpu" ? "" : ", on " + shard.device()));
  line("data hash", shard.data_hash());
}

int64_t parameter_count(const io::ModelData& model) {
  int64_t count = 0;
  for (const io::Tensor& tensor : model.parameters) {
    count += static_cast<int64_t>(tensor.values.size());
  }
  return count;
}

void describe_condition(const io::ConditionData& condition) {
  if (condition.names.empty()) {
    line("condition", "none: unconstrained");
  }
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      line("condition", fmt::format("{}: k {:.6g}, trained with {}", condition.names[p], condition.k[p],
                                    fmt::join(condition.categories[p], ", ")));
      continue;
    }
    line("condition", fmt::format("{}: k {:.6g}, v0 {:.6g}, trained at {}", condition.names[p], condition.k[p],
                                  condition.v0[p], values_text(condition.training_values[p])));
  }
}

/// io::DataError unless the parameters make up the network that the configuration asks for.
void require_network(const fs::path& file, const io::ModelData& model) {
  try {
    flow::make_scoring_model(model.config, model.condition, {})->load(model.parameters);
    train::decided_by(model);
  } catch (const std::runtime_error& error) {
    throw io::DataError("'" + file.string() + "': " + error.what());
  }
}

/// What p-values rest on, and what the threshold keeps to if it rests on it as well.
void describe_conformal(const io::ModelData& model) {
  const io::ConformalData& conformal = *model.conformal;
  line("p-values", fmt::format("of {} of {:.1f} s: {} ({}, data {})", count_text(conformal.clips, "normal clip"),
                               seconds_of(conformal.clip_frames, model.config.frontend), conformal.source,
                               conformal.date, conformal.data_hash));
  std::vector<std::string> scores;
  std::transform(conformal.scores.begin(), conformal.scores.end(), std::back_inserter(scores),
                 [](const io::ConformalData::Score& one) { return one.score; });
  if (std::find(scores.begin(), scores.end(), model.threshold.score) == scores.end()) {
    line("", fmt::format("none of {}, which decides (evenflow calibrate gives them); of {}", model.threshold.score,
                         fmt::join(scores, ", ")));
  }
  if (model.threshold.method == "conformal") {
    const double rate = 1.0 - model.threshold.quantile;
    const train::RateRange range = train::conformal_rate_range(conformal.clips, rate);
    line("false alarms",
         fmt::format("of clips like these {:.3g} % at most, over all draws of {} normal clips; {:.2g} to "
                     "{:.2g} % for 95 of 100 draws",
                     100.0 * rate, conformal.clips, 100.0 * range.low, 100.0 * range.high));
  }
}

void describe_model(const fs::path& file) {
  const io::ModelData model = io::read_model(file);
  const io::Config& config = model.config;
  require_network(file, model);
  fmt::print("{}: {}\n", io::escaped(file.string()), model.progress ? "checkpoint" : "model");
  if (config.model.kind == io::ModelKind::vae) {
    line("autoencoder", fmt::format("{}, hidden width {}, {}, beta {:g}, gamma {:g}, {} parameters",
                                    count_text(config.vae.layers, "layer"), config.vae.hidden,
                                    count_text(config.vae.latents, "latent"), config.vae.beta, config.vae.gamma,
                                    parameter_count(model)));
  } else if (config.model.kind == io::ModelKind::classifier) {
    line("classifier", fmt::format("{}, hidden width {}, embedding of {}, {} parameters",
                                   count_text(config.classifier.layers, "layer"), config.classifier.hidden,
                                   config.classifier.embedding, parameter_count(model)));
  } else {
    line("flow", fmt::format("{}, {}, {} hidden channels, 1x1 {}, coupling {}, {} parameters",
                             count_text(config.model.blocks, "block"), count_text(config.model.steps, "step"),
                             config.model.hidden, io::name_of(config.model.invconv), io::name_of(config.model.coupling),
                             parameter_count(model)));
  }
  line("window", fmt::format("{} frames, hop {}, normaliser {}", config.window.window_frames,
                             config.window.window_hop_frames, io::name_of(config.window.normalise)));
  line("frontend", frontend_text(config.frontend));
  describe_condition(model.condition);
  if (!config.train.leave_out.empty()) {
    line("left out", fmt::format("{}", fmt::join(config.train.leave_out, ", ")));
  }
  if (config.augment.any()) {
    line("augmented", train::describe_augmentation(config.augment));
  }
  const io::ThresholdData& threshold = model.threshold;
  line("decision", std::isnan(threshold.value)
                       ? (model.progress ? "no threshold yet (the training has not finished)"
                                         : "no threshold: none could be fitted, or the training has not finished")
                       : fmt::format("anomalous when {} > {:.6g} ({})", threshold.score, threshold.value,
                                     train::describe(threshold)));
  if (const auto& calibration = model.normal.calibration) {
    const auto copies = static_cast<int64_t>(calibration->scores.front().value.size()) - calibration->clips;
    line("calibration", fmt::format("{}, {} of them copies at other speeds",
                                    count_text(calibration->clips + copies, "normal clip"), copies));
  }
  if (model.conformal) {
    describe_conformal(model);
  }
  const train::ScoreSet scores(flow::factory_of(config).scores(), model.normal);
  for (const flow::Score& score : scores.scores()) {
    line("score", fmt::format("{} ({}): {}", score.name, score.unit, score.meaning));
  }
  line("trained",
       fmt::format("{}, seed {}, on {}", model.provenance.date, model.provenance.seed, model.provenance.device));
  line("data hash", model.provenance.data_hash);
  line("evenflow", fmt::format("{} (commit {})", model.provenance.version, model.provenance.commit));
  if (!model.progress) {
    return;
  }
  const io::ProgressData& progress = *model.progress;
  line("progress", fmt::format("{} finished, then {}; to be {}", count_text(progress.epoch, "epoch"),
                               count_text(progress.step_in_epoch, "step"), train::describe_budget(config.train)));
  if (progress.best_epoch >= 0) {
    line("best", fmt::format("loss {:.4f} nats per dimension, in epoch {}", progress.best_loss, progress.best_epoch));
  }
}

void describe_latents(const fs::path& file) {
  const io::LatentsSummary latents = io::read_latents_summary(file);
  fmt::print("{}: latents\n", io::escaped(file.string()));
  line("zc", fmt::format("{} x {} (windows, elements)", latents.windows, latents.zc_size));
  line("zd", fmt::format("{} x {} (windows, elements)", latents.windows, latents.zd_size));
  line("clips", std::to_string(latents.clips));
  std::string names;
  for (const std::string& name : latents.estimated) {
    names += (names.empty() ? "" : ", ") + name;
  }
  line("estimates", names.empty() ? "none" : names);
}

void describe_samples(const fs::path& file) {
  const io::Samples samples = io::read_samples(file);
  fmt::print("{}: {}\n", io::escaped(file.string()), samples.from ? "a moved recording" : "samples");
  line("windows",
       fmt::format("{} x {} x {} (windows, mel bands, frames), dB", samples.windows, samples.bands, samples.frames));
  line("model", samples.model);
  for (size_t p = 0; p < samples.names.size(); ++p) {
    line(samples.names[p].c_str(), std::isnan(samples.values[p]) ? "not set" : fmt::format("{:g}", samples.values[p]));
  }
}

void describe_hdf5(const fs::path& file) {
  const std::string kind = io::read_kind(file);
  if (kind == "evenflow shard") {
    describe_shard(file);
  } else if (kind == "evenflow model") {
    describe_model(file);
  } else if (kind == "evenflow latents") {
    describe_latents(file);
  } else if (kind == "evenflow samples") {
    describe_samples(file);
  } else {
    throw io::DataError("'" + file.string() + "' is an " + kind +
                        ", which this program does not know; use a newer one");
  }
}

void describe_scores(const fs::path& file) {
  const train::ScoreTable table = train::read_scores(file);
  std::vector<io::Clip> clips;
  for (const train::ClipScore& score : table.clips) {
    clips.push_back(score.clip);
  }
  fmt::print("{}: scores\n", io::escaped(file.string()));
  line("clips", std::to_string(clips.size()));
  fmt::print("{}", describe_clips(clips, table.parameter_names, table.categories));
  const auto anomalous =
      std::count_if(table.clips.begin(), table.clips.end(), [](const auto& clip) { return clip.decision == 1; });
  line("scores", fmt::format("{}", fmt::join(table.score_names, ", ")));
  const auto no_score = std::count_if(table.clips.begin(), table.clips.end(),
                                      [](const auto& clip) { return !std::isfinite(clip.score); });
  line("decisions", count_text(anomalous, "clip") + " anomalous" +
                        (no_score > 0 ? fmt::format("; {} without a finite score", count_text(no_score, "clip")) : ""));
}

void describe_recordings(const fs::path& file, const char* what) {
  const io::Manifest manifest = read_clips(file);
  fmt::print("{}: {}\n", io::escaped(file.string()), what);
  line("recordings", std::to_string(manifest.clips.size()));
  fmt::print("{}", describe_clips(manifest.clips, manifest.parameter_names, manifest.categories));
  for (const std::string& note : manifest.notes) {
    line("note", note);
  }
}

void describe_recording(const fs::path& file) {
  const io::FrontendSettings settings;
  const frontend::Audio audio = frontend::read_audio(file, settings);
  const std::vector<float>& samples = audio.samples;
  double peak = 0.0, squares = 0.0;
  for (const float sample : samples) {
    peak = std::max(peak, std::abs(static_cast<double>(sample)));
    squares += static_cast<double>(sample) * sample;
  }
  const auto decibel = [](double x) { return x > 0.0 ? fmt::format("{:.1f} dB", 20.0 * std::log10(x)) : "silence"; };
  fmt::print("{}: recording (read as mono at {} Hz)\n", io::escaped(file.string()), settings.sample_rate_hz);
  line("recorded", fmt::format("{} Hz, {}", audio.source.rate_hz, count_text(audio.source.channels, "channel")));
  if (!audio.source.note.empty()) {
    line("note", audio.source.note);
  }
  line("length", duration_text(static_cast<double>(samples.size()) / settings.sample_rate_hz));
  line("peak", decibel(peak));
  line("rms", decibel(std::sqrt(squares / static_cast<double>(samples.size()))));
  const int64_t frames = frontend::LogMel(settings).frames(static_cast<int64_t>(samples.size()));
  line("windows", std::to_string(frontend::windows_in(frames, {})));
}

/// The last row of a run's metrics.csv; empty: there is none.
std::string progress_text(const fs::path& metrics) {
  if (!fs::exists(metrics)) {
    return "";
  }
  const auto rows = io::read_csv(metrics);
  if (rows.size() < 2) {
    return "";
  }
  const auto value = [&](const std::string& column) -> std::string {
    const auto found = std::find(rows[0].begin(), rows[0].end(), column);
    const auto i = static_cast<size_t>(found - rows[0].begin());
    return i < rows.back().size() ? rows.back()[i] : "";
  };
  return fmt::format("{}: loss {}, validation {}, {} windows/s", value("epoch"), value("train_loss"),
                     value("validation_loss"), value("windows_per_s"));
}

void describe_run(const fs::path& folder) {
  const io::RunFolder run = io::RunFolder::open(folder);
  fmt::print("{}: run folder\n", io::escaped(folder.string()));
  for (const fs::path& shard : run.shards()) {
    line("shard", shard.string());
  }
  if (const std::string progress = progress_text(run.metrics()); !progress.empty()) {
    line("last epoch", progress);
  }
  for (const fs::path& file : {run.model(), run.checkpoint()}) {
    if (fs::exists(file)) {
      describe_model(file);
    }
  }
}

/// The run folders in a folder, in the order of their names.
std::vector<io::RunFolder> runs_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "config.toml") && fs::exists(entry.path() / "log.txt")) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<io::RunFolder> runs;
  std::transform(found.begin(), found.end(), std::back_inserter(runs), io::RunFolder::open);
  return runs;
}

void describe_runs(const fs::path& folder, const std::vector<io::RunFolder>& runs) {
  fmt::print("{}: folder of {}\n", io::escaped(folder.string()), count_text(std::ssize(runs), "run"));
  for (const io::RunFolder& run : runs) {
    const std::string progress = progress_text(run.metrics());
    line(run.path().filename().string(), progress.empty() ? "no epoch yet" : "epoch " + progress);
  }
}

void describe_study_table(const fs::path& file) {
  const auto rows = io::read_csv(file);
  fmt::print("{}: table of a study\n", io::escaped(file.string()));
  line("rows", std::to_string(rows.size() - 1));
  line("columns", fmt::format("{}", fmt::join(rows.front(), ", ")));
}

void describe_comparison(const fs::path& file) {
  const auto rows = io::read_csv(file);
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].size() != rows.front().size()) {
      throw io::DataError(fmt::format("'{}' has {} of {} cells in row {}; write it again with evenflow compare --out",
                                      file.string(), rows[i].size(), rows.front().size(), i + 1));
    }
  }
  const auto distinct = [&](size_t column, const std::string& part) {
    std::vector<std::string> values;
    for (size_t i = 1; i < rows.size(); ++i) {
      const std::string& value = rows[i].at(column);
      if ((part.empty() || rows[i].at(0) == part) && std::find(values.begin(), values.end(), value) == values.end()) {
        values.push_back(value);
      }
    }
    return values;
  };
  constexpr size_t part = 0, name = 1, run = 2;
  fmt::print("{}: comparison\n", io::escaped(file.string()));
  line("rows", std::to_string(rows.size() - 1));
  if (rows.size() > 1) {
    line("of", fmt::format("{}", fmt::join(distinct(run, ""), ", ")));
    line("parts", fmt::format("{}", fmt::join(distinct(part, ""), ", ")));
  }
  if (const std::vector<std::string> settings = distinct(name, "setting"); !settings.empty()) {
    line("settings", fmt::format("{}", fmt::join(settings, ", ")));
  }
}

bool has_scores(const fs::path& cell) {
  return std::any_of(fs::directory_iterator(cell), fs::directory_iterator(),
                     [](const fs::directory_entry& entry) { return is_scores_table(entry.path()); });
}

/// What a study, a family of rails, or a choice left, finished or not.
void describe_experiment(const fs::path& folder, const std::string& kind) {
  fmt::print("{}: {}\n", io::escaped(folder.string()), kind);
  int64_t begun = 0, scored = 0;
  std::vector<std::string> tables;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    const fs::path& path = entry->path();
    if (path.filename() == "run") {
      ++begun;
      scored += has_scores(path.parent_path()) ? 1 : 0;
      entry.disable_recursion_pending();
    } else if (path.extension() == ".csv" && is_study_table(path)) {
      tables.push_back(fs::relative(path, folder).string());
    }
  }
  std::sort(tables.begin(), tables.end());
  line("trainings", fmt::format("{} begun, {} scored", begun, scored));
  line("tables", tables.empty() ? "none yet" : fmt::format("{}", fmt::join(tables, ", ")));
}

void describe_sweep(const fs::path& folder) {
  const Sweep sweep = open_sweep(folder);
  fmt::print("{}: sweep\n", io::escaped(folder.string()));
  line("trials", progress_text(sweep));
  line("sampler", std::string(io::name_of(sweep.file.sampler)));
  for (size_t i = 0; i < sweep.file.objectives.size(); ++i) {
    const std::vector<size_t> best = best_of(sweep);
    line(io::name_of(sweep.file.objectives[i]),
         best.empty() ? "unknown yet"
                      : fmt::format("best {}", value_text(sweep, sweep.state.trials()[best.front()], i)));
  }
  for (const io::Domain& domain : sweep.file.space) {
    line("varies", domain.key);
  }
}

void describe_folder(const fs::path& folder) {
  const std::string kind = io::kind_of_folder(folder);
  if (kind.starts_with("study") || kind == "choice" || kind.starts_with("family")) {
    describe_experiment(folder, kind);
  } else if (kind == "sweep") {
    describe_sweep(folder);
  } else if (fs::exists(folder / "config.toml")) {
    describe_run(folder);
  } else if (fs::exists(folder / "manifest.csv")) {
    describe_recordings(folder / "manifest.csv", "manifest");
  } else if (const std::vector<io::RunFolder> runs = runs_in(folder); !runs.empty()) {
    describe_runs(folder, runs);
  } else {
    describe_recordings(folder, io::is_dcase_folder(folder) ? "DCASE folder" : "folder of recordings");
  }
}

void describe_configuration(const fs::path& file) {
  const io::Config config = io::read_config(file), defaults;
  fmt::print("{}: configuration\n", io::escaped(file.string()));
  for (const io::ConfigKey& key : io::config_keys()) {
    if (key.get(config) != key.get(defaults)) {
      fmt::print("  {:<28} {}\n", key.name, key.get(config));
    }
  }
  fmt::print("All other keys are the defaults.\n");
}

void describe_graph(const fs::path& file) {
  const onnx::GraphFile graph = onnx::read_graph(file);
  fmt::print("{}: ONNX graph, opset {}\n", io::escaped(file.string()), graph.opset);
  line("what", graph.meaning);
  line("takes", fmt::format("{}", fmt::join(graph.inputs, ", ")));
  line("gives", fmt::format("{}", fmt::join(graph.outputs, ", ")));
  for (const char* key : {"frontend", "window", "threshold", "p_value", "condition", "provenance"}) {
    if (const auto found = graph.metadata.find(key); found != graph.metadata.end()) {
      line(key, found->second);
    }
  }
}

void describe_monitor_state(const fs::path& file) {
  fmt::print("{}: state of a monitor\n", io::escaped(file.string()));
  for (const auto& [machine, heard] : monitor::describe_state(file)) {
    line(machine, heard);
  }
}

void describe_text(const fs::path& file) {
  const std::string begin = io::read_text(file).substr(0, 4096);
  if (begin.find('\0') != std::string::npos) {
    throw io::DataError("'" + file.string() + "' is not of a kind that evenflow knows; check the path");
  } else if (monitor::is_state(file)) {
    describe_monitor_state(file);
  } else if (is_scores_table(file)) {
    describe_scores(file);
  } else if (is_study_table(file)) {
    describe_study_table(file);
  } else if (is_comparison_table(file)) {
    describe_comparison(file);
  } else {
    describe_recordings(file, "manifest");
  }
}

// What a report of a fault or of a speed should begin with.
void describe_machine() {
  line("evenflow", fmt::format("{} (commit {})", io::version(), io::commit()));
  line("--device cpu", kernels::describe({}));
  try {
    line("--device cuda:0", kernels::describe(kernels::parse_device("cuda:0")));
  } catch (const kernels::DeviceError& error) {
    line("--device cuda:0", error.what());
  }
}

int run(const InfoArguments& arguments) {
  const fs::path& file = arguments.file;
  if (file.empty()) {
    describe_machine();
    return exit_ok;
  }
  std::error_code error;
  if (!fs::exists(file, error)) {
    throw io::DataError("'" + file.string() + "' does not exist; check the path");
  }
  if (fs::is_directory(file)) {
    describe_folder(file);
  } else if (!fs::is_regular_file(file)) {
    throw io::DataError("'" + file.string() + "' is a pipe or a device, not a file on disk; copy it to one");
  } else if (io::looks_like_hdf5(file)) {
    describe_hdf5(file);
  } else if (file.extension() == ".toml") {
    describe_configuration(file);
  } else if (io::is_recording(file)) {
    describe_recording(file);
  } else if (onnx::is_own_graph(io::read_beginning(file))) {
    describe_graph(file);
  } else {
    describe_text(file);
  }
  return exit_ok;
}

}  // namespace

Command info_command() {
  return make_command<InfoArguments>(
      "info",
      "Describes a file or folder, or, without one, this program and this machine. It knows feature shards, models, "
      "checkpoints, latents, samples, scores, manifests, "
      "run folders and folders of them, studies, choices and their tables, sweeps, states of monitors, folders of "
      "recordings, recordings, and exported graphs.",
      "  evenflow info runs/first/model.h5\n"
      "  evenflow info features.h5\n"
      "  evenflow info",
      declare, run);
}

}  // namespace evenflow::experiments
