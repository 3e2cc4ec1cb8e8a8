#include "experiments/command_line.h"

#include <CLI/CLI.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numeric>

#include "io/config.h"
#include "io/error.h"
#include "io/version.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* about =
    "evenflow trains detectors of anomalous machine sound that raise no false alarm when the machine's operating point "
    "(speed, load, ...) moves: recordings in, a trained flow, scored and evaluated recordings out.";

constexpr const char* first_steps =
    "Example, from nothing to a table of results:\n"
    "  evenflow synth rails --preset demo\n"
    "  evenflow prepare rails/manifest.csv --out features.h5\n"
    "  evenflow train features.h5 --run runs/first\n"
    "  evenflow score --model runs/first/model.h5 features.h5 --out scores.csv\n"
    "  evenflow evaluate scores.csv --model runs/first/model.h5\n"
    "\n"
    "Each command has its own help: evenflow train --help\n"
    "Exit codes: 0 done, 2 wrong usage, 3 wrong data, 130 interrupted.";

// Short names of the keys that are given most.
const std::map<std::string, std::string> aliases = {
    {"train.epochs", "--epochs"},   {"train.batch", "--batch"},         {"train.learning_rate", "--learning-rate"},
    {"train.seed", "--seed"},       {"train.threads", "--threads"},     {"train.device", "--device"},
    {"train.machine", "--machine"}, {"train.precision", "--precision"}, {"train.kernels", "--kernels"},
    {"condition.k", "--k"},
};

std::string type_text(const std::string& type) {
  if (type == "int") return "N";
  if (type == "float") return "X";
  if (type == "bool") return "true|false";
  if (type == "list of text") return "TEXT,...";
  if (type == "list of float") return "X,...";
  return "TEXT";
}

constexpr size_t help_width = 110, option_column = 38;

/// A paragraph in lines of at most `width` characters.
std::string wrapped(const std::string& text, size_t width) {
  std::string out;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (column > 0 && column + 1 + end - begin > width) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(begin, end - begin);
    column += end - begin;
    begin = end + 1;
  }
  return out;
}

/// CLI11's own range check writes itself into the help.
std::function<std::string(const std::string&)> in_range(double low, double high) {
  return [=](const std::string& text) -> std::string {
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= low && value <= high) return "";
    return fmt::format("'{}' must be a number from {:g} to {:g}", text, low, high);
  };
}

std::string not_empty(const std::string& name) {
  return name.empty() ? "an empty name is no file's; give one" : "";
}

/// Help in lines of help_width; the list of commands shows each one's first sentence.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(option_column); }
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description(), help_width) + "\n\n";
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(option->get_description(), help_width - option_column);
  }
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string& text = command->get_description();
    return fmt::format("  {:<12}{}\n", command->get_name(), text.substr(0, text.find(". ")));
  }
};

/// One command being described: CLI11 fills `to` while it parses.
template <class Arguments>
class Describe {
 public:
  Describe(CLI::App& program, const std::string& name, const std::string& what, const std::string& example)
      : app_(program.add_subcommand(name, what)) {
    app_->footer("Example:\n" + example);
  }
  Describe(const Describe&) = delete;
  Describe& operator=(const Describe&) = delete;

  Arguments& to() { return to_; }
  CLI::App& app() { return *app_; }

