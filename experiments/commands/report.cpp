// evenflow report: one training as a page.
#include <fmt/format.h>

#include "experiments/commands/commands.h"
#include "experiments/console.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/run_report.h"

namespace evenflow::experiments {

int run(const ReportArguments& arguments) {
  require_gnuplot();
  RunReportOptions options;
  options.run = arguments.run;
  options.features = arguments.features;
  options.folder = arguments.out.value_or(arguments.run / "report");
  options.device = arguments.compute.device;
  options.threads = arguments.compute.threads;
  StatusLine status;
  options.progress = [&](const std::string& what, double fraction) {
    if (status.due()) status.show(fmt::format("{} {}", bar_text(fraction, 30), what));
  };
  write_run_report(options);
  status.clear();
  fmt::print("Report: {}\n", (options.folder / "report.html").string());
  return exit_ok;
}

}  // namespace evenflow::experiments
