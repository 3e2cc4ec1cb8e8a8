// evenflow experiment study: the paper's flows on recordings of your own, several seeds each, as tables.
#include "experiments/study/study.h"

#include <fmt/format.h>

#include <filesystem>
#include <numeric>
#include <optional>
#include <system_error>

#include "experiments/commands/commands.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/study/tables.h"
#include "io/output_folder.h"

namespace evenflow::experiments {

namespace {

namespace fs = std::filesystem;

/// As evenflow left it before it marked its folders: cells/SYSTEM/seed_N beside the recordings' list.
bool is_older_study(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder / "manifest.csv", error)) return false;
  for (const auto& system : fs::directory_iterator(folder / "cells", error)) {
    for (const auto& seed : fs::directory_iterator(system.path(), error))
      if (seed.path().filename().string().starts_with("seed_") && seed.is_directory(error)) return true;
  }
  return false;
}

}  // namespace

int run(const StudyArguments& arguments) {
  Outputs outputs(arguments.force);
  outputs.reads(arguments.config);
  outputs.reads_recordings(arguments.manifest);
  for (const char* name : {"features.h5", "auc.csv", "differences.csv", "estimates.csv"})
    outputs.writes_own(arguments.out / name);
  StudyOptions options;
  options.manifest = arguments.manifest;
  options.folder = arguments.out;
  options.systems = flow_systems(resolve(arguments.config));
  options.seeds.resize(static_cast<size_t>(arguments.seeds));
  std::iota(options.seeds.begin(), options.seeds.end(), uint64_t{1});
  options.stop = &stop_on_signals();
  std::optional<io::OutputFolder> folder;
  options.claim = [&] { folder.emplace(arguments.out, "study", is_older_study, arguments.force); };
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) {
    if (status.due()) status.show(fmt::format("{} {}", bar_text(fraction, 30), what));
  };
  const Study study = run_study(options);
  status.clear();
  if (study.interrupted) {
    fmt::print("Interrupted; what is done is kept. The same command goes on.\n");
    return exit_interrupted;
  }
  const StudyTables tables = study_tables(study);
  write_tables(tables, options.folder);
  fmt::print("{}\nTables: {}\n", to_text(tables, study),
             fmt::format("{0}/auc.csv, {0}/differences.csv, {0}/estimates.csv", options.folder.string()));
  return exit_ok;
}

}  // namespace evenflow::experiments
