// evenflow report: one training as a page.
#include <fmt/format.h>

#include <filesystem>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/run_report.h"
#include "io/run_folder.h"

namespace evenflow::experiments {

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
  Outputs outputs(arguments.force);
  const io::RunFolder trained = io::RunFolder::open(arguments.run);
  outputs.reads(trained.model(), "the run's model");
  for (const std::filesystem::path& file : arguments.features.empty() ? trained.shards() : arguments.features)
    outputs.reads(file, "the features");
  outputs.writes_own(options.folder / "report.html");
  if (const std::filesystem::path scores = options.folder / "scores.csv"; std::filesystem::exists(scores)) {
    outputs.writes(scores, FileKind::scores);
  } else {
    outputs.writes_own(scores);
  }
  require_no_links(options.folder / "figures");
  StatusLine status;
  options.progress = [&](const std::string& what, double fraction) {
    throw_if_stopped();
    if (status.due()) status.show(fmt::format("{} {}", bar_text(fraction, 30), what));
  };
  write_run_report(options);
  status.clear();
  fmt::print("Report: {}\n", (options.folder / "report.html").string());
  return exit_ok;
}

}  // namespace evenflow::experiments
