// evenflow train: shards to a run folder.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>

#include "experiments/command.h"
#include "experiments/configuration.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/ranks.h"
#include "experiments/recordings.h"
#include "experiments/train_pack.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/run_folder.h"
#include "train/loop/trainer.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// One training.
struct TrainArguments {
  std::vector<fs::path> shards;
  fs::path run;
  ConfigSource config;
  int64_t until_epoch = 0;
  bool resume = false, replace = false;
};

/// One, or several at once.
struct TrainCommandArguments : TrainArguments {
  int pack = 0;
  std::optional<fs::path> list, results;
  bool force = false;
};

void declare_one(Options& options, TrainArguments& arguments) {
  options.files("SHARD", arguments.shards, "feature shards that `prepare` wrote; with --resume those of the run");
  options.file("--run", arguments.run, "the run folder; always needed but with --list").shown_as("FOLDER");
  options.flag("--resume", arguments.resume, "go on with the run in the folder, with its own configuration and shards");
  options.flag("--replace", arguments.replace, "replace a run that is already in the folder");
  options
      .number("--until-epoch", arguments.until_epoch, 0, 1e6,
              "stop after this epoch, to go on later; the learning rate's schedule stays that of the whole training. "
              "0: train to the end")
      .shown_as("N");
}

void declare_configuration(Options& options, TrainArguments& arguments) {
  options.config(
      arguments.config, [](const std::string&) { return true; }, true);
}

void declare(Options& options, TrainCommandArguments& arguments) {
  declare_one(options, arguments);
  options.number(
      "--pack", arguments.pack, 0, 4096,
      "train N models at once, with the seeds SEED, SEED + 1, ..., in FOLDER/seed_SEED, ...; each is, bit by "
      "bit, the one that it would be alone");
  options.file("--list", arguments.list,
               "train many at once: a line each, with what would follow `evenflow train`; a word with blanks in double "
               "quotes");
  options
      .file("--results", arguments.results,
            "of --pack and --list: a CSV, a row each with its exit code and its best loss")
      .shown_as("FILE.csv");
  options.force(arguments.force);
  declare_configuration(options, arguments);
}

/// What makes --run and --resume enough to go on.
std::vector<fs::path> recorded_shards(const io::RunFolder& run) {
  std::vector<fs::path> shards = run.shards();
  if (shards.empty()) {
    throw io::DataError("run folder '" + run.path().string() +
                        "' does not say what it was trained on (no data.txt); give the shards again: evenflow train "
                        "SHARD... --run " +
                        shell_word(run.path().string()) + " --resume");
  }
  return shards;
}

