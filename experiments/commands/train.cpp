// evenflow train: shards to a run folder.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/ranks.h"
#include "experiments/train_arguments.h"
#include "experiments/train_pack.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "train/loop/trainer.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// One, or several at once.
struct TrainCommandArguments : TrainArguments {
  int pack = 0;
  bool each_machine = false;
  std::optional<fs::path> list, results;
  bool force = false;
};

void declare(Options& options, TrainCommandArguments& arguments) {
  declare_training(options, arguments);
  options.number(
      "--pack", arguments.pack, 0, 4096,
      "0: one model; N: so many at once, with the seeds SEED, SEED + 1, ..., in FOLDER/seed_SEED, ...; each is, bit by "
      "bit, the one that it would be alone");
  options.each_machine(arguments.each_machine,
                       "a model for each machine of the shards, in FOLDER/<machine>; SHARD may be a folder of shards");
  options.file("--list", arguments.list,
               "train many at once: a line each, with what would follow `evenflow train`; a word with blanks in double "
               "quotes");
  options
      .file("--results", arguments.results,
            "of --pack, --each and --list: a CSV, a row each with its exit code and its best loss")
      .shown_as("FILE.csv");
  options.flag("--force", arguments.force, "replace a file of --results that is not evenflow's own");
  declare_configuration(options, arguments);
}

std::string loss_text(const train::TrainProgress& progress) {
  std::string text = fmt::format("loss {:.4f}", progress.loss);
  if (!std::isnan(progress.validation_loss)) {
    text += fmt::format("  validation {:.4f}", progress.validation_loss);
  }
  return text;
}

std::string rate_text(const train::TrainProgress& progress) {
  return fmt::format("{:.0f} windows/s  {} left", progress.windows_per_second, duration_text(progress.seconds_left));
}

/// On a terminal a bar that follows every step; elsewhere a line per epoch, at most one a second, and the last.
class Display {
 public:
  void show(const train::TrainProgress& progress) {
    if (progress.last) {
      line_.print(fmt::format("epoch {}/{}  {}  {:.0f} windows/s", progress.epoch, progress.epochs, loss_text(progress),
                              progress.windows_per_second));
      return;
    }
    if (!line_.due() || (!terminal_ && !progress.epoch_end)) {
      return;
    }
    if (!terminal_) {
      line_.show(fmt::format("epoch {}/{}  {}  {}", progress.epoch, progress.epochs, loss_text(progress),
                             rate_text(progress)));
      return;
    }
    const double in_epoch =
        progress.epoch_end
            ? 0.0
            : static_cast<double>(progress.step) / static_cast<double>(std::max<int64_t>(progress.steps_per_epoch, 1));
    const double done = (static_cast<double>(progress.epoch) + in_epoch) / static_cast<double>(progress.epochs);
    line_.show(fmt::format("epoch {}/{} {} {}  {}", std::min(progress.epoch + 1, progress.epochs), progress.epochs,
                           bar_text(done, 24), loss_text(progress), rate_text(progress)));
  }
  /// The run's log, without what the display says itself.
  void log(const std::string& text) {
    const bool of_epoch = text.starts_with("epoch ") && text.find(": loss ") != std::string::npos;
    const bool of_end = text.starts_with("finished ") || text.starts_with("stopped after ");
    if (!of_epoch && !of_end) {
      line_.print(text);
    }
  }
  void clear() { line_.clear(); }

 private:
  bool terminal_ = on_terminal();
  StatusLine line_{1.0};
};

void print_next_steps(const TrainArguments& arguments, const std::vector<fs::path>& shards) {
  const io::RunFolder run = io::RunFolder::open(arguments.run);
  fmt::print("Model: {}\nNext:\n  evenflow score --model {} {} --out scores.csv\n", run.model().string(),
             shell_word(run.model().string()), shell_word(shards.front().string()));
}

