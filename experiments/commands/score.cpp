// evenflow score: clips to scores, through a trained model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/fleet.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/report/score_notes.h"
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
  options
      .file("--model", arguments.model,
            "the model (model.h5, last.h5); with --each, the folder of runs that `train --each machine` wrote into")
      .required();
  options
      .files("INPUT", arguments.request.inputs, "recordings, folders of recordings, manifests, DCASE folders or shards")
      .required();
  options.file("--out", arguments.out, "the scores to write (CSV); -: standard output").required();
  options.force(arguments.force);
  options.each_machine(arguments.request.each_machine,
                       "each clip by the model of its own machine; INPUT may also be a folder of shards");
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

/// What is to be said of clips that were scored by one model: lines.
std::string remarks_text(const train::ScoreTable& table, const Scoring& scoring, const train::TrainedNames& trained) {
  const auto any = [](const train::ClipScore&) { return true; };
  std::string text = without_value_text(train::without_value(table, any));
  for (const std::string& outside : outside_calibration_texts(train::outside_calibration(table, trained))) {
    text += fmt::format("note: {}\n", io::escaped(outside));
  }
  for (const std::string& line : scoring.notes()) {
    text += fmt::format("{}\n", io::escaped(one_line(line)));
  }
  if (!scoring.bad().empty()) {
    text += fmt::format("Skipped {}:\n", count_text(static_cast<int64_t>(scoring.bad().size()), "recording"));
    for (const std::string& sentence : scoring.bad()) {
      text += fmt::format("  {}\n", one_line(sentence));
    }
  }
  return text;
}

int score_by_one(const ScoreArguments& arguments, Outputs& outputs) {
  outputs.reads(arguments.model, "the model");
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
  fmt::print("{}{}", length_text(detector, table.clips),
             remarks_text(table, scoring, train::trained_names(detector.model().condition)));
  require_finite(table.clips, arguments.out);
  return exit_ok;
}

/// The clips' machines that have a model. io::DataError: clips of a machine without one, unless `skip`, which notes it.
std::vector<std::string> machines_with_models(const std::map<std::string, int64_t>& machines,
                                              const std::map<std::string, fs::path>& models,
                                              const ScoreArguments& arguments) {
  std::vector<std::string> with;
  for (const auto& [machine, clips] : machines) {
    if (models.contains(machine)) {
      with.push_back(machine);
      continue;
    }
    const std::string fault = fmt::format("{} {} of machine {}, which has no model in '{}'", count_text(clips, "clip"),
                                          clips == 1 ? "is" : "are", io::escaped(machine), arguments.model.string());
    if (!arguments.request.skip_bad) {
      throw io::DataError(fault + "; train it (evenflow train --each machine), or add --skip-bad to go on without");
    }
    print_note(fmt::format("left out: {}", fault));
  }
  for (const auto& [machine, model] : models) {
    if (!machines.contains(machine)) {
      print_note(fmt::format("no clip is of machine {}, which has a model", io::escaped(machine)));
    }
  }
  if (with.empty()) {
    throw io::DataError(fmt::format("no {} clip is of a machine that has a model in '{}'", arguments.request.split,
                                    arguments.model.string()));
  }
  return with;
}

/// train::set_decision, whose errors say of which machine the model is.
void set_decision_of(const std::string& machine, io::ModelData& model, const train::DecisionRequest& decision) {
  const auto said = [&](const std::exception& error) {
    return fmt::format("machine {}: {}", io::escaped(machine), error.what());
  };
  try {
    train::set_decision(model, decision);
  } catch (const io::UsageError& error) {
    throw io::UsageError(said(error));
  } catch (const io::DataError& error) {
    throw io::DataError(said(error));
  }
}

int score_by_each(ScoreArguments arguments, Outputs& outputs) {
  arguments.request.inputs = with_shards_of_folders(arguments.request.inputs);
  const std::map<std::string, fs::path> models = fleet_models(arguments.model);
  for (const auto& [machine, model] : models) {
    outputs.reads(model, "a model");
  }
  for (const fs::path& input : arguments.request.inputs) {
    outputs.reads_recordings(input);
  }
  outputs.writes(arguments.out, FileKind::scores);
  const auto inputs = std::make_shared<const ScoringInputs>(arguments.request);
  require_file_names(inputs->machines(), arguments.request.inputs.front().string());
  inputs->print_notes();
  const std::vector<std::string> machines = machines_with_models(inputs->machines(), models, arguments);
  std::vector<io::ModelData> loaded;
  for (const std::string& machine : machines) {
    loaded.push_back(io::read_model(models.at(machine)));
    set_decision_of(machine, loaded.back(), arguments.decision);
    require_own_machines({{machine, inputs->machines().at(machine)}}, loaded.back().provenance.machines,
                         arguments.request.other_machines);
  }
  std::vector<train::ScoreTable> tables;
  std::string remarks;
  TextTable shown;
  shown.add({"machine", "clips", "anomalous", "decided by", "threshold"});
  for (size_t i = 0; i < machines.size(); ++i) {
    const Compute& compute = arguments.request.compute;
    train::Detector detector(std::move(loaded[i]), compute.device, compute.threads);
    Scoring scoring(inputs, machines[i], detector);
    scoring.run();
    scoring.finish();
    tables.push_back(scoring.table());
    const std::vector<train::ClipScore>& clips = tables.back().clips;
    const auto anomalous = std::count_if(clips.begin(), clips.end(), [](const auto& s) { return s.decision == 1; });
    const double threshold = detector.model().threshold.value;
    shown.add({machines[i], std::to_string(clips.size()), std::isnan(threshold) ? "-" : std::to_string(anomalous),
               detector.score_name(), std::isnan(threshold) ? "-" : fmt::format("{:.6g}", threshold)});
    const std::string text = length_text(detector, tables.back().clips) +
                             remarks_text(tables.back(), scoring, train::trained_names(detector.model().condition));
    if (!text.empty()) {
      remarks += fmt::format("\nMachine {}:\n{}", io::escaped(machines[i]), text);
    }
  }
  const train::ScoreTable all = train::joined(tables);
  train::write_scores(arguments.out, all);
  fmt::print("Scored {} of {} -> {}\n\n{}{}", count_text(static_cast<int64_t>(all.clips.size()), "clip"),
             count_text(static_cast<int64_t>(machines.size()), "machine"), arguments.out.string(), shown.text(),
             remarks);
  require_finite(all.clips, arguments.out);
  return exit_ok;
}

int run(const ScoreArguments& arguments) {
  stop_on_signals();
  if (io::is_standard_output(arguments.out)) {
    io::keep_standard_output_for_result();
  }
  Outputs outputs(arguments.force);
  if (arguments.request.each_machine) {
    return score_by_each(arguments, outputs);
  }
  for (const fs::path& input : arguments.request.inputs) {
    outputs.reads_recordings(input);
  }
  return score_by_one(arguments, outputs);
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
      "  evenflow score --model runs/first/model.h5 today/*.wav --out today.csv --false-alarms 0.05\n"
      "  evenflow score --each machine --model runs shards --out scores.csv",
      declare, run);
}

}  // namespace evenflow::experiments
