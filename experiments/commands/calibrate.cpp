// evenflow calibrate: a model's deciding score and threshold anew, from normal recordings and without training.
#include <fmt/format.h>

#include <optional>

#include "experiments/calibrate/normals.h"
#include "experiments/calibrate/refit.h"
#include "experiments/choose/left_out.h"
#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/report/score_notes.h"
#include "experiments/scoring.h"
#include "io/error.h"
#include "io/model_file.h"
#include "io/text.h"
#include "io/utc_time.h"
#include "train/detect/decision.h"
#include "train/detect/operating_points.h"
#include "train/detect/score.h"
#include "train/statistics/conformal.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct CalibrateArguments {
  fs::path model;
  std::optional<fs::path> out;
  ScoringRequest request = {.normal_only = true};
  std::string score;                 ///< empty: the model's
  bool refit = false;                ///< learn the calibrated scores anew
  std::optional<fs::path> left_out;  ///< a choice's folder, in place of recordings
  std::optional<double> false_alarms, per_day;
  bool force = false;  ///< replace what is not evenflow's own
};

constexpr double least_rate = 1e-9, most_rate = 0.999;

void declare(Options& options, CalibrateArguments& arguments) {
  options.file("MODEL", arguments.model, "the model (model.h5, last.h5)").required();
  const Option on =
      options.files("--on", arguments.request.inputs,
                    "normal recordings that the model was not trained on: recordings, folders, manifests, DCASE "
                    "folders or shards");
  const Option rate = options
                          .number("--false-alarms", arguments.false_alarms, least_rate, most_rate,
                                  "the share of normal clips that may raise an alarm")
                          .default_text("the model's");
  options
      .number("--per-day", arguments.per_day, least_rate, 1e9,
              "the same as a number of false alarms in a day of listening without a pause")
      .excludes(rate);
  options.word("--score", arguments.score, {}, "the score to decide by").shown_as("NAME").default_text("the model's");
  const Option refit = options.flag("--refit", arguments.refit,
                                    "learn anew what the calibrated scores are measured against, from half of the "
                                    "clips (300 at most); the others set "
                                    "the threshold");
  options
      .file(
          "--left-out", arguments.left_out,
          "in place of recordings: what the clips of values left out scored in the trainings of `choose`, whose folder "
          "this is. For operating points that nobody recorded")
      .shown_as("FOLDER")
      .excludes(on)
      .excludes(refit);
  options.file("--out", arguments.out, "write the model there and leave MODEL as it is");
  options.force(arguments.force);
  declare_scoring(options, arguments.request);
}

/// What clips of one length are in a day.
struct ClipLength {
  double seconds = 0;
  double per_day() const { return 86400.0 / seconds; }
};

ClipLength clip_length_of(const io::ModelData& model) {
  const io::FrontendSettings& frontend = model.config.frontend;
  return {static_cast<double>(model.conformal->clip_frames) * frontend.hop_samples / frontend.sample_rate_hz};
}

/// The share of clips that was asked for; it needs the clips' length.
double rate_of(const CalibrateArguments& arguments, const io::ModelData& model, const io::ThresholdData& before) {
  if (!arguments.per_day) {
    return arguments.false_alarms.value_or(1.0 - before.quantile);
  }
  const ClipLength clips = clip_length_of(model);
  const double rate = *arguments.per_day / clips.per_day();
  if (!(rate <= most_rate)) {
    throw io::UsageError(fmt::format("--per-day {:g} is more than the {:.0f} clips of {:.1f} s in a day; ask for fewer",
                                     *arguments.per_day, clips.per_day(), clips.seconds));
  }
  return rate;
}

/// What of the notes tells why there are so few clips: "; left out: 2 clips with the sound of another".
std::string left_out_text(const std::vector<std::string>& notes) {
  std::string text;
  for (const std::string& note : notes) {
    text += note.starts_with("left out: ") ? fmt::format("; {}", note) : "";
  }
  return text;
}

/// conformal_rule, whose error also speaks of clips that were left out, and of days if they were asked for.
io::ThresholdData rule_of(const CalibrateArguments& arguments, const io::ModelData& model, const std::string& score,
                          double rate, const std::vector<std::string>& notes) {
  try {
    return train::conformal_rule(model, score, rate);
  } catch (const io::DataError& error) {
    if (!arguments.per_day) {
      throw io::DataError(fmt::format("{}{}", error.what(), left_out_text(notes)));
    }
    const ClipLength clips = clip_length_of(model);
    const double least = clips.per_day() / (static_cast<double>(model.conformal->clips) + 1.0);
    throw io::DataError(
        fmt::format("{:g} false alarms a day are {:.3g} % of clips of {:.1f} s, and these clips support "
                    "{:.3g} a day or more: {}{}",
                    *arguments.per_day, 100.0 * rate, clips.seconds, least, error.what(), left_out_text(notes)));
  }
}

