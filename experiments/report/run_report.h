// The report of one training: what was trained, how it learnt, and what it makes of recordings.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace evenflow::experiments {

struct RunReportOptions {
  std::filesystem::path run;
  std::vector<std::filesystem::path>
      features;                  ///< shards to score; empty: those of the training, if they are still there
  std::filesystem::path folder;  ///< of the report
  std::string device = "auto";
  int threads = 0;
  bool force = false;           ///< a folder that holds other files may be used
  bool other_machines = false;  ///< clips of machines that the model was not trained on are scored too
  std::function<void(const std::string& what, double fraction)> progress;
};

/// report.html, scores.csv (where there was something to score) and figures/ in the folder. io::DataError: not a run, a
/// model that cannot be read, a shard that does not fit it.
void write_run_report(const RunReportOptions& options);

}  // namespace evenflow::experiments
