#include "experiments/train_pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/failure.h"
#include "experiments/fleet.h"
#include "experiments/interrupt.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/shard.h"
#include "io/text.h"
#include "train/loop/pack.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// The words of a line. io::UsageError: a quote that is not closed.
std::vector<std::string> words_in(const std::string& line) {
  std::vector<std::string> words;
  bool in_word = false, in_quotes = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (!in_quotes && std::isspace(static_cast<unsigned char>(c)) != 0) {
      in_word = false;
      continue;
    }
    if (!in_word) {
      words.emplace_back();
      in_word = true;
    }
    if (c == '"') {
      in_quotes = !in_quotes;
    } else if (in_quotes && c == '\\' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (in_quotes) {
    throw io::UsageError("a double quote is not closed; close it, or write \\\" between quotes for one of a name");
  }
  return words;
}

/// Runs `work`, whose errors then tell where they come from.
template <class Work>
auto telling(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const io::UsageError& error) {
    throw io::UsageError(where + ": " + error.what());
  } catch (const io::DataError& error) {
    throw io::DataError(where + ": " + error.what());
  }
}

bool is_there(const TrainArguments& arguments) {
  return fs::exists(arguments.run / "config.toml");
}

PackedTraining made_of(TrainArguments arguments, const std::string& name) {
  return telling(name, [&] {
    train::TrainOptions options = options_of(arguments);
    for (const fs::path& shard : options.shards) {
      if (!fs::exists(shard)) {
        throw io::DataError("'" + shard.string() + "' does not exist; check the path");
      }
    }
    return PackedTraining{std::move(arguments), std::move(options), name};
  });
}

/// io::UsageError unless `arguments.run` can be a folder of several runs, which `option` asks for.
void require_folder_of_runs(const TrainArguments& arguments, const std::string& option) {
  if (arguments.run.empty() || (arguments.resume && arguments.replace)) {
    options_of(arguments);  // which says what is wrong
  }
  if (is_there(arguments)) {
    throw io::UsageError(
        fmt::format("'{}' is a run itself; give {} a folder for runs", arguments.run.string(), option));
  }
}

/// One of several in a folder: --resume goes on with it if it is there.
PackedTraining begun_or_gone_on(TrainArguments one) {
  if (is_there(one) && !one.resume && !one.replace) {
    throw io::UsageError(
        fmt::format("'{}' is a run already; --resume goes on with the runs that are there, --replace trains them anew",
                    one.run.string()));
  }
  one.resume = one.resume && is_there(one);
  const std::string name = one.run.string();
  return made_of(std::move(one), name);
}

/// Without a slash at its end, and with links followed.
fs::path place_of(const fs::path& run) {
  const fs::path whole = fs::absolute(run).lexically_normal();
  return fs::weakly_canonical(whole.has_filename() ? whole : whole.parent_path());
}

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
  void log(const std::string& training, const std::string& text) {
    if (text.starts_with("warning: ") || text.starts_with("guard: ")) {
      line_.print(fmt::format("{}: {}", training, text));
    } else if (text.starts_with(note_prefix)) {
      notes_[text.substr(note_prefix.size())].push_back(training);
    }
  }
  /// The logs' notes, each once.
  void print_notes() const {
    for (const auto& [note, trainings] : notes_) {
      print_note(fmt::format("{}: {}", io::first_names(trainings), note));
    }
  }
  void end(size_t training) {
    done_[training] = 1;
    rates_[training] = 0;
    ++ended_;
  }
  void clear() { line_.clear(); }

 private:
  static constexpr std::string_view note_prefix = "note: ";
  std::vector<double> done_, rates_;
  int64_t ended_ = 0;
  std::map<std::string, std::vector<std::string>> notes_;  // with the trainings that have it
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

std::vector<PackedTraining> seeds_of(const TrainArguments& arguments, int count) {
  require_folder_of_runs(arguments, "--pack");
  const auto first = static_cast<int64_t>(resolve(arguments.config).train.seed);
  if (first > std::numeric_limits<int64_t>::max() - count) {
    throw io::UsageError(fmt::format("there are no {} seeds from {} on; give a smaller --seed", count, first));
  }
  std::vector<PackedTraining> trainings;
  for (int64_t seed = first; seed < first + count; ++seed) {
    TrainArguments one = arguments;
    one.run = arguments.run / fmt::format("seed_{}", seed);
    one.config.flags.push_back({"train.seed", std::to_string(seed)});
    trainings.push_back(begun_or_gone_on(std::move(one)));
  }
  return trainings;
}

