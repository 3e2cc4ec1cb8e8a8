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
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "io/shard.h"
#include "io/standard_output.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct CompareArguments {
  std::vector<fs::path> runs, shards;
  std::string score;
  std::optional<fs::path> out, page;
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
  if (arguments.out && io::is_standard_output(*arguments.out)) {
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
  const Comparison comparison = compare(std::move(runs), arguments.score);
  fmt::print("{}", to_text(comparison));
  if (arguments.out) {
    io::write_text(*arguments.out, to_csv(comparison));
  }
  if (arguments.page) {
    io::write_text(*arguments.page, to_page(comparison));
    fmt::print("\nPage: {}\n", arguments.page->string());
  }
  return exit_ok;
}

}  // namespace

Command compare_command() {
  return make_command<CompareArguments>(
      "compare",
      "Puts trainings side by side. It shows the settings that differ, losses and, of scores on the same clips, AUC, "
      "pAUC and decisions with their intervals, and the intervals of the differences to the first.",
      "  evenflow compare runs/first runs/second --on features.h5\n"
      "  evenflow compare monday.csv tuesday.csv --score nll --page comparison.html",
      declare, run);
}

}  // namespace evenflow::experiments
