// evenflow experiment study: the paper's flows on recordings of your own, several seeds each, as tables.
#include "experiments/study/study.h"

#include <fmt/format.h>

#include <numeric>

#include "experiments/commands/commands.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/study/tables.h"

namespace evenflow::experiments {

int run(const StudyArguments& arguments) {
  StudyOptions options;
  options.manifest = arguments.manifest;
  options.folder = arguments.out;
  options.systems = flow_systems(resolve(arguments.config));
  options.seeds.resize(static_cast<size_t>(arguments.seeds));
  std::iota(options.seeds.begin(), options.seeds.end(), uint64_t{1});
  options.stop = &stop_on_signals();
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
