// evenflow experiment study: the paper's flows on recordings of your own, several seeds each, as tables.
#include "experiments/study/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <numeric>
#include <optional>
#include <system_error>

#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/study/leave_out.h"
#include "experiments/study/tables.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct StudyArguments {
  fs::path manifest, out;
  ConfigSource config;
  int seeds = 5;
  bool leave_each_out = false;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, StudyArguments& arguments) {
  options.file("MANIFEST,--manifest", arguments.manifest, "manifest CSV with a parameter column, or a DCASE folder")
      .required();
  options.file("--out", arguments.out, "the study's folder").required().shown_as("FOLDER");
  options.force(arguments.force);
  options.number("--seeds", arguments.seeds, 1, 1000, "trainings of each flow, with the seeds 1, 2, ...");
  options.flag("--leave-each-out", arguments.leave_each_out,
               "a study without each value of the first parameter in turn, and simple detectors beside the flows");
  options.config(
      arguments.config, [](const std::string& key) { return key != "train.seed" && key != "condition.enabled"; }, true,
      unaugmented());
}

/// As evenflow left it before it marked its folders: cells/SYSTEM/seed_N beside the recordings' list.
bool is_older_study(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder / "manifest.csv", error)) {
    return false;
  }
  for (const auto& system : fs::directory_iterator(folder / "cells", error)) {
    for (const auto& seed : fs::directory_iterator(system.path(), error)) {
      if (seed.path().filename().string().starts_with("seed_") && seed.is_directory(error)) {
        return true;
      }
    }
  }
  return false;
}

/// What is told and written of a study that has run.
template <class Outcome, class MakeTables>
int finish(const Outcome& study, const MakeTables& tables_of, const std::vector<std::string>& files,
           const fs::path& folder, StatusLine& status) {
  status.clear();
  if (study.interrupted) {
    fmt::print("Interrupted; what is done is kept. The same command goes on.\n");
    return exit_interrupted;
  }
  const auto tables = tables_of(study);
  write_tables(tables, folder);
  fmt::print("{}\nTables in {}: {}\n", to_text(tables, study), folder.string(), fmt::join(files, ", "));
  return exit_ok;
}

int run(const StudyArguments& arguments) {
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  outputs.reads_recordings(arguments.manifest);
  outputs.writes_below(arguments.out, "features.h5", FileKind::shard);
  for (const std::string& name : arguments.leave_each_out ? leave_out_files() : study_table_files()) {
    outputs.writes_below(arguments.out, name, FileKind::study_table);
  }
  StudyOptions options;
  options.manifest = arguments.manifest;
  options.folder = arguments.out;
  options.seeds.resize(static_cast<size_t>(arguments.seeds));
  std::iota(options.seeds.begin(), options.seeds.end(), uint64_t{1});
  options.stop = &stop_on_signals();
  std::optional<io::OutputFolder> folder;
  options.claim = [&] {
    if (arguments.leave_each_out) {
      folder.emplace(
          arguments.out, "study of values left out", [](const fs::path&) { return false; }, arguments.force);
    } else {
      folder.emplace(arguments.out, "study", is_older_study, arguments.force);
    }
  };
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) { status.show_part(what, fraction); };
  const io::Config config = resolve(arguments.config, unaugmented());
  if (arguments.leave_each_out) {
    return finish(run_leave_out(options, config), leave_out_tables, leave_out_files(), arguments.out, status);
  }
  options.systems = flow_systems(config);
  const auto tables_of = [](const Study& study) { return study_tables(study); };
  return finish(run_study(options), tables_of, study_table_files(), arguments.out, status);
}

}  // namespace

Command study_command() {
  return make_command<StudyArguments>(
      "study",
      "Trains the paper's four flows on your recordings and says how well they detect. The flows (single-scale and "
      "multi-scale, conventional and constrained) are trained with several seeds on the training clips of a manifest, "
      "and tables say how well each of their scores tells anomalous test clips from normal ones: AUC over all, seen "
      "and unseen values of the parameter and value by value, with 95 % intervals, differences to the conventional "
      "flow, and the estimates of the parameter. With --leave-each-out every value of the parameter is unseen once, "
      "additive and augmented flows and detectors on clip statistics are compared too, and the tables are over those "
      "folds. Ctrl-C stops; the same command goes on, and skips what is finished.",
      "  evenflow experiment study rails/manifest.csv --out studies/rails --config experiments/configs/demo.toml\n"
      "  evenflow experiment study bldc/manifest.csv --out bldc --config experiments/configs/bldc.toml --seeds 3 \\\n"
      "    --leave-each-out",
      declare, run);
}

}  // namespace evenflow::experiments