int train_one(const TrainArguments& arguments) {
  kernels::Communicator& ranks = join_ranks();
  train::TrainOptions options = options_of(arguments);
  options.ranks = &ranks;
  Display display;
  options.stop = &stop_on_signals();
  options.progress = [&](const train::TrainProgress& progress) { display.show(progress); };
  options.log = [&](const std::string& text) { display.log(text); };
  const train::TrainResult result = train::train(options);
  display.clear();
  const bool signalled = result.stopped || options.stop->load();
  if (!ranks.leads()) {
    return result.interrupted && signalled ? exit_interrupted : exit_ok;
  }
  if (result.interrupted && !signalled) {
    fmt::print("Stopped after {}, as asked; all is saved. To go on:\n  evenflow train --run {} --resume\n",
               count_text(result.epochs, "epoch"), shell_word(arguments.run.string()));
    return exit_ok;
  }
  if (result.interrupted) {
    fmt::print("Interrupted after {} and {}; all is saved. To go on:\n  evenflow train --run {} --resume\n",
               count_text(result.epochs, "epoch"), count_text(result.steps, "step"),
               shell_word(arguments.run.string()));
    return exit_interrupted;
  }
  if (result.steps == 0) {
    if (result.out_of_patience) {
      fmt::print(
          "The run is finished: the held-out loss no longer fell after {}. To train longer, set --train.patience 0.\n",
          count_text(result.epochs, "epoch"));
    } else {
      fmt::print("The run is finished: all of its {} are done. To train longer, raise --epochs.\n",
                 count_text(result.epochs, "epoch"));
    }
    return exit_ok;
  }
  fmt::print("Trained {} in {} ({:.0f} windows/s); best loss {:.4f} nats per dimension, in epoch {}.\n",
             count_text(result.epochs, "epoch"), duration_text(result.seconds), result.windows_per_second,
             result.best_loss, result.best_epoch);
  print_next_steps(arguments, options.shards);
  return exit_ok;
}

std::vector<PackedTraining> trainings_of(const TrainCommandArguments& arguments) {
  if (!arguments.list && arguments.each_machine) {
    if (arguments.pack > 0) {
      throw io::UsageError("--pack trains seeds of one model, and --each machine a model of each; give one of them");
    }
    return machines_of(arguments);
  }
  if (!arguments.list) {
    return seeds_of(arguments, arguments.pack);
  }
  const bool of_lines = !arguments.shards.empty() || !arguments.run.empty() || arguments.pack > 0 ||
                        arguments.each_machine || arguments.config.file || arguments.replace ||
                        arguments.until_epoch > 0;
  const auto is_threads = [](const KeyFlag& flag) { return flag.key == "train.threads"; };
  if (of_lines || !std::all_of(arguments.config.flags.begin(), arguments.config.flags.end(), is_threads)) {
    throw io::UsageError(
        "with --list each line says what to train; beside it stands nothing but --resume, --threads and --results");
  }
  return read_list(*arguments.list, arguments.resume);
}

int run(const TrainCommandArguments& arguments) {
  if (!arguments.list && arguments.pack == 0 && !arguments.each_machine) {
    if (arguments.results) {
      throw io::UsageError("--results is of several trainings; give --pack, --each or --list, or leave it out");
    }
    return train_one(arguments);
  }
  if (const int together = kernels::started().together; together > 1) {
    throw io::UsageError(
        fmt::format("{} processes were started together, which train one model; start --pack, --each and --list by "
                    "themselves "
                    "(without mpirun, srun --ntasks 1)",
                    together));
  }
  const std::vector<PackedTraining> trainings = trainings_of(arguments);
  Outputs outputs(arguments.force);
  if (arguments.list) {
    outputs.reads(*arguments.list, "the list");
  }
  require_apart(trainings, outputs);
  if (arguments.results) {
    outputs.writes(*arguments.results, FileKind::trainings);
  }
  const int code = run_pack(trainings, resolve(arguments.config).train.threads, arguments.results);
  if (code == exit_ok && arguments.each_machine) {
    std::string shards;
    for (const fs::path& shard : arguments.shards) {
      shards += ' ' + shell_word(shard.string());
    }
    fmt::print("Next:\n  evenflow score --each machine --model {}{} --out scores.csv\n",
               shell_word(arguments.run.string()), shards);
  }
  return code;
}

}  // namespace

Command train_command() {
  return make_command<TrainCommandArguments>(
      "train",
      "Trains a model on the normal training clips of one or more shards. It leaves a run folder: config.toml, "
      "model.h5 (best), last.h5, checkpoint.h5, metrics.csv, tensorboard/, log.txt. Ctrl-C saves; --resume goes on "
      "exactly where it stopped. Under mpirun or srun --mpi=pmix the processes train one model together, each on a "
      "GPU or on its part of the cores.",
      "  evenflow train features.h5 --run runs/first --epochs 20 --learning-rate 1e-3\n"
      "  evenflow train features.h5 --run runs/paper --config experiments/configs/paper.toml --seed 2\n"
      "  evenflow train --run runs/first --resume\n"
      "  evenflow train features.h5 --run runs/five --pack 5\n"
      "  evenflow train --each machine shards --run runs\n"
      "  mpirun -n 4 evenflow train features.h5 --run runs/first",
      declare, run);
}

}  // namespace evenflow::experiments