/// A run that takes another's place removes that one's files, so none of them may be what it is made from.
void require_inputs_elsewhere(const TrainArguments& arguments) {
  Outputs outputs(false);
  outputs.reads(arguments.config);
  for (const fs::path& shard : arguments.shards) {
    outputs.reads(shard, "a shard");
  }
  for (const char* name :
       {"config.toml", "data.txt", "model.h5", "last.h5", "checkpoint.h5", "metrics.csv", "log.txt"}) {
    outputs.writes_own(arguments.run / name);
  }
  std::error_code error;
  const fs::path logs = fs::weakly_canonical(arguments.run / "tensorboard", error);
  for (const fs::path& shard : arguments.shards) {
    const fs::path below = fs::weakly_canonical(shard, error).lexically_relative(logs);
    if (!below.empty() && *below.begin() != "..") {
      throw io::UsageError("the shard '" + shard.string() + "' lies in the run's tensorboard/; move it elsewhere");
    }
  }
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

/// io::UsageError, io::DataError: what is wrong with the arguments before any work.
train::TrainOptions options_of(const TrainArguments& arguments) {
  if (arguments.run.empty()) {
    throw io::UsageError("--run is required: the run folder");
  }
  train::TrainOptions options;
  options.run = arguments.run;
  options.resume = arguments.resume;
  options.replace = arguments.replace;
  options.remember_shards = true;
  options.until_epoch = arguments.until_epoch;
  if (arguments.resume && arguments.replace) {
    throw io::UsageError("--resume and --replace exclude each other; give one");
  }
  if (arguments.resume) {
    const io::RunFolder folder = io::RunFolder::open(arguments.run);
    options.config = resolve(arguments.config, io::read_config(folder.config()));
    options.shards = arguments.shards.empty() ? recorded_shards(folder) : arguments.shards;
  } else {
    if (arguments.shards.empty()) {
      throw io::UsageError("no shard to train on; give the feature shards that `evenflow prepare` wrote");
    }
    options.config = resolve(arguments.config);
    options.shards = arguments.shards;
    require_inputs_elsewhere(arguments);
  }
  require_distinct(options.shards);
  return options;
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

/// Of a training among several, which tells where it comes from.
train::TrainOptions options_of(const TrainArguments& arguments, const std::string& where) {
  try {
    return options_of(arguments);
  } catch (const io::UsageError& error) {
    throw io::UsageError(where + ": " + error.what());
  } catch (const io::DataError& error) {
    throw io::DataError(where + ": " + error.what());
  }
}

/// The same training with the seeds that follow each other.
std::vector<train::TrainOptions> seeds_of(const TrainCommandArguments& arguments) {
  if (!arguments.run.empty() && fs::exists(arguments.run / "config.toml")) {
    throw io::UsageError(fmt::format("'{}' is a run itself; give --pack a folder for runs", arguments.run.string()));
  }
  const auto first = static_cast<int64_t>(resolve(arguments.config).train.seed);
  std::vector<train::TrainOptions> trainings;
  for (int64_t seed = first; seed < first + arguments.pack; ++seed) {
    TrainArguments one = arguments;
    one.run = arguments.run.empty() ? fs::path() : arguments.run / fmt::format("seed_{}", seed);
    one.config.flags.push_back({"train.seed", std::to_string(seed)});
    const bool is_there = fs::exists(one.run / "config.toml");
    if (is_there && !arguments.resume && !arguments.replace) {
      throw io::UsageError(fmt::format(
          "'{}' is a run already; --resume goes on with the runs that are there, --replace trains them anew",
          one.run.string()));
    }
    one.resume = arguments.resume && is_there;
    trainings.push_back(options_of(one, fmt::format("seed {}", seed)));
  }
  return trainings;
}

std::vector<std::string> words_in(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> std::quoted(word);) {
    words.push_back(word);
  }
  return words;
}

/// io::UsageError also where two lines train into one folder.
std::vector<train::TrainOptions> read_list(const fs::path& file) {
  std::vector<train::TrainOptions> trainings;
  std::map<fs::path, size_t> line_of;
  std::istringstream text(io::read_text(file));
  std::string line;
  for (size_t number = 1; std::getline(text, line); ++number) {
    std::vector<std::string> words = words_in(line);
    if (words.empty() || words.front().starts_with('#')) {
      continue;
    }
    const std::string where = fmt::format("'{}', line {}", file.string(), number);
    TrainArguments one;
    try {
      fill_from_words(std::move(words), [&](Options& options) {
        declare_one(options, one);
        declare_configuration(options, one);
      });
    } catch (const io::UsageError& error) {
      throw io::UsageError(where + ": " + error.what());
    }
    trainings.push_back(options_of(one, where));
    const auto [before, is_new] = line_of.emplace(fs::weakly_canonical(one.run), number);
    if (!is_new) {
      throw io::UsageError(fmt::format("{}: line {} trains in '{}' too; give each a folder of its own", where,
                                       before->second, one.run.string()));
    }
  }
  if (trainings.empty()) {
    throw io::UsageError(
        fmt::format("'{}' lists no training; a line is what would follow `evenflow train`", file.string()));
  }
  return trainings;
}

std::vector<train::TrainOptions> trainings_of(const TrainCommandArguments& arguments) {
  if (!arguments.list) {
    return seeds_of(arguments);
  }
  const bool of_lines = !arguments.shards.empty() || !arguments.run.empty() || arguments.pack > 0 ||
                        arguments.config.file || arguments.resume || arguments.replace || arguments.until_epoch > 0;
  const auto is_threads = [](const KeyFlag& flag) { return flag.key == "train.threads"; };
  if (of_lines || !std::all_of(arguments.config.flags.begin(), arguments.config.flags.end(), is_threads)) {
    throw io::UsageError(
        "with --list each line says what to train; beside it stands nothing but --threads and --results");
  }
  return read_list(*arguments.list);
}

int run(const TrainCommandArguments& arguments) {
  if (!arguments.list && arguments.pack == 0) {
    if (arguments.results) {
      throw io::UsageError("--results is of several trainings; give --pack or --list, or leave it out");
    }
    return train_one(arguments);
  }
  if (const int together = kernels::started().together; together > 1) {
    throw io::UsageError(
        fmt::format("{} processes were started together, which train one model; start --pack and --list "
                    "by themselves (without mpirun, srun --ntasks 1)",
                    together));
  }
  const std::vector<train::TrainOptions> trainings = trainings_of(arguments);
  if (arguments.results) {
    Outputs outputs(arguments.force);
    outputs.reads(arguments.config);
    if (arguments.list) {
      outputs.reads(*arguments.list, "the list");
    }
    for (const train::TrainOptions& training : trainings) {
      for (const fs::path& shard : training.shards) {
        outputs.reads(shard, "a shard");
      }
    }
    outputs.writes(*arguments.results, FileKind::trainings);
  }
  return run_pack(trainings, resolve(arguments.config).train.threads, arguments.results);
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
      "  mpirun -n 4 evenflow train features.h5 --run runs/first",
      declare, run);
}

}  // namespace evenflow::experiments
