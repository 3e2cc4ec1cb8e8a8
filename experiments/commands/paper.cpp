// evenflow experiment paper: the paper's study from recordings to report, with one command.
#include "experiments/study/paper.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/report/gnuplot.h"
#include "experiments/study/paper_report.h"
#include "experiments/study/tables.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {

namespace {

/// As evenflow left it before it marked its folders.
bool is_older_paper(const std::filesystem::path& folder) {
  const std::filesystem::path recordings = folder / "recordings.txt";
  std::error_code error;
  return std::filesystem::exists(recordings, error) &&
         io::read_text(recordings).starts_with("# evenflow experiment paper");
}

}  // namespace

int run(const PaperArguments& arguments) {
  require_gnuplot();  // now, not after hours
  PaperOptions options;
  options.plan = paper_plan(arguments.miniature ? PaperScale::miniature
                            : arguments.quick   ? PaperScale::quick
                                                : PaperScale::full);
  options.plan.seeds = arguments.seeds.value_or(options.plan.seeds);
  options.plan.sweep_seeds = std::min(options.plan.sweep_seeds, options.plan.seeds);
  io::TrainSettings& train = options.plan.config.train;
  train.epochs = arguments.epochs.value_or(train.epochs);
  train.device = arguments.compute.device;
  train.threads = arguments.compute.threads;
  options.folder = arguments.out;
  require_no_links(options.folder / "figures");
  options.stop = &stop_on_signals();
  const io::OutputFolder folder(arguments.out, "study of the paper", is_older_paper, arguments.force);
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) {
    if (status.due()) status.show(fmt::format("{} {}", bar_text(fraction, 30), what));
  };
  const PaperStudy paper = run_paper(options);
  if (paper.study.interrupted) {
    status.clear();
    fmt::print("Interrupted; what is done is kept. The same command goes on.\n");
    return exit_interrupted;
  }
  status.show("tables and pictures");
  const StudyTables tables = study_tables(paper.study);
  write_paper_report(paper, tables, options.folder);
  status.clear();
  fmt::print("{}\nReport: {}\n", to_text(paper, tables), (options.folder / "report.html").string());
  return exit_ok;
}

}  // namespace evenflow::experiments
