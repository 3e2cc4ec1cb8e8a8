// evenflow experiment paper: the paper's study from recordings to report, with one command.
#include "experiments/study/paper.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "experiments/choose/left_out.h"
#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/report/gnuplot.h"
#include "experiments/study/paper_report.h"
#include "experiments/study/tables.h"
#include "io/atomic_file.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct PaperArguments {
  fs::path out = "paper";
  bool quick = false, miniature = false, literal = false;
  std::optional<double> severity, tonality;
  std::optional<int64_t> seeds, epochs;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, PaperArguments& arguments) {
  options.file("--out", arguments.out, "the study's folder").shown_as("FOLDER").default_text("paper");
  options.force(arguments.force);
  const Option quick = options.flag("--quick", arguments.quick,
                                    "fewer clips, epochs and seeds: a first look in 19 minutes of processor time");
  options
      .flag("--miniature", arguments.miniature,
            "the same code on next to nothing, in seconds; its figures mean nothing")
      .excludes(quick);
  options.flag("--literal", arguments.literal,
               "also train the single-scale flows as the paper did, for 1000 epochs, and score them on the way: hours");
  options.number("--severity", arguments.severity, 0, 1e9, "of the fault; default 1.4");
  options.number("--tonality", arguments.tonality, 0, 1e9, "how much each speed sounds its own; default 1");
  options.number("--seeds", arguments.seeds, 1, 1000, "trainings of each system, with the seeds 1, 2, ...");
  options.number("--epochs", arguments.epochs, 1, 1e9,
                 "of every training but those by which settings are compared, unless these are longer");
  options.compute(arguments.compute);
}

/// As evenflow left it before it marked its folders.
bool is_older_paper(const fs::path& folder) {
  const fs::path recordings = folder / "recordings.txt";
  std::error_code error;
  return fs::exists(recordings, error) && io::read_text(recordings).starts_with("# evenflow experiment paper");
}

int run(const PaperArguments& arguments) {
  require_gnuplot();  // now, not after hours
  PaperOptions options;
  options.plan = paper_plan(arguments.miniature ? PaperScale::miniature
                            : arguments.quick   ? PaperScale::quick
                                                : PaperScale::full);
  options.plan.seeds = arguments.seeds.value_or(options.plan.seeds);
  if (arguments.literal && options.plan.literal_epochs.empty()) {
    options.plan.literal_epochs = literal_epochs();
  }
  RailSettings& rail = options.plan.data.rail;
  rail.severity = arguments.severity.value_or(rail.severity);
  rail.tonality = arguments.tonality.value_or(rail.tonality);
  io::TrainSettings& train = options.plan.config.train;
  train.epochs = arguments.epochs.value_or(train.epochs);
  train.device = arguments.compute.device;
  train.threads = arguments.compute.threads;
  options.folder = arguments.out;
  require_no_links(options.folder / "figures");
  Outputs outputs(arguments.force);
  outputs.writes_below(arguments.out, "report.html", FileKind::page);
  for (const std::string& name : study_table_files()) {
    outputs.writes_below(arguments.out, name, FileKind::study_table);
  }
  for (const char* name : {"table1.csv", "evidence.csv", "score_curves.csv", "choice/choice.csv"}) {
    outputs.writes_below(arguments.out, name, FileKind::study_table);
  }
  outputs.writes_below(arguments.out, "choice/choice.toml", FileKind::choice);
  outputs.writes_below(arguments.out, std::string("choice/") + left_out_file, FileKind::scores);
  options.stop = &stop_on_signals();
  const io::OutputFolder folder(arguments.out, "study of the paper", is_older_paper, arguments.force);
  StatusLine status;
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const std::string& what, double fraction) { status.show_part(what, fraction); };
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

}  // namespace

Command paper_command() {
  return make_command<PaperArguments>(
      "paper",
      "Reproduces the paper's study on generated recordings. It makes the slide rail's recordings, trains every "
      "system of the paper's table with several seeds beside settings that it chooses, and writes report.html "
      "with tables (CSV) and pictures (SVG, PNG) beside it. Every choice is made on normal training clips. Ctrl-C "
      "stops; the same command goes on, and skips what is finished. The whole study takes hours on a CPU.",
      "  evenflow experiment paper --quick --out quick\n"
      "  evenflow experiment paper --out studies/paper --device cuda:0",
      declare, run);
}

}  // namespace evenflow::experiments
