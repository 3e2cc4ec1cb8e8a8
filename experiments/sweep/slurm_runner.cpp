#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "experiments/console.h"
#include "experiments/interrupt.h"
#include "experiments/process.h"
#include "experiments/sweep/journal.h"
#include "experiments/sweep/runner.h"
#include "experiments/sweep/space.h"
#include "io/error.h"
#include "io/output_folder.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// A task is known by the name of its array and its index in it: "evenflow-0123456789abcdef-4_17".
class SlurmRunner : public Runner {
 public:
  SlurmRunner(fs::path folder, io::SlurmSettings settings)
      : folder_(std::move(folder)),
        settings_(std::move(settings)),
        largest_array_(largest_array()),
        name_("evenflow-" + text_hash(folder_.string())) {
    io::make_folder(folder_ / "slurm");
  }

  void start(std::span<const JobPack> packs, const Note& note) override {
    std::vector<std::string> where;
    std::vector<std::pair<int64_t, size_t>> arrays;  // number, tasks
    for (size_t first = 0; first < packs.size(); first += largest_array_) {
      const auto array = packs.subspan(first, std::min(largest_array_, packs.size() - first));
      arrays.emplace_back(write_list(array), array.size());
      for (size_t task = 0; task < array.size(); ++task) {
        where.push_back(fmt::format("{}-{}_{}", name_, arrays.back().first, task));
      }
    }
    note(where);
    for (const auto& [number, tasks] : arrays) {
      submit(number, tasks);
    }
  }

  std::vector<bool> alive(std::span<const std::string> where) override {
    const std::optional<std::vector<Task>> tasks = queue();
    answers_ = tasks.has_value();
    if (!answers_) {
      return std::vector<bool>(where.size(), true);
    }
    std::set<std::string> live;
    for (const Task& task : *tasks) {
      live.insert(task.where);
    }
    std::vector<bool> alive;
    std::transform(where.begin(), where.end(), std::back_inserter(alive),
                   [&](const std::string& task) { return live.contains(task); });
    return alive;
  }

  void stop(std::span<const std::string> where) override {
    const std::set<std::string> wanted(where.begin(), where.end());
    std::vector<std::string> pending, running;
    for (const Task& task : queue().value_or(std::vector<Task>{})) {
      // SLURM may put a task back into its queue though it has told how it ended: on a node that went down, say.
      if (task.state == "PENDING" && task.where.starts_with(name_ + "-")) {
        pending.push_back(task.id);
      } else if (wanted.contains(task.where)) {
        running.push_back(task.id);
      }
    }
    tell({"scancel", "--quiet"}, pending);
    tell({"scancel", "--quiet", "--batch", "--signal=TERM"}, running);
  }

  void wait() override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(settings_.poll_s);
    const bool before = stop_.load();
    while (std::chrono::steady_clock::now() < end && stop_.load() == before) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  int patience() const override { return answers_ ? 3 : 1'000'000; }

 private:
  struct Task {
    std::string id, where, state;
  };

  /// Tasks that run or wait to; none: SLURM does not answer.
  static std::optional<std::vector<Task>> queue() {
    const ProgramOutput output = run_program({"squeue", "--noheader", "--array", "--user", std::to_string(::getuid()),
                                              "--states", "all", "--format", "%F_%K %j_%K %T"});
    if (output.code != 0) {
      return std::nullopt;
    }
    std::vector<Task> tasks;
    std::istringstream lines(output.out);
    for (Task task; lines >> task.id >> task.where >> task.state;) {
      if (!has_ended(task.state)) {
        tasks.push_back(task);
      }
    }
    return tasks;
  }

  static void tell(const std::vector<std::string>& words, const std::vector<std::string>& tasks) {
    constexpr size_t most = 500;  // a command line has an end
    for (size_t first = 0; first < tasks.size(); first += most) {
      std::vector<std::string> some = words;
      const size_t last = std::min(first + most, tasks.size());
      some.insert(some.end(), tasks.begin() + static_cast<std::ptrdiff_t>(first),
                  tasks.begin() + static_cast<std::ptrdiff_t>(last));
      run_program(some);
    }
  }

  static bool has_ended(const std::string& state) {
    static const std::set<std::string> ended = {"BOOT_FAIL", "CANCELLED", "COMPLETED",     "DEADLINE", "FAILED",
                                                "NODE_FAIL", "TIMEOUT",   "OUT_OF_MEMORY", "REVOKED"};
    return ended.contains(state);
  }

  /// SLURM's MaxArraySize: indices lie below it.
  static size_t largest_array() {
    constexpr size_t usual = 1000;
    const ProgramOutput config = run_program({"scontrol", "show", "config"});
    const size_t at = config.out.find("MaxArraySize");
    const size_t digits = at == std::string::npos ? at : config.out.find_first_of("0123456789", at);
    size_t size = usual;
    if (digits != std::string::npos) {
      std::from_chars(config.out.data() + digits, config.out.data() + config.out.size(), size);
    }
    return std::clamp<size_t>(size, 1, usual);
  }

  fs::path list(int64_t number) const { return folder_ / "slurm" / fmt::format("jobs_{}.txt", number); }

  /// The words of each task on a line. The list's number, by which the array is known: a name that is given before
  /// SLURM is asked.
  int64_t write_list(std::span<const JobPack> packs) {
    std::string text;
    for (const JobPack& pack : packs) {
      text += fmt::format("{}\n", fmt::join(words_of(pack), " "));
    }
    do {
      ++newest_;
    } while (fs::exists(list(newest_)));
    write_quickly(list(newest_), text);
    return newest_;
  }

  void submit(int64_t number, size_t tasks) const {
    std::vector<std::string> words = {"sbatch",
                                      "--parsable",
                                      "--requeue",
                                      "--open-mode=append",
                                      fmt::format("--array=0-{}", tasks - 1),
                                      fmt::format("--signal=B:TERM@{}", settings_.grace_s),
                                      fmt::format("--job-name={}-{}", name_, number),
                                      fmt::format("--output={}", (folder_ / "slurm" / "%x_%a.log").string()),
                                      fmt::format("--chdir={}", folder_.string())};
    words.insert(words.end(), settings_.arguments.begin(), settings_.arguments.end());
    words.insert(words.end(), {(folder_ / "trial.sh").string(), list(number).string()});
    const ProgramOutput output = run_program(words);
    if (output.code != 0) {
      throw io::DataError(fmt::format("sbatch refuses the trainings: {}; correct [slurm], and the same command goes on",
                                      one_line(output.err.empty() ? output.out : output.err)));
    }
  }

  fs::path folder_;
  io::SlurmSettings settings_;
  size_t largest_array_;
  std::string name_;    ///< of its arrays, the same in every process
  int64_t newest_ = 0;  ///< list
  bool answers_ = true;
  const std::atomic<bool>& stop_ = stop_on_signals();
};

}  // namespace

void require_slurm() {
  if (run_program({"sbatch", "--version"}).code != 0) {
    throw io::UsageError(
        "there is no SLURM on this machine (sbatch cannot be run); start the sweep on a login node of the cluster, or "
        "leave out --on slurm");
  }
}

std::unique_ptr<Runner> make_slurm_runner(const fs::path& folder, const io::SlurmSettings& settings) {
  require_slurm();
  return std::make_unique<SlurmRunner>(folder, settings);
}

}  // namespace evenflow::experiments
