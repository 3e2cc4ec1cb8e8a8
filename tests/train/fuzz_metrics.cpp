// Any bytes as the metrics.csv of a run that goes on: its rows are kept up to the epoch, or there is a DataError.
#include <cstdlib>
#include <string>

#include "io/error.h"
#include "io/manifest.h"
#include "tests/support/fuzzer.h"
#include "train/loop/run_log.h"

bool evenflow::fuzz::reads(std::string_view input) {
  constexpr int64_t epochs = 3;
  try {
    const auto file = as_file(input, "metrics.csv");
    train::MetricsFile metrics(file, epochs);
    const size_t kept = io::read_csv(file).size();
    metrics.append({.epoch = epochs, .validation_loss = 0.5});
    const train::MetricsFile again(file, epochs);
    if (io::read_csv(file).size() != kept + 1 || again.last_validation_loss() != 0.5) {
      std::abort();
    }
    return kept > 1;
  } catch (const io::DataError&) {
    return false;
  }
}