  CLI::Option* file(const std::string& names, fs::path& target, const std::string& help) {
    return app_
        ->add_option_function<std::string>(
            names, [&target](const std::string& text) { target = text; }, help)
        ->check(not_empty)
        ->type_name("FILE");
  }
  CLI::Option* file(const std::string& names, std::optional<fs::path>& target, const std::string& help) {
    return app_
        ->add_option_function<std::string>(
            names, [&target](const std::string& text) { target = fs::path(text); }, help)
        ->check(not_empty)
        ->type_name("FILE");
  }
  CLI::Option* files(const std::string& names, std::vector<fs::path>& target, const std::string& help) {
    return app_
        ->add_option_function<std::vector<std::string>>(
            names, [&target](const std::vector<std::string>& texts) { target.assign(texts.begin(), texts.end()); },
            help)
        ->check(not_empty)
        ->type_name("FILE");
  }
  template <class T>
  CLI::Option* number(const std::string& names, T& target, double low, double high, const std::string& help) {
    return app_->add_option(names, target, help)
        ->check(in_range(low, high))
        ->capture_default_str()
        ->type_name(std::is_floating_point_v<T> ? "X" : "N");
  }
  template <class T>
  CLI::Option* number(const std::string& names, std::optional<T>& target, double low, double high,
                      const std::string& help) {
    return app_
        ->add_option_function<T>(
            names, [&target](const T& value) { target = value; }, help)
        ->check(in_range(low, high))
        ->type_name(std::is_floating_point_v<T> ? "X" : "N");
  }
  CLI::Option* numbers(const std::string& names, std::vector<double>& target, const std::string& help) {
    return app_->add_option(names, target, help)->delimiter(',')->allow_extra_args(false)->type_name("X,...");
  }
  CLI::Option* word(const std::string& names, std::string& target, const std::vector<std::string>& choices,
                    const std::string& help) {
    CLI::Option* option = app_->add_option(names, target, help)->capture_default_str();
    if (choices.empty()) return option->type_name("TEXT");
    std::string shown;
    for (const std::string& choice : choices) shown += (shown.empty() ? "" : "|") + choice;
    return option->type_name(shown)->check([choices, shown](const std::string& text) {
      const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
      return known ? std::string() : "'" + text + "' must be " + shown;
    });
  }
  CLI::Option* flag(const std::string& names, bool& target, const std::string& help) {
    return app_->add_flag(names, target, help);
  }
  void force(bool& target) {
    flag("--force", target, "replace a file, or write in a folder, that is not evenflow's own");
  }
  void threads(int& target) { number("--threads", target, 0, 4096, "CPU threads; 0: one per core"); }
  void compute(Compute& target) {
    word("--device", target.device, {}, "\"auto\", \"cpu\" or \"cuda:N\"");
    threads(target.threads);
  }

  /// --config and a flag for every key for which `wanted` holds.
  void config(ConfigSource& target, const std::function<bool(const std::string&)>& wanted, bool short_names) {
    file("--config", target.file, "TOML file with the keys below; flags override it")->type_name("FILE.toml");
    const io::Config defaults;
    for (const io::ConfigKey& key : io::config_keys()) {
      if (!wanted(key.name)) continue;
      const std::string section = key.name.substr(0, key.name.find('.'));
      const auto alias = aliases.find(key.name);
      const std::string names = "--" + key.name + (short_names && alias != aliases.end() ? "," + alias->second : "");
      CLI::Option* option = app_->add_option_function<std::string>(
          names,
          [&target, name = key.name](const std::string& text) {
            target.flags.push_back({name, text});
          },
          key.help);
      option->type_name(type_text(key.type))->group("Section [" + section + "] of the configuration");
      if (const std::string text = key.get(defaults); !text.empty()) option->default_str(text);
    }
  }

 private:
  CLI::App* app_;
  Arguments to_;
};

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// "; did you mean --train.epochs?", or nothing if no candidate is near.
std::string suggestion(const std::string& unknown, const std::vector<std::string>& candidates) {
  const auto near = std::min_element(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    return edit_distance(unknown, a) < edit_distance(unknown, b);
  });
  if (near == candidates.end() || edit_distance(unknown, *near) > std::max<size_t>(2, unknown.size() / 3)) return "";
  return "; did you mean '" + *near + "'?";
}

std::vector<std::string> command_names(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

/// What to tell of an error of CLI11's: its own text, with the nearest option where one is unknown.
std::string sentence(const CLI::ParseError& error, const CLI::App& program) {
  std::string help = "evenflow";
  const CLI::App* chosen = &program;
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
    help += " " + chosen->get_name();
  }
  help += " --help";
  const std::vector<std::string> extra = program.remaining(true);
  const CLI::App& command = *chosen;
  const std::vector<std::string> below = command_names(command);
  const auto surplus = std::find_if(extra.begin(), extra.end(), [&](const std::string& word) {
    return word != "--" && (below.empty() || !word.starts_with('-'));
  });
  if (!below.empty() && surplus != extra.end())
    return "there is no " + command.get_name() + " '" + *surplus + "'" + suggestion(*surplus, below) + " (see " + help +
           ")";
  // Behind "--" nothing is an option; CLI11 counts the mark itself among what is left.
  const auto mark = std::find(extra.begin(), extra.end(), "--");
  for (auto argument = extra.begin(); argument != mark; ++argument) {
    if (!argument->starts_with('-')) continue;
    const std::string name = argument->substr(0, argument->find('='));
    std::vector<std::string> known;
    for (const CLI::Option* option : command.get_options())
      for (const std::string& long_name : option->get_lnames()) known.push_back("--" + long_name);
    if (std::find(known.begin(), known.end(), name) != known.end())
      return "option '" + name + "' belongs behind its command: evenflow " + command.get_name() + " " + name +
             " ... (see " + help + ")";
    return "unknown option '" + name + "'" + suggestion(name, known) + " (see " + help + ")";
  }
  if (!below.empty() && extra.empty())
    return "say which " + command.get_name() + ": " + fmt::format("{}", fmt::join(below, ", ")) + " (see " + help + ")";
  if (surplus != extra.end()) return "one argument too many: '" + *surplus + "' (see " + help + ")";
  return std::string(error.what()) + " (see " + help + ")";
}