std::vector<PackedTraining> machines_of(const TrainArguments& arguments) {
  require_folder_of_runs(arguments, "--each machine");
  if (!resolve(arguments.config).train.machine.empty()) {
    throw io::UsageError("train.machine names one machine, and --each machine trains all; leave one of them out");
  }
  TrainArguments all = arguments;
  all.shards = with_shards_of_folders(arguments.shards);
  std::map<std::string, int64_t> clips;
  std::map<std::string, std::vector<fs::path>> trained_on;  // by machine, the shards with training clips of it
  for (const fs::path& path : all.shards) {
    if (fs::is_directory(path)) {
      throw io::DataError(fmt::format(
          "no feature shard lies in the folder '{}'; prepare them (evenflow prepare --each machine)", path.string()));
    }
    const io::Shard shard(path);
    for (const io::Clip& clip : shard.clips()) {
      ++clips[clip.machine];
      std::vector<fs::path>& shards = trained_on[clip.machine];
      if (clip.split == io::Split::train && clip.label != 1 && (shards.empty() || shards.back() != path)) {
        shards.push_back(path);
      }
    }
  }
  if (all.shards.empty()) {
    options_of(all);  // which says what is wrong
  }
  require_file_names(clips, all.shards.front().string());
  std::vector<PackedTraining> trainings;
  for (const auto& [machine, shards] : trained_on) {
    if (shards.empty()) {
      print_note(fmt::format("machine {} gets no model: it has no normal training clip", io::escaped(machine)));
      continue;
    }
    TrainArguments one = all;
    one.shards = shards;
    one.run = arguments.run / machine;
    one.config.flags.push_back({"train.machine", machine});
    trainings.push_back(begun_or_gone_on(std::move(one)));
  }
  if (trainings.empty()) {
    throw io::DataError(fmt::format("no machine in '{}' has a normal training clip; prepare recordings of split train",
                                    all.shards.front().string()));
  }
  return trainings;
}

std::vector<PackedTraining> read_list(const fs::path& file, bool resume) {
  std::vector<PackedTraining> trainings;
  std::string all = io::read_text(file);
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (all.starts_with(byte_order_mark)) {
    all.erase(0, byte_order_mark.size());
  }
  std::istringstream text(all);
  std::string line;
  for (size_t number = 1; std::getline(text, line); ++number) {
    const std::string name = fmt::format("'{}', line {}", file.string(), number);
    std::vector<std::string> words = telling(name, [&] { return words_in(line); });
    if (words.empty() || words.front().starts_with('#')) {
      continue;
    }
    TrainArguments one;
    telling(name, [&] {
      fill_from_words(std::move(words), [&](Options& options) {
        declare_training(options, one);
        declare_configuration(options, one);
      });
    });
    if (resume && !one.run.empty() && is_there(one)) {
      one.resume = true;
      one.replace = false;
    }
    trainings.push_back(made_of(std::move(one), name));
  }
  if (trainings.empty()) {
    throw io::UsageError(
        fmt::format("'{}' lists no training; a line is what would follow `evenflow train`", file.string()));
  }
  return trainings;
}

void require_apart(const std::vector<PackedTraining>& trainings, Outputs& outputs) {
  std::vector<std::pair<std::string, const PackedTraining*>> places;
  places.reserve(trainings.size());
  for (const PackedTraining& training : trainings) {
    places.emplace_back(place_of(training.options.run).string() + "/", &training);
  }
  std::sort(places.begin(), places.end());
  // What lies in a folder follows it.
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i].first.starts_with(places[i - 1].first)) {
      throw io::UsageError(fmt::format("{}: its run is that of {} too, or in it ('{}'); give each a folder of its own",
                                       places[i].second->name, places[i - 1].second->name,
                                       places[i].second->options.run.string()));
    }
  }
  for (const PackedTraining& training : trainings) {
    telling(training.name, [&] { note_files(outputs, training.arguments); });
  }
}

int run_pack(const std::vector<PackedTraining>& trainings, int threads, const std::optional<fs::path>& results_file) {
  PackDisplay display(trainings.size());
  const std::atomic<bool>& stop = stop_on_signals();
  std::vector<train::TrainOptions> options;
  for (size_t i = 0; i < trainings.size(); ++i) {
    options.push_back(trainings[i].options);
    options[i].stop = &stop;
    options[i].progress = [&display, i](const train::TrainProgress& progress) { display.show(i, progress); };
    options[i].log = [&display, &name = trainings[i].name](const std::string& text) { display.log(name, text); };
  }
  const std::vector<train::PackResult> results = train::train_pack(
      {.trainings = options, .threads = threads, .ended = [&](size_t training) { display.end(training); }});
  display.clear();
  display.print_notes();
  print_table(options, results);
  std::fflush(stdout);
  int failed = exit_ok;
  bool interrupted = false;
  for (size_t i = 0; i < results.size(); ++i) {
    const int code = exit_code_of(results[i], options[i]);
    interrupted = interrupted || code == exit_interrupted;
    if (!results[i].error) {
      continue;
    }
    fmt::print(stderr, "evenflow: {}: {}\n", io::escaped(trainings[i].name),
               io::escaped(one_line(failure_of(results[i].error).sentence)));
    failed = failed == exit_ok ? code : failed;
  }
  if (results_file) {
    io::write_text(*results_file, to_csv(options, results));
  }
  if (failed != exit_ok) {
    return failed;
  }
  if (interrupted) {
    fmt::print("Interrupted; all is saved. The same command with --resume goes on.\n");
  }
  return interrupted ? exit_interrupted : exit_ok;
}

}  // namespace evenflow::experiments
