// evenflow compare: trainings side by side.
#include <fmt/format.h>

#include <optional>
#include <set>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/fleet.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/recordings.h"
#include "experiments/report/comparison.h"
#include "experiments/report/training_seen.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/model_file.h"
#include "io/run_folder.h"
#include "io/shard.h"
#include "io/standard_output.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct CompareArguments {
  std::vector<fs::path> runs, shards, training;
  std::string score;
  std::optional<fs::path> model, out, page;
  bool common_only = false, json = false;
  bool other_machines = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, CompareArguments& arguments) {
  options
      .files("RUN", arguments.runs, "run folders, or tables that `score` wrote; the first is what others differ from")
      .required();
  options.files("--on", arguments.shards, "shards whose test clips each run's model scores");
  options.word("--score", arguments.score, {}, "compare by this score; left out, each by the one that decides")
      .shown_as("NAME");
  options.file("--model", arguments.model, "of tables: the model; its training values tell seen from unseen ones");
  options.files("--training", arguments.training,
                "shards that were trained on; they tell the same for runs and tables whose model knows no parameters");
  options.flag("--common", arguments.common_only, "compare on the clips that all have, where not all have the same");
  options.flag("--json", arguments.json, "print one JSON object instead of text");
  options.file("--out", arguments.out, "the same as a table to write (CSV); -: standard output");
  options.file("--page", arguments.page, "the same as a page to write (HTML)").shown_as("FILE.html");
  options.force(arguments.force);
  options.other_machines(arguments.other_machines);
  options.compute(arguments.compute);
}

/// What a run's model makes of the shards' test clips.
train::ScoreTable score_run(const fs::path& run, const std::vector<io::Shard>& shards,
                            const CompareArguments& arguments) {
  train::Detector detector(io::RunFolder::open(run).model(), arguments.compute.device, arguments.compute.threads);
  const auto is_test = [](const io::Clip& clip) { return clip.split == io::Split::test; };
  std::map<std::string, int64_t> machines;
  for (const io::Shard& shard : shards) {
    for (const io::Clip& clip : shard.clips()) {
      machines[clip.machine] += is_test(clip) ? 1 : 0;
    }
  }
  std::erase_if(machines, [](const auto& entry) { return entry.second == 0; });
  require_own_machines(machines, detector.model().provenance.machines, arguments.other_machines);
  std::vector<train::ScoreTable> tables;
  StatusLine status;
  for (const io::Shard& shard : shards) {
    const auto progress = [&](int64_t done, int64_t total) {
      throw_if_stopped();
      status.show_clips(done, total);
    };
    tables.push_back(
        detector.table(shard.parameter_names(), detector.score(shard, is_test, progress), shard.categories()));
  }
  return train::joined(tables);
}

/// What a run with scores was trained at, from whatever tells: its model, shards, training clips among the scores.
void tell_training(ComparedRun& run, const CompareArguments& arguments, const std::optional<io::ModelData>& model) {
  TrainingSeen seen(*run.scores);
  if (run.condition) {
    seen.add(*run.condition);
  } else if (model && !run.config) {
    seen.add(model->condition);
  }
  if (!arguments.training.empty()) {
    const io::TrainSettings* const of_model = model && !run.config ? &model->config.train : nullptr;
    seen.add_shards(arguments.training, run.config ? &run.config->train : of_model);
  }
  if (seen.values().empty()) {
    seen.add_own_clips();
  }
  run.training = seen.values();
}

void tell_outputs(const CompareArguments& arguments, Outputs& outputs) {
  for (const fs::path& run : arguments.runs) {
    if (is_scores_table(run)) {
      outputs.reads(run, "a table of scores");
      continue;
    }
    const io::RunFolder folder = io::RunFolder::open(run);
    for (const fs::path& file : {folder.config(), folder.metrics(), folder.model()}) {
      outputs.reads(file, "a file of a run");
    }
  }
  for (const fs::path& shard : arguments.shards) {
    outputs.reads(shard, "a shard");
  }
  if (arguments.model) {
    outputs.reads(*arguments.model, "the model");
  }
  for (const fs::path& shard : arguments.training) {
    outputs.reads(shard, "a training shard");
  }
  if (arguments.out) {
    outputs.writes(*arguments.out, FileKind::comparison);
  }
  if (arguments.page) {
    outputs.writes(*arguments.page, FileKind::page);
  }
}

int run(const CompareArguments& arguments) {
  stop_on_signals();
  if (arguments.runs.size() < 2) {
    throw io::UsageError("one run alone has nothing to be compared with; give two or more");
  }
  const bool table_printed = arguments.out && io::is_standard_output(*arguments.out);
  if (table_printed && arguments.json) {
    throw io::UsageError("--json and --out - would both print to standard output; give --out a file");
  }
  if (table_printed || arguments.json) {
    io::keep_standard_output_for_result();
  }
  require_distinct(arguments.runs);
  Outputs outputs(arguments.force);
  tell_outputs(arguments, outputs);
  std::vector<io::Shard> shards;
  for (const fs::path& file : with_shards_of_folders(arguments.shards)) {
    shards.emplace_back(file);
  }
  std::vector<ComparedRun> runs;
  for (const fs::path& path : arguments.runs) {
    if (is_scores_table(path)) {
      runs.push_back({.name = path.string(), .scores = train::read_scores(path)});
      continue;
    }
    runs.push_back(read_run(path));
    if (!shards.empty()) {
      runs.back().scores = score_run(path, shards, arguments);
    }
  }
  std::optional<io::ModelData> model;
  if (arguments.model) {
    model = io::read_model(*arguments.model);
  }
  for (ComparedRun& run : runs) {
    if (run.scores) {
      tell_training(run, arguments, model);
    }
  }
  const Comparison comparison =
      compare(std::move(runs), {.score = arguments.score, .common_only = arguments.common_only});
  if (arguments.json) {
    io::write_to_standard_output(to_json(comparison));
  } else {
    fmt::print("{}", to_text(comparison));
  }
  if (arguments.out) {
    io::write_text(*arguments.out, to_csv(comparison));
  }
  if (arguments.page) {
    io::write_text(*arguments.page, to_page(comparison));
    if (!arguments.json) {
      fmt::print("\nPage: {}\n", arguments.page->string());
    }
  }
  return exit_ok;
}

}  // namespace

Command compare_command() {
  return make_command<CompareArguments>(
      "compare",
      "Puts trainings side by side. It shows the settings that differ, losses and, of scores on the same clips, AUC, "
      "pAUC and decisions with their intervals, and the differences to the first with their intervals and DeLong's "
      "test, "
      "over all clips and at seen and unseen operating points.",
      "  evenflow compare runs/first runs/second --on features.h5\n"
      "  evenflow compare monday.csv tuesday.csv --score nll --page comparison.html\n"
      "  evenflow compare first.csv second.csv --model runs/first/model.h5 --json",
      declare, run);
}

}  // namespace evenflow::experiments
