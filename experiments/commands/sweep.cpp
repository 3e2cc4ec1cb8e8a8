// evenflow sweep: many trainings over a search space, here or on a cluster.
#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <system_error>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/outputs.h"
#include "experiments/sweep/leader.h"
#include "experiments/sweep/runner.h"
#include "experiments/sweep/standing.h"
#include "experiments/sweep/sweep.h"
#include "experiments/sweep/sweep_report.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/file_lock.h"
#include "io/output_folder.h"
#include "io/temporary.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr const char* kind = "sweep";

struct LeadArguments {
  std::string where;
  std::optional<int64_t> trials;
  int64_t jobs = 0, pack = 0;
};

struct SweepArguments {
  fs::path space, out;
  std::vector<fs::path> features;
  LeadArguments lead;
  bool force = false;
};

struct FolderArguments {
  fs::path folder;
  LeadArguments lead;
  bool failed = false;
  int64_t most = 10;
};

void declare_lead(Options& options, LeadArguments& arguments) {
  options.word("--on", arguments.where, {"local", "slurm"},
               "where trainings run: on this machine, or as SLURM's job arrays; default: as before, or local");
  options.number("--trials", arguments.trials, 1, 1e6, "trials in all; default: as SPACE.toml says");
  options
      .number("--jobs", arguments.jobs, 0, 1e5,
              "processes at once; 0: one per GPU, or as many as there are cores; on SLURM 100")
      .shown_as("N");
  options
      .number("--pack", arguments.pack, 0, 4096,
              "trainings side by side in each process; 0: on a GPU of this machine up to 32, else 1")
      .shown_as("N");
}

void declare_sweep(Options& options, SweepArguments& arguments) {
  options.file("SPACE", arguments.space, "the search space (TOML)").shown_as("FILE.toml");
  options.files("FEATURES", arguments.features, "feature shards that `prepare` wrote");
  options.file("--out", arguments.out, "the sweep's folder").shown_as("FOLDER");
  options.force(arguments.force);
  declare_lead(options, arguments.lead);
}

fs::path own_program() {
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) {
    throw io::DataError("cannot find the program's own file (/proc/self/exe): " + error.message());
  }
  return program;
}

/// Prints what a person wants to know, and leaves best.toml and trials.csv.
void print_standing(const Sweep& sweep, size_t most) {
  fmt::print("{}", best_text(sweep, most));
  const std::string best = best_toml(sweep);
  if (best.empty()) {
    return;
  }
  io::write_text(sweep.folder / "best.toml", best);
  io::write_text(sweep.folder / "trials.csv", to_csv(sweep));
  const std::string file = shell_word((sweep.folder / "best.toml").string());
  fmt::print("Best: {}\nNext:\n  evenflow train {} --run run --config {}\n", file,
             shell_word(sweep.features.front().string()), file);
}

int lead(Sweep& sweep, const LeadArguments& arguments, bool retry_failed) {
  if (!arguments.where.empty() && arguments.where != sweep.where &&
      sweep.state.counts().contains(TrialState::running)) {
    throw io::UsageError(fmt::format("trainings of this sweep still run on {}; stop them first: evenflow sweep stop {}",
                                     sweep.where, shell_word(sweep.folder.string())));
  }
  sweep.where = arguments.where.empty() ? sweep.where : arguments.where;
  sweep.file.trials = arguments.trials.value_or(sweep.file.trials);
  save_settings(sweep);
  StatusLine status;
  LeadOptions options;
  options.jobs = arguments.jobs;
  options.pack = arguments.pack;
  options.retry_failed = retry_failed;
  options.program = own_program();
  options.stop = &stop_on_signals();
  options.log = [&](const std::string& line) { status.print(line); };
  options.progress = [&](const Sweep& now) {
    if (status.due()) {
      const auto best = best_of(now);
      status.show(progress_text(now) +
                  (best.empty() ? "" : "; best " + value_text(now, now.state.trials()[best.front()], 0)));
    }
  };
  const SweepEnd end = lead_sweep(sweep, options);
  status.clear();
  fmt::print("{}\n", progress_text(sweep));
  if (end == SweepEnd::stopped) {
    fmt::print("Stopped; what is done is kept. To go on:\n  evenflow sweep resume {}\n",
               shell_word(sweep.folder.string()));
    return exit_interrupted;
  }
  if (end == SweepEnd::exhausted) {
    print_note("the space has no further point that was not tried");
  }
  constexpr size_t shown = 5;
  print_standing(sweep, shown);
  return exit_ok;
}

io::OutputFolder claimed(const fs::path& folder, bool force) {
  return {folder, kind, [](const fs::path&) { return false; }, force};
}

int run_sweep(const SweepArguments& arguments) {
  if (arguments.space.empty() || arguments.features.empty() || arguments.out.empty()) {
    throw io::UsageError(
        "a sweep takes a search space, features and a folder: evenflow sweep SPACE.toml FEATURES.h5 --out FOLDER");
  }
  Outputs outputs(arguments.force);
  outputs.reads(arguments.space, "the search space");
  for (const fs::path& features : arguments.features) {
    outputs.reads(features, "the features");
  }
  for (const char* name : {"space.toml", "base.toml", "sweep.json", "best.toml", "trials.csv", "report.html"}) {
    outputs.writes_own(arguments.out / name);
  }
  if (arguments.lead.where == "slurm") {
    require_slurm();
  }
  std::optional<io::OutputFolder> folder;
  Sweep sweep = begin_sweep(arguments.space, arguments.features, arguments.out, [&] {
    folder.emplace(
        arguments.out, kind, [](const fs::path&) { return false; }, arguments.force);
  });
  return lead(sweep, arguments.lead, false);
}

