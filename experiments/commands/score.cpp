// evenflow score: clips to scores, through a trained model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/report/evaluation.h"
#include "experiments/scoring.h"
#include "frontend/features.h"
#include "io/error.h"
#include "io/standard_output.h"
#include "io/text.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ScoreArguments {
  fs::path model, out;
  ScoringRequest request;
  train::DecisionRequest decision;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, ScoreArguments& arguments) {
  options.file("--model", arguments.model, "the model (model.h5, last.h5)").required();
  options
      .files("INPUT", arguments.request.inputs, "recordings, folders of recordings, manifests, DCASE folders or shards")
      .required();
  options.file("--out", arguments.out, "the scores to write (CSV); -: standard output").required();
  options.force(arguments.force);
  declare_scoring(options, arguments.request);
  options.word("--score", arguments.decision.score, {}, "decide by this score in place of the model's, this time")
      .shown_as("NAME");
  constexpr double any = 1e300;
  const Option threshold = options.number("--threshold", arguments.decision.threshold, -any, any,
                                          "decide by this threshold in place of the model's, this time");
  options
      .number("--false-alarms", arguments.decision.false_alarms, 1e-9, 0.999,
              "decide by the threshold that this share of normal clips exceeds, this time; the model must know normal "
              "clips that it was not trained on (evenflow calibrate)")
      .excludes(threshold);
}

constexpr size_t listed_at_most = 3;

/// Of a single clip, what a person asked for.
std::string clip_text(const train::Detector& detector, const train::ClipScore& clip) {
  const std::string decision = clip.decision == 1 ? "anomalous" : clip.decision == 0 ? "normal" : "no decision";
  const std::string p = std::isnan(clip.p_value) ? std::string() : fmt::format(" (p {:.3g})", clip.p_value);
  return fmt::format("{}: {} {:.6g}{}, {}", clip.clip.path.string(), detector.score_name(), clip.score, p, decision);
}

std::string decisions_text(const train::Detector& detector, const std::vector<train::ClipScore>& scores) {
  const io::ThresholdData& threshold = detector.model().threshold;
  if (std::isnan(threshold.value)) {
    return "The model has no threshold, so no decisions were made.";
  }
  const auto anomalous = std::count_if(scores.begin(), scores.end(), [](const auto& s) { return s.decision == 1; });
  return fmt::format("{} decided anomalous: {} above {:.6g} ({}).", count_text(anomalous, "clip"),
                     detector.score_name(), threshold.value, train::describe(threshold));
}

/// A line on clips of another length than those that p-values rest on; empty if there are none.
std::string length_text(const train::Detector& detector, const std::vector<train::ClipScore>& clips) {
  const io::ModelData& model = detector.model();
  if (train::normal_scores(model, detector.score_name()).empty()) {
    return "";
  }
  const int64_t windows = frontend::windows_in(model.conformal->clip_frames, model.config.window);
  const auto others = std::count_if(clips.begin(), clips.end(), [=](const auto& c) { return c.windows != windows; });
  if (others == 0) {
    return "";
  }
  return fmt::format("note: p-values rest on clips of {}, and {} {} other lengths, whose scores vary more or less\n",
                     count_text(windows, "window"), count_text(others, "clip"), others == 1 ? "has" : "have");
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
  for (const fs::path& input : arguments.request.inputs) {
    outputs.reads_recordings(input);
  }
  outputs.writes(arguments.out, FileKind::scores);
  const Compute& compute = arguments.request.compute;
  train::Detector detector(arguments.model, compute.device, compute.threads, arguments.decision);
  Scoring scoring(arguments.request, detector);
  scoring.run();
  scoring.finish();
  const train::ScoreTable table = scoring.table();
  train::write_scores(arguments.out, table);
  if (table.clips.size() == 1) {
    fmt::print("{}\n", io::escaped(clip_text(detector, table.clips.front())));
  }
  fmt::print("Scored {} -> {}\n{}\n", count_text(static_cast<int64_t>(table.clips.size()), "clip"),
             arguments.out.string(), decisions_text(detector, table.clips));
  fmt::print("{}", length_text(detector, table.clips));
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
      "decision of each clip, with its p-value where the model knows normal clips that it was not trained on. INPUT is "
      "any mix of recordings, folders, manifests and shards; recordings go through "
      "the model's own frontend settings.",
      "  evenflow score --model runs/first/model.h5 features.h5 --out scores.csv\n"
      "  evenflow score --model runs/first/model.h5 today/*.wav --out today.csv\n"
      "  evenflow score --model runs/first/model.h5 today/*.wav --out today.csv --false-alarms 0.05",
      declare, run);
}

}  // namespace evenflow::experiments