void print_result(const io::ModelData& model, const fs::path& out) {
  fmt::print("Calibrated on {} -> {}\nAnomalous when {} > {:.6g} ({}).\n",
             count_text(model.conformal->clips, "normal clip"), out.string(), model.threshold.score,
             model.threshold.value, train::describe(model.threshold));
}

/// Of a threshold by clips of values left out.
void print_guess(const io::ModelData& model, double rate) {
  fmt::print(
      "Where nothing was recorded about {:.3g} % of normal clips are expected to raise a false alarm, going by the {} "
      "clips of values left out, which other trainings scored: an estimate, and no bound. At recorded values there "
      "should be fewer.\n",
      100.0 * rate, model.conformal->clips);
}

void print_promise(const io::ModelData& model, double rate) {
  const ClipLength clips = clip_length_of(model);
  const double a_day = rate * clips.per_day();
  const train::RateRange range = train::conformal_rate_range(model.conformal->clips, rate);
  fmt::print(
      "Of new clips like these at most {:.3g} % raise a false alarm: with clips of {:.1f} s, {} in a day of listening "
      "without a pause.\nThat is over all draws of {}; for these it may be {:.2g} to {:.2g} % (in 95 of 100 draws).\n",
      100.0 * rate, clips.seconds, a_day < 100.0 ? fmt::format("{:.3g}", a_day) : fmt::format("{:.0f}", a_day),
      count_text(model.conformal->clips, "normal clip"), 100.0 * range.low, 100.0 * range.high);
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) {
    fmt::print("{}{}\n", note.starts_with("warning: ") ? "" : "note: ", io::escaped(note));
  }
}

void print_notes(const Scoring& scoring) {
  for (const std::string& line : scoring.notes()) {
    fmt::print("{}\n", io::escaped(one_line(line)));
  }
  for (const std::string& sentence : scoring.bad()) {
    fmt::print("skipped: {}\n", io::escaped(one_line(sentence)));
  }
}

/// What clips are scored by: what will decide, as far as the model has it before a refit. The threshold is still to be
/// found, and no decision is read.
train::DecisionRequest scored_by(const CalibrateArguments& arguments) {
  if (arguments.refit) {
    return {};
  }
  return {.score = arguments.score, .threshold = 0.0};
}

/// p-values and threshold by what was left out of a choice's trainings.
int run_on_left_out(const CalibrateArguments& arguments, const io::ModelData& before, const std::string& score,
                    const fs::path& out) {
  std::vector<std::string> notes;
  const train::ScoreTable table = read_left_out(*arguments.left_out, before, notes);
  io::ModelData model = before;
  model.conformal = train::conformal_data(table.score_names, table.clips);
  if (!before.conformal) {
    throw io::DataError(
        fmt::format("'{}' was trained without held-out clips, which tell how long its clips are; train it with "
                    "train.validation_fraction above 0, or calibrate it --on recordings first",
                    arguments.model.string()));
  }
  if (!model.conformal) {
    throw io::DataError(fmt::format("no score is finite of all clips in '{}'; remove that folder and choose anew",
                                    arguments.left_out->string()));
  }
  model.conformal->clip_frames = before.conformal->clip_frames;
  model.conformal->estimate_distance = before.conformal->estimate_distance;
  model.conformal->data_hash = before.provenance.data_hash;
  model.conformal->source = fmt::format("values left out of {}", io::escaped(arguments.left_out->string()));
  model.conformal->date = io::utc_now();
  const double rate = rate_of(arguments, model, before.threshold);
  if (const int64_t least = train::conformal_clips(rate); model.conformal->clips < least) {
    throw io::DataError(fmt::format(
        "a rate of {:.3g} % takes {} clips of values left out, and there are {}; ask for {:.3g} % or more, or choose "
        "again on more recordings",
        100.0 * rate, least, model.conformal->clips, 100.0 / (static_cast<double>(model.conformal->clips) + 1.0)));
  }
  model.threshold = train::conformal_rule(model, score, rate);
  io::write_model(out, model);
  print_result(model, out);
  print_guess(model, rate);
  print_notes(notes);
  return exit_ok;
}

