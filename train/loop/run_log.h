// What a training writes as it goes: log.txt, metrics.csv and TensorBoard's events.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace evenflow::train {

/// Lines with their UTC time, appended to log.txt and handed on. Each is on its way to the disk when line() returns.
class RunLog {
 public:
  /// Says nothing.
  RunLog() = default;
  RunLog(const std::filesystem::path& file, std::function<void(const std::string&)> also);
  void line(const std::string& text);

 private:
  std::filesystem::path file_;
  std::ofstream out_;
  std::function<void(const std::string&)> also_;
};

/// One finished epoch.
struct EpochMetrics {
  int64_t epoch = 0;  ///< from 1
  int64_t step = 0;   ///< batches seen since the start
  double learning_rate = 0;
  double train_loss = 0;       ///< mean over the epoch's windows, nats per dimension
  double validation_loss = 0;  ///< NaN: no validation clips
  double gradient_norm_mean = 0, gradient_norm_max = 0;
  double windows_per_s = 0, seconds = 0;
  int64_t guard_events = 0;
  double bits_per_dimension() const;
};

/// metrics.csv: a header and a row per epoch.
class MetricsFile {
 public:
  /// Keeps the rows of the first `epochs` epochs of a file that is there, and drops the rest.
  MetricsFile(std::filesystem::path file, int64_t epochs);
  void append(const EpochMetrics& row);
  /// validation_loss of the last row kept or written; NaN if there is none.
  double last_validation_loss() const { return last_validation_loss_; }

 private:
  std::filesystem::path file_;
  double last_validation_loss_;
};

}  // namespace evenflow::train
