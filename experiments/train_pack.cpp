#include "experiments/train_pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/failure.h"
#include "experiments/interrupt.h"
#include "io/atomic_file.h"
#include "io/manifest.h"
#include "io/text.h"
#include "train/loop/pack.h"

namespace evenflow::experiments {
namespace {

class PackDisplay {
 public:
  explicit PackDisplay(size_t trainings) : done_(trainings, 0), rates_(trainings, 0) {}

  void show(size_t training, const train::TrainProgress& progress) {
    const auto part = [](int64_t of, int64_t all) {
      return static_cast<double>(of) / static_cast<double>(std::max<int64_t>(all, 1));
    };
    const double in_epoch = progress.epoch_end ? 0 : part(progress.step, progress.steps_per_epoch);
    done_[training] = (static_cast<double>(progress.epoch) + in_epoch) / static_cast<double>(progress.epochs);
    rates_[training] = progress.last ? 0 : progress.windows_per_second;
    if (!line_.due()) {
      return;
    }
    double fraction = 0, rate = 0;
    for (size_t i = 0; i < done_.size(); ++i) {
      fraction += done_[i] / static_cast<double>(done_.size());
      rate += rates_[i];
    }
    line_.show(
        fmt::format("{} {} of {} trained  {:.0f} windows/s", bar_text(fraction, 24), ended_, done_.size(), rate));
  }
  /// Of a run's log what asks for attention.
  void log(const train::TrainOptions& training, const std::string& text) {
    if (text.starts_with("warning: ") || text.starts_with("guard: ")) {
      line_.print(fmt::format("{}: {}", training.run.string(), text));
    }
  }
  void end(size_t training) {
    done_[training] = 1;
    rates_[training] = 0;
    ++ended_;
  }
  void clear() { line_.clear(); }

 private:
  std::vector<double> done_, rates_;
  int64_t ended_ = 0;
  StatusLine line_;
};

std::string state_of(const train::PackResult& result, const train::TrainOptions& options) {
  if (result.error) {
    return "failed";
  }
  if (!result.result.interrupted) {
    return "trained";
  }
  return options.until_epoch > 0 && result.result.epochs >= options.until_epoch ? "stopped, as asked" : "interrupted";
}

void print_table(const std::vector<train::TrainOptions>& trainings, const std::vector<train::PackResult>& results) {
  TextTable table;
  table.add({"run", "", "epochs", "best loss", "in epoch"});
  for (size_t i = 0; i < results.size(); ++i) {
    const train::TrainResult& result = results[i].result;
    const bool has_best = result.best_epoch > 0 && !results[i].error;
    table.add({trainings[i].run.string(), state_of(results[i], trainings[i]), std::to_string(result.epochs),
               has_best ? fmt::format("{:.4f}", result.best_loss) : "",
               has_best ? std::to_string(result.best_epoch) : ""});
  }
  fmt::print("{}", table.text());
}

int exit_code_of(const train::PackResult& result, const train::TrainOptions& options) {
  return result.error                                 ? failure_of(result.error).code
         : state_of(result, options) == "interrupted" ? exit_interrupted
                                                      : exit_ok;
}

std::string to_csv(const std::vector<train::TrainOptions>& trainings, const std::vector<train::PackResult>& results) {
  std::string text = "exit_code,run,epochs,best_loss,best_epoch\n";
  for (size_t i = 0; i < results.size(); ++i) {
    const train::TrainResult& result = results[i].result;
    text += fmt::format("{},{},{},", exit_code_of(results[i], trainings[i]), io::csv_cell(trainings[i].run.string()),
                        result.epochs);
    text += result.best_epoch > 0 ? fmt::format("{},{}\n", result.best_loss, result.best_epoch) : ",\n";
  }
  return text;
}

}  // namespace

int run_pack(std::vector<train::TrainOptions> trainings, int threads,
             const std::optional<std::filesystem::path>& results_file) {
  PackDisplay display(trainings.size());
  const std::atomic<bool>& stop = stop_on_signals();
  for (size_t i = 0; i < trainings.size(); ++i) {
    trainings[i].stop = &stop;
    trainings[i].progress = [&display, i](const train::TrainProgress& progress) { display.show(i, progress); };
    trainings[i].log = [&display, &training = trainings[i]](const std::string& text) { display.log(training, text); };
  }
  const std::vector<train::PackResult> results = train::train_pack(
      {.trainings = trainings, .threads = threads, .ended = [&](size_t training) { display.end(training); }});
  display.clear();
  if (results_file) {
    io::write_text(*results_file, to_csv(trainings, results));
  }
  print_table(trainings, results);
  std::fflush(stdout);
  int code = exit_ok;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].error) {
      continue;
    }
    const Failure failure = failure_of(results[i].error);
    fmt::print(stderr, "evenflow: {}: {}\n", io::escaped(trainings[i].run.string()),
               io::escaped(one_line(failure.sentence)));
    code = code == exit_ok ? failure.code : code;
  }
  if (code == exit_ok && stop.load()) {
    fmt::print("Interrupted; all is saved. The same command with --resume goes on.\n");
    return exit_interrupted;
  }
  return code;
}

}  // namespace evenflow::experiments
