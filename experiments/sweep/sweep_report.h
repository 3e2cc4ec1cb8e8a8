// A sweep as a page: report.html with its figures.
#pragma once

#include "experiments/sweep/sweep.h"

namespace evenflow::experiments {

/// Writes FOLDER/report.html, trials.csv and figures/: what was tried and how it went, the objectives over time, all
/// trials as parallel coordinates, how much each key matters, and the best configuration. io::UsageError: no gnuplot.
void write_sweep_report(const Sweep& sweep);

}  // namespace evenflow::experiments