ParameterValue parse_value(const std::string& text) {
  const size_t equals = text.find('=');
  ParameterValue out;
  if (equals != std::string::npos && equals > 0) {
    out.name = text.substr(0, equals);
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + equals + 1, end, out.value);
    if (error == std::errc() && stop == end && std::isfinite(out.value)) return out;
  }
  throw io::UsageError("--at '" + text + "' must be a parameter and a number: --at velocity_mm_s=300");
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  CLI::App program(about, "evenflow");
  program.formatter(std::make_shared<HelpFormatter>());
  program.set_version_flag("--version", fmt::format("evenflow {} (commit {})", io::version(), io::commit()),
                           "Release and commit");
  program.footer(first_steps);
  program.require_subcommand(1);

  Describe<PrepareArguments> prepare(
      program, "prepare",
      "Turns recordings into a feature shard. It holds log-mel frames in dB, with each clip's machine, split, label "
      "and parameters. INPUT is a recording (WAV, FLAC, OGG, Opus, W64, AIFF, CAF or MP3), a manifest CSV "
      "(path,split,label,machine,<parameters...>) or a folder, which is read by the manifest.csv in it, as DCASE Task "
      "2 "
      "(2020 to 2026), or by folders named normal, abnormal, train, test, id_00. What was guessed or left out is said.",
      "  evenflow prepare recordings/manifest.csv --out features.h5\n"
      "  evenflow prepare dev_data/slider --out slider.h5 --skip-bad");
  prepare.file("INPUT", prepare.to().input, "manifest CSV, folder of recordings or one recording")->required();
  prepare.file("--out", prepare.to().out, "the feature shard to write (HDF5)")->required();
  prepare.force(prepare.to().force);
  prepare.flag("--skip-bad", prepare.to().skip_bad, "list recordings that cannot be used and go on without them");
  prepare.word("--device", prepare.to().device, {},
               "where log-mel is computed: \"cpu\" (float64), \"cuda:N\" (float32, many clips at once) or \"auto\"; "
               "decoding and resampling stay on CPU threads");
  prepare.threads(prepare.to().threads);
  prepare.config(
      prepare.to().config,
      [](const std::string& key) { return key.starts_with("frontend.") || key == "window.window_frames"; }, false);

  Describe<TrainArguments> train(
      program, "train",
      "Trains a model on the normal training clips of one or more shards. It leaves a run folder: config.toml, "
      "model.h5 "
      "(best), last.h5, checkpoint.h5, metrics.csv, tensorboard/, log.txt. Ctrl-C saves; --resume goes on exactly "
      "where it stopped.",
      "  evenflow train features.h5 --run runs/first --epochs 20 --learning-rate 1e-3\n"
      "  evenflow train features.h5 --run runs/paper --config experiments/configs/paper.toml --seed 2\n"
      "  evenflow train --run runs/first --resume");
  train.files("SHARD", train.to().shards, "feature shards of `prepare`; with --resume those of the run");
  train.file("--run", train.to().run, "the run folder")->required()->type_name("FOLDER");
  train.flag("--resume", train.to().resume, "go on with the run in the folder, with its own configuration and shards");
  train.flag("--replace", train.to().replace, "put the new run in the place of one that is already in the folder");
  train.config(
      train.to().config, [](const std::string&) { return true; }, true);

  Describe<ScoreArguments> score(
      program, "score",
      "Scores clips with a trained model. It writes a CSV with every score, the estimated parameters and the decision "
      "of each clip. "
      "INPUT is any mix of recordings, folders, manifests and shards; recordings go through the model's own frontend "
      "settings.",
      "  evenflow score --model runs/first/model.h5 features.h5 --out scores.csv\n"
      "  evenflow score --model runs/first/model.h5 today/*.wav --out today.csv");
  score.file("--model", score.to().model, "the model (model.h5, last.h5)")->required();
  score.files("INPUT", score.to().inputs, "recordings, folders of recordings, manifests, DCASE folders or shards")
      ->required();
  score.file("--out", score.to().out, "the scores to write (CSV); -: standard output")->required();
  score.force(score.to().force);
  score.word("--split", score.to().split, {"train", "test", "all"},
             "which clips of manifests, folders and shards; a recording given itself is always scored");
  score.flag("--skip-bad", score.to().skip_bad, "list recordings that cannot be used and go on without them");
  score.compute(score.to().compute);

  Describe<EvaluateArguments> evaluate(
      program, "evaluate",
      "Says how good scores are. It shows AUC and pAUC of every score, error and correlation of the estimated "
      "parameters, "
      "and the quality of the decisions, over all clips, seen and unseen parameter values, single values, domains and "
      "machines.",
      "  evenflow evaluate scores.csv --model runs/first/model.h5 --out report\n"
      "  evenflow evaluate slider.csv fan.csv --dcase submission");
  evaluate.files("SCORES", evaluate.to().scores, "scores CSVs of `score`, taken together")->required();
  evaluate.file("--model", evaluate.to().model, "the model, whose training values tell seen from unseen ones");
  evaluate.files("--training", evaluate.to().training,
                 "shards the model was trained on: the same for a model that knows no parameters");
  evaluate.file("--out", evaluate.to().out, "folder for evaluation.csv, evaluation.json and a picture per parameter")
      ->type_name("FOLDER");
  evaluate
      .file(
          "--dcase", evaluate.to().dcase,
          "folder for DCASE Task 2's anomaly_score_*.csv, decision_result_*.csv and result.csv, as of 2021 and of 2022 "
          "and later")
      ->type_name("FOLDER");
  evaluate.force(evaluate.to().force);

  Describe<EncodeArguments> encode(
      program, "encode",
      "Writes what the flow makes of a shard, window by window. That is latents zc and zd, "
      "log-determinants, likelihoods, scores and estimates, as HDF5.",
      "  evenflow encode --model runs/first/model.h5 features.h5 --out latents.h5");
  encode.file("--model", encode.to().model, "the model")->required();
  encode.file("SHARD", encode.to().shard, "a feature shard of `prepare`")->required();
  encode.file("--out", encode.to().out, "the latents to write (HDF5)")->required();
  encode.force(encode.to().force);
  encode.compute(encode.to().compute);

  Describe<SampleArguments> sample(
      program, "sample",
      "Draws log-mel windows from a model, at parameter values of your choice. With --from it moves a recording there "
      "instead: \"this sound at 300 mm/s\". Parameters that are not given are drawn from, or stay, what they are.",
      "  evenflow sample --model runs/first/model.h5 --at velocity_mm_s=300 -n 8 --picture samples.png\n"
      "  evenflow sample --model runs/first/model.h5 --from clip.wav --at velocity_mm_s=300 --picture moved.png");
  std::vector<std::string> at;
  sample.file("--model", sample.to().model, "the model")->required();
  sample.app()
      .add_option("--at", at, "a parameter and its value, in the parameter's unit; once per parameter")
      ->allow_extra_args(false)
      ->type_name("NAME=X");
  sample.file("--from", sample.to().from, "a recording to move, instead of drawing windows");
  sample.number("-n,--count", sample.to().count, 1, 100000, "windows to draw, or at most to move");
  sample.number("--temperature", sample.to().temperature, 0.0, 10.0, "scale of the latent noise; 1: as the prior");
  sample.number("--seed", sample.to().seed, 0, 9.2e18, "of the noise");
  sample.file("--out", sample.to().out, "windows in dB to write (HDF5)");
  sample.file("--picture", sample.to().picture, "picture of the windows to write (PNG)");
  sample.force(sample.to().force);
  sample.compute(sample.to().compute);

  Describe<InfoArguments> info(program, "info",
                               "Describes a file or folder. It knows feature shard, model, checkpoint, latents, "
                               "samples, scores, manifest, run folder, folder of "
                               "recordings, or a recording.",
                               "  evenflow info runs/first/model.h5\n"
                               "  evenflow info features.h5");
  info.file("FILE", info.to().file, "a file or folder")->required();

  Describe<SynthArguments> synth(
      program, "synth",
      "Writes recordings of a simulated slide rail. They are normal ones for training, normal and anomalous ones for "
      "the "
      "test, with their manifest.csv. Every second velocity of the test (50 to 750 mm/s) is never in training.",
      "  evenflow synth rails --preset demo\n"
      "  evenflow synth rails-faint --preset paper --severity 0.5 --seed 2");
  SynthArguments& rails = synth.to();
  synth.file("OUT", rails.out, "the folder to make")->required()->type_name("FOLDER");
  synth.word("--preset", rails.preset, {"demo", "paper"},
             "\"paper\": 510 clips; \"demo\": the same conditions, fewer clips; the options below change it");
  synth.numbers("--train-velocities", rails.train_velocities_mm_s, "of the training clips, mm/s");
  synth.numbers("--test-velocities", rails.test_velocities_mm_s, "of the test clips, mm/s");
  synth.numbers("--train-distances", rails.train_distances_mm, "stroke of the training clips, mm");
  synth.numbers("--test-distances", rails.test_distances_mm, "stroke of the test clips, mm");
  synth.number("--train-clips", rails.train_clips, 0, 100000, "normal training clips per velocity and distance");
  synth.number("--normal-clips", rails.normal_clips, 0, 100000, "normal test clips per velocity and distance");
  synth.number("--anomaly-clips", rails.anomaly_clips, 0, 100000, "anomalous test clips per velocity and distance");
  synth.number("--duration", rails.duration_s, 0.1, 3600.0, "of a clip, s (10 in the presets)");
  synth.number("--severity", rails.severity, 0.0, 100.0, "of the fault (paper: 1.4, demo: 2; 0: none)");
  synth.number("--seed", rails.seed, 0, 9.2e18, "of everything that is random");
  synth.force(synth.to().force);
  synth.threads(rails.threads);

  Describe<ProfileArguments> profile(
      program, "profile",
      "Measures where a training step's time goes. It times every operation alone (median of the repetitions, 10th to "
      "90th "
      "percentile, with the caches cleared before it) and the step as a whole, on random weights and windows. Bytes "
      "and FLOP are counted from the shapes: each input read once, each output written once. Per cent are of a large "
      "copy and of a large matrix product measured in the same run. With --compare the exit code is 1 if anything is "
      "slower by more than 5 % and than both profiles' spread.",
      "  evenflow profile --device cuda:0 --out profiles/today\n"
      "  evenflow profile --config experiments/configs/paper.toml --precision bf16 --kernels fused\n"
      "  evenflow profile --device cpu --compare profiles/today/profile.json");
  profile.number("--repeat", profile.to().repeat, 3, 10000, "training steps to measure");
  profile.flag("--warm", profile.to().warm, "leave in the caches what the operation before left there");
  profile.flag("--nvtx", profile.to().nvtx,
               "name the operations for Nsight; on by itself where Nsight started the program");
  profile.file("--out", profile.to().out, "folder for profile.json, profile.csv and the picture roofline.svg")
      ->type_name("FOLDER");
  profile.file("--compare", profile.to().compare, "an older profile.json of this device and configuration");
  profile.force(profile.to().force);
  profile.config(
      profile.to().config,
      [](const std::string& key) {
        return key.starts_with("model.") || key.starts_with("condition.") || key == "frontend.mel_bands" ||
               key == "window.window_frames" || key == "train.device" || key == "train.threads" ||
               key == "train.batch" || key == "train.precision" || key == "train.kernels" || key == "train.seed" ||
               key == "train.clip_norm";
      },
      true);

  Describe<ReportArguments> report(
      program, "report",
      "Writes a page about one training. It shows the model, its learning curves, and what it makes of recordings: "
      "scores, threshold, AUC, estimates. It scores the features given or, if they are still there, those of the "
      "training.",
      "  evenflow report runs/first\n"
      "  evenflow report runs/first monday.h5 --out reports/monday");
  report.file("RUN", report.to().run, "a run folder of train")->required()->type_name("FOLDER");
  report.files("FEATURES", report.to().features, "feature shards to score");
  report.file("--out", report.to().out, "the report's folder; RUN/report if left out")->type_name("FOLDER");
  report.force(report.to().force);
  report.compute(report.to().compute);

  CLI::App* experiment =
      program.add_subcommand("experiment", "Runs whole experiments. Many trainings end in one table.");
  experiment->require_subcommand(1);
  experiment->footer(
      "Example:\n  evenflow experiment study rails/manifest.csv --out studies/rails\n\n"
      "Each experiment has its own help: evenflow experiment study --help");
  Describe<StudyArguments> study(
      *experiment, "study",
      "Trains the paper's four flows on your recordings and says how well they detect. The flows (single-scale and "
      "multi-scale, conventional and constrained) are trained with several seeds on the training clips of a manifest, "
      "and tables say how well each of their scores tells its anomalous test clips: AUC "
      "over all, seen and unseen values of the parameter and value by value, with 95 % intervals, differences to the "
      "conventional flow, and the estimates of the parameter. Ctrl-C stops; the same command goes on, and skips what "
      "is finished.",
      "  evenflow experiment study rails/manifest.csv --out studies/rails --config experiments/configs/demo.toml\n"
      "  evenflow experiment study bldc/manifest.csv --out bldc --config experiments/configs/bldc.toml "
      "--seeds 3");
  study.file("MANIFEST,--manifest", study.to().manifest, "manifest CSV with a parameter column, or a DCASE folder")
      ->required();
  study.file("--out", study.to().out, "the study's folder")->required()->type_name("FOLDER");
  study.force(study.to().force);
  study.number("--seeds", study.to().seeds, 1, 1000, "trainings of each flow, with the seeds 1, 2, ...");
  study.config(
      study.to().config, [](const std::string& key) { return key != "train.seed" && key != "condition.enabled"; },
      true);

  Describe<PaperArguments> paper(
      *experiment, "paper",
      "Reproduces the paper's study on generated recordings. It makes the slide rail's recordings, trains every system "
      "of the paper's table with several seeds, sweeps the strength of the constraint, and writes report.html with "
      "tables (CSV) and pictures (SVG, PNG) beside it. Every "
      "choice is made on held-out normal clips. Ctrl-C stops; the same command goes on, and skips what is finished. "
      "The whole study takes hours on a CPU.",
      "  evenflow experiment paper --quick --out quick\n"
      "  evenflow experiment paper --out studies/paper --device cuda:0");
  paper.file("--out", paper.to().out, "the study's folder")->type_name("FOLDER")->default_str("paper");
  paper.force(paper.to().force);
  CLI::Option* quick = paper.flag("--quick", paper.to().quick,
                                  "fewer clips, epochs and seeds: a first look in under 15 minutes on two cores");
  paper
      .flag("--miniature", paper.to().miniature,
            "the same code on next to nothing, in seconds; its figures mean nothing")
      ->excludes(quick);
  paper.number("--seeds", paper.to().seeds, 1, 1000, "trainings of each system, with the seeds 1, 2, ...");
  paper.number("--epochs", paper.to().epochs, 1, 1e9, "of every training");
  paper.compute(paper.to().compute);

  const std::vector<std::string> names = command_names(program);
  if (argc > 1 && argv[1][0] != '-' && std::find(names.begin(), names.end(), argv[1]) == names.end())
    throw io::UsageError(std::string("there is no command '") + argv[1] + "'" + suggestion(argv[1], names) +
                         " (see evenflow --help)");
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return ShowText{program.help()};
  } catch (const CLI::CallForVersion& version) {
    return ShowText{std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    throw io::UsageError(sentence(error, program));
  }
  for (const std::string& text : at) sample.to().at.push_back(parse_value(text));

  if (prepare.app().parsed()) return prepare.to();
  if (train.app().parsed()) return train.to();
  if (score.app().parsed()) return score.to();
  if (evaluate.app().parsed()) return evaluate.to();
  if (encode.app().parsed()) return encode.to();
  if (sample.app().parsed()) return sample.to();
  if (info.app().parsed()) return info.to();
  if (profile.app().parsed()) return profile.to();
  if (report.app().parsed()) return report.to();
  if (study.app().parsed()) return study.to();
  if (paper.app().parsed()) return paper.to();
  return synth.to();
}

}  // namespace evenflow::experiments
