// evenflow report: one training as a page.
#include <fmt/format.h>

#include <filesystem>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/run_report.h"
#include "io/run_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  fs::path run;
  std::vector<fs::path> features;
  std::optional<fs::path> out;
  bool other_machines = false;
  Compute compute;
  bool force = false;  ///< replace what is not evenflow's own
};

void declare(Options& options, ReportArguments& arguments) {
  options.file("RUN", arguments.run, "a run folder that `train` wrote").required().shown_as("FOLDER");
  options.files("FEATURES", arguments.features, "feature shards to score");
  options.file("--out", arguments.out, "the report's folder; RUN/report if left out").shown_as("FOLDER");
  options.force(arguments.force);
  options.other_machines(arguments.other_machines);
  options.compute(arguments.compute);
}

int run(const ReportArguments& arguments) {
  require_gnuplot();
  stop_on_signals();
  RunReportOptions options;
  options.run = arguments.run;
  options.features = arguments.features;
  options.folder = arguments.out.value_or(arguments.run / "report");
  options.device = arguments.compute.device;
  options.threads = arguments.compute.threads;
  options.force = arguments.force;
  options.other_machines = arguments.other_machines;
  Outputs outputs(arguments.force);
  const io::RunFolder trained = io::RunFolder::open(arguments.run);
  outputs.reads(trained.model(), "the run's model");
  for (const fs::path& file : arguments.features.empty() ? trained.shards() : arguments.features) {
    outputs.reads(file, "the features");
  }
  outputs.writes_below(options.folder, "report.html", FileKind::page);
  outputs.writes_below(options.folder, "scores.csv", FileKind::scores);
  require_no_links(options.folder / "figures");
  StatusLine status;
  options.progress = [&](const std::string& what, double fraction) {
    throw_if_stopped();
    status.show_part(what, fraction);
  };
  write_run_report(options);
  status.clear();
  fmt::print("Report: {}\n", (options.folder / "report.html").string());
  return exit_ok;
}

}  // namespace

Command report_command() {
  return make_command<ReportArguments>(
      "report",
      "Writes a page about one training. It shows the model, its learning curves, and what it makes of recordings: "
      "scores, threshold, AUC, estimates. It scores the features given or, if they are still there, those of the "
      "training.",
      "  evenflow report runs/first\n"
      "  evenflow report runs/first monday.h5 --out reports/monday",
      declare, run);
}

}  // namespace evenflow::experiments