int run(const CalibrateArguments& arguments) {
  stop_on_signals();
  if (arguments.request.inputs.empty() && !arguments.left_out) {
    throw io::UsageError("say what to calibrate on: --on and normal recordings, or --left-out and a choice's folder");
  }
  if (arguments.left_out && (arguments.request.skip_bad || arguments.request.other_machines)) {
    throw io::UsageError("--left-out reads no recordings; leave out --skip-bad and --other-machines");
  }
  Outputs outputs(arguments.force);
  if (arguments.left_out) {
    for (const char* name : {left_out_file, "choice.toml", "choice.txt"}) {
      outputs.reads(*arguments.left_out / name, "the choice");
    }
  }
  for (const fs::path& input : arguments.request.inputs) {
    outputs.reads_recordings(input);
  }
  if (arguments.out) {
    outputs.reads(arguments.model, "the model");
    outputs.writes(*arguments.out, FileKind::model);
  }
  const io::ModelData before = io::read_model(arguments.model);
  if (before.progress) {
    throw io::UsageError(fmt::format(
        "'{}' is a checkpoint, which a training goes on from; calibrate its run's model.h5", arguments.model.string()));
  }
  const fs::path out = arguments.out.value_or(arguments.model);
  require_writable(out);
  const Compute& compute = arguments.request.compute;
  train::Detector detector(arguments.model, compute.device, compute.threads, scored_by(arguments));
  const std::string score = arguments.refit && !arguments.score.empty() ? arguments.score : detector.score_name();
  if (arguments.refit) {
    require_refit(detector, score);
  }
  if (arguments.left_out) {
    return run_on_left_out(arguments, before, score, out);
  }
  Scoring scoring(arguments.request, detector);
  scoring.run();
  scoring.finish();
  train::ScoreTable table = scoring.table();
  std::vector<std::string> notes;
  keep_normals(table, before, notes);

  io::ModelData model = before;
  if (arguments.refit) {
    model.normal.calibration = refit_calibration(detector, score, table);
    notes.push_back(fmt::format("calibrated scores were learnt anew from {}, without their operating points",
                                count_text(model.normal.calibration->clips, "further clip")));
  }
  model.conformal = train::conformal_data(table.score_names, table.clips);
  for (const fs::path& input : arguments.request.inputs) {
    model.conformal->source += (model.conformal->source.empty() ? "" : ", ") + io::escaped(input.string());
  }
  model.conformal->date = io::utc_now();
  std::vector<std::vector<double>>& distances = model.conformal->estimate_distance;
  distances = train::estimate_distances(model.condition, {table.parameter_names, table.categories}, table.clips);
  if (distances.empty() && !model.condition.names.empty()) {
    notes.emplace_back(
        "no clip is known to be at an operating point of the training, so what monitor calls a shift stays as it was");
    if (before.conformal) {
      distances = before.conformal->estimate_distance;
    }
  }
  const double rate = rate_of(arguments, model, before.threshold);
  model.threshold = rule_of(arguments, model, score, rate, notes);
  io::write_model(out, model);

  print_result(model, out);
  print_promise(model, rate);
  for (std::string& note : unlike_normals(table, model.threshold.score, model.threshold.value)) {
    notes.push_back("warning: " + std::move(note));
  }
  for (std::string& outside :
       outside_calibration_texts(train::outside_calibration(table, train::trained_names(model.condition)))) {
    notes.push_back(std::move(outside));
  }
  print_notes(notes);
  print_notes(scoring);
  return exit_ok;
}

}  // namespace

Command calibrate_command() {
  return make_command<CalibrateArguments>(
      "calibrate",
      "Sets a model's threshold from normal recordings, without training. The threshold keeps the rate of false alarms "
      "that is asked for, whatever the scores' distribution; recordings that are too few for it are refused. From then "
      "on every clip's score has a p-value, and what monitor calls a shift is measured on these recordings, if they "
      "are known to be at operating points of the training.",
      "  evenflow calibrate runs/first/model.h5 --on normals/ --false-alarms 0.05\n"
      "  evenflow calibrate runs/first/model.h5 --left-out choice --false-alarms 0.05\n"
      "  evenflow calibrate runs/first/model.h5 --on normals.h5 --score score_calibrated --refit --out calibrated.h5",
      declare, run);
}

}  // namespace evenflow::experiments