void declare_folder(Options& options, FolderArguments& arguments) {
  options.file("FOLDER", arguments.folder, "a sweep's folder").required().shown_as("");
}

void require_sweep(const fs::path& folder) {
  if (io::kind_of_folder(folder) != kind) {
    throw io::DataError(fmt::format("'{}' holds no sweep; give the folder that `evenflow sweep SPACE.toml --out` made",
                                    folder.string()));
  }
}

/// Trials that wait at a rung have done their part.
bool is_finished(const Sweep& sweep) {
  const auto counts = sweep.state.counts();
  return static_cast<int64_t>(sweep.state.trials().size()) >= sweep.trials() && !counts.contains(TrialState::waiting) &&
         !counts.contains(TrialState::running);
}

int run_status(const FolderArguments& arguments) {
  require_sweep(arguments.folder);
  const Sweep sweep = open_sweep(arguments.folder);
  const fs::path lock = arguments.folder / io::lock_name;
  fmt::print("{}\n", progress_text(sweep));
  if (io::FileLock::is_held(lock)) {
    fmt::print("Led by {}, on {}.\n", io::FileLock::holder(lock), sweep.where);
  } else if (is_finished(sweep)) {
    fmt::print("It has all its trials.\n");
  } else {
    fmt::print("Nobody leads it. To go on:\n  evenflow sweep resume {}\n", shell_word(arguments.folder.string()));
  }
  constexpr size_t shown = 5;
  fmt::print("{}", best_text(sweep, shown));
  return exit_ok;
}

int run_stop(const FolderArguments& arguments) {
  require_sweep(arguments.folder);
  if (io::FileLock::is_held(arguments.folder / io::lock_name)) {
    ask_to_stop(arguments.folder);
    fmt::print("Asked; the trainings save and end.\n");
    return exit_ok;
  }
  // Trainings on a cluster go on without whoever led them.
  Sweep sweep = open_sweep(arguments.folder);
  if (sweep.state.counts().contains(TrialState::running)) {
    const io::OutputFolder folder = claimed(arguments.folder, false);
    LeadOptions options;
    options.program = own_program();
    options.only_stop = true;
    options.stop = &stop_on_signals();
    options.log = [](const std::string&) {};
    options.progress = [](const Sweep&) {};
    lead_sweep(sweep, options);
  }
  fmt::print("Nothing runs any more. To go on:\n  evenflow sweep resume {}\n", shell_word(arguments.folder.string()));
  return exit_ok;
}

int run_resume(const FolderArguments& arguments) {
  require_sweep(arguments.folder);
  const io::OutputFolder folder = claimed(arguments.folder, false);
  Sweep sweep = open_sweep(arguments.folder);
  return lead(sweep, arguments.lead, arguments.failed);
}

int run_best(const FolderArguments& arguments) {
  require_sweep(arguments.folder);
  print_standing(open_sweep(arguments.folder), static_cast<size_t>(arguments.most));
  return exit_ok;
}

int run_report(const FolderArguments& arguments) {
  require_sweep(arguments.folder);
  const Sweep sweep = open_sweep(arguments.folder);
  write_sweep_report(sweep);
  fmt::print("Report: {}\n", (sweep.folder / "report.html").string());
  return exit_ok;
}

void declare_resume(Options& options, FolderArguments& arguments) {
  declare_folder(options, arguments);
  declare_lead(options, arguments.lead);
  options.flag("--failed", arguments.failed, "try the trials that failed again");
}

void declare_best(Options& options, FolderArguments& arguments) {
  declare_folder(options, arguments);
  options.number("--most", arguments.most, 1, 1e6, "trials to show").shown_as("N");
}

std::vector<Command> folder_commands() {
  return {
      make_command<FolderArguments>("status", "Says how far a sweep is, and who leads it. Any machine may ask.",
                                    "  evenflow sweep status sweeps/rail", declare_folder, run_status),
      make_command<FolderArguments>("stop", "Stops a sweep. Its trainings save and end; nothing is lost.",
                                    "  evenflow sweep stop sweeps/rail", declare_folder, run_stop),
      make_command<FolderArguments>(
          "resume", "Goes on with a sweep. What is finished is kept, and what was stopped goes on from its checkpoint.",
          "  evenflow sweep resume sweeps/rail\n  evenflow sweep resume sweeps/rail --trials 200 --failed",
          declare_resume, run_resume),
      make_command<FolderArguments>(
          "best", "Shows a sweep's best trials. It writes best.toml, the configuration of the first, and trials.csv.",
          "  evenflow sweep best sweeps/rail --most 20", declare_best, run_best),
      make_command<FolderArguments>(
          "report",
          "Makes a page of a sweep. report.html has the objectives over time, all trials as parallel coordinates, how "
          "much each key matters, and the best configuration.",
          "  evenflow sweep report sweeps/rail", declare_folder, run_report),
  };
}

}  // namespace

Command sweep_command() {
  Command command = make_command<SweepArguments>(
      "sweep",
      "Tries many settings and finds the best, here or on a cluster. SPACE.toml says which keys are varied, over which "
      "configuration, and what for. Each trial is a training in a folder of its own. Ctrl-C stops; the same command "
      "goes on.",
      "  evenflow sweep space.toml features.h5 --out sweeps/rail\n"
      "  evenflow sweep space.toml features.h5 --out sweeps/rail --on slurm --jobs 64\n"
      "  evenflow sweep status sweeps/rail",
      declare_sweep, run_sweep);
  command.subcommands = folder_commands();
  return command;
}

}  // namespace evenflow::experiments
