#include "experiments/sweep/leader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#include "experiments/console.h"
#include "experiments/sweep/halving.h"
#include "experiments/sweep/objective.h"
#include "experiments/sweep/runner.h"
#include "experiments/sweep/sampler.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/output_folder.h"
#include "kernels/check.h"
#include "kernels/device.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

constexpr int most_crashes = 3;
constexpr int most_failures = 3;  // where nothing else has come of the sweep

fs::path stop_file(const fs::path& folder) {
  return folder / "stop";
}

/// The GPUs that trainings may be spread over, as CUDA_VISIBLE_DEVICES names them; none where they run elsewhere.
std::vector<std::string> gpus_for(const std::string& device) {
  constexpr int most = 64;
  std::vector<std::string> gpus;
  if (device != "auto") {
    return gpus;
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::istringstream names(visible == nullptr ? "" : visible);
  try {
    for (int i = 0; i < most; ++i) {
      kernels::parse_device(fmt::format("cuda:{}", i));
      std::string name;
      gpus.push_back(std::getline(names, name, ',') ? name : std::to_string(i));
    }
  } catch (const kernels::DeviceError&) {  // there are no more
  }
  return gpus;
}

bool is_full_disk(const std::string& why) {
  constexpr std::array<std::string_view, 4> words = {"disk full", "No space left", "quota exceeded", "File too large"};
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return why.find(word) != std::string::npos; });
}

/// What a repeat's commands complained of last.
std::string last_complaint(const fs::path& log) {
  const std::string text = fs::exists(log) ? io::read_text(log) : "";
  constexpr std::string_view mark = "evenflow: ";
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) {
    return "it says nothing ('" + log.string() + "')";
  }
  return text.substr(at + mark.size(), text.find('\n', at) - at - mark.size());
}

class Leader {
 public:
  Leader(Sweep& sweep, const LeadOptions& options)
      : sweep_(sweep),
        state_(sweep.state),
        o_(options),
        journal_(journal_of(sweep.folder)),
        // Whoever only stops a sweep need not have Optuna: it hears of what has ended when the sweep goes on.
        sampler_(is_optunas(sweep.file.sampler) && !options.only_stop
                     ? make_optuna_sampler(sweep.file, sweep.folder, directions(), known_indices())
                     : make_sampler(sweep.file)),
        runner_(sweep.where == "slurm" ? make_slurm_runner(sweep.folder, slurm_settings())
                                       : make_local_runner(sweep.folder)) {
    plan_jobs();
    journal_.read();  // what open_sweep has replayed
    std::error_code ignored;
    fs::remove(stop_file(sweep.folder), ignored);
    io::make_folder(sweep.folder / "trials");
    io::write_text(sweep.folder / "trial.sh", trial_script(options.program, sweep.folder, sweep.features, sweep.file));
    for (size_t i = 0; i < state_.trials().size(); ++i) {
      last_index_ = std::max(last_index_, state_.trials()[i].index);
      tell(i);
    }
    if (options.retry_failed) {
      retry_failed();
    }
  }

  SweepEnd run() {
    for (;;) {
      collect();
      if (o_.only_stop || stop_asked()) {
        stop();
        return SweepEnd::stopped;
      }
      require_some_success();
      fill();
      o_.progress(sweep_);
      if (running() == 0 && !stop_asked()) {
        return static_cast<int64_t>(state_.trials().size()) < sweep_.trials() ? SweepEnd::exhausted
                                                                              : SweepEnd::finished;
      }
      runner_->wait();
    }
  }

 private:
  std::vector<bool> directions() const {
    std::vector<bool> maximised;
    for (size_t i = 0; i < sweep_.file.objectives.size(); ++i) {
      maximised.push_back(sweep_.maximised(i));
    }
    return maximised;
  }

  std::vector<int64_t> known_indices() const {
    std::vector<int64_t> indices;
    for (const Trial& trial : sweep_.state.trials()) {
      indices.push_back(trial.index);
    }
    return indices;
  }

  /// How fast a training is counts: beside others it would be measured with their load.
  bool is_timed() const {
    const auto& objectives = sweep_.file.objectives;
    return std::find(objectives.begin(), objectives.end(), io::Objective::windows_per_s) != objectives.end();
  }

  io::SlurmSettings slurm_settings() const {
    io::SlurmSettings settings = sweep_.file.slurm;
    if (is_timed()) {
      settings.arguments.emplace_back("--exclusive");
    }
    return settings;
  }

  void plan_jobs() {
    constexpr int64_t usual_on_slurm = 100, usual_on_gpu = 32;
    const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
    const io::TrainSettings& train = sweep_.file.base.train;
    const bool local = sweep_.where != "slurm";
    gpus_ = local ? gpus_for(train.device) : std::vector<std::string>();
    const bool timed = is_timed();
    const bool on_one_gpu = train.device.starts_with("cuda:");
    const int64_t trainings = sweep_.trials() * sweep_.file.repeats;
    jobs_ = o_.jobs;
    if (jobs_ == 0) {
      jobs_ = !local                ? usual_on_slurm
              : timed || on_one_gpu ? 1
              : !gpus_.empty()      ? static_cast<int64_t>(gpus_.size())
                                    : std::max<int64_t>(1, cores / std::max(1, train.threads));
      jobs_ = std::min(jobs_, trainings);
    }
    const bool on_gpus = local && (on_one_gpu || !gpus_.empty());
    const int64_t a_share = (trainings + jobs_ - 1) / std::max<int64_t>(1, jobs_);
    pack_ = o_.pack > 0 ? o_.pack : on_gpus && !timed ? std::min(usual_on_gpu, std::max<int64_t>(1, a_share)) : 1;
    threads_ = varies(sweep_.file.space, "train.threads") ? -1
               : train.threads > 0                        ? train.threads
               : local                                    ? static_cast<int>(std::max<int64_t>(1, cores / jobs_))
                                                          : 0;
  }

  bool stop_asked() const { return o_.stop->load() || fs::exists(stop_file(sweep_.folder)); }

  void note(Event event) {
    event.time = now();
    state_.apply(event);
    journal_.add(std::move(event));
  }

  Event event_of(EventKind kind, size_t trial, const Repeat& repeat, int64_t rung) const {
    return {.kind = kind, .trial = static_cast<int64_t>(trial), .seed = repeat.seed, .rung = rung};
  }

  Job job_of(const Trial& trial, const Repeat& repeat) const {
    return {.trial = trial.hash,
            .seed = repeat.seed,
            .until_epoch = sweep_.rungs[static_cast<size_t>(repeat.running_to)],
            .attempt = repeat.attempt};
  }

  /// Processes, each of which runs a pack until the last of it has ended.
  int64_t running() const { return static_cast<int64_t>(places().size()); }

  // ------------------------------------------------------------------------------------------------ what has ended

  /// The exit code that a job has left; none: it is on its way.
  std::optional<int> exit_code(const Trial& trial, const Repeat& repeat) const {
    const std::string text = io::read_beginning(exit_file(sweep_.folder, job_of(trial, repeat)));
    int code = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    return error == std::errc() ? std::optional(code) : std::nullopt;
  }

  void collect(bool stopping = false) {
    std::vector<std::pair<size_t, size_t>> open;  // trial, repeat
    std::vector<std::string> where;
    for (size_t t = 0; t < state_.trials().size(); ++t) {
      const Trial& trial = state_.trials()[t];
      for (size_t r = 0; r < trial.repeats.size(); ++r) {
        if (!trial.repeats[r].running) {
          continue;
        }
        if (const auto code = exit_code(trial, trial.repeats[r])) {
          settle(t, r, *code);
        } else {
          open.emplace_back(t, r);
          where.push_back(trial.repeats[r].where);
        }
      }
    }
    if (!open.empty()) {
      look_for(open, where, stopping);
    }
    journal_.flush();
  }

  void look_for(const std::vector<std::pair<size_t, size_t>>& open, const std::vector<std::string>& where,
                bool stopping) {
    const std::vector<bool> alive = runner_->alive(where);
    const int patience = stopping ? 1 : runner_->patience();
    for (size_t i = 0; i < open.size(); ++i) {
      const auto [t, r] = open[i];
      if (alive[i]) {
        gone_.erase(where[i]);
        continue;
      }
      const Trial& trial = state_.trials()[t];
      if (const auto code = exit_code(trial, trial.repeats[r])) {  // written while the runner was asked
        settle(t, r, *code);
      } else if (++gone_[where[i]] >= patience) {
        gone_.erase(where[i]);
        crashed(t, r, stopping ? "" : "it was lost with its machine, or killed");
      }
    }
  }

  void settle(size_t t, size_t r, int code) {
    constexpr int of_signals = 128;
    const Repeat& repeat = state_.trials()[t].repeats[r];
    if (code == 0) {
      judge(t, r);
    } else if (code == of_signals + 2) {
      note(event_of(EventKind::ended, t, repeat, repeat.running_to));  // it was told to, and has saved
    } else if (code > of_signals) {
      crashed(t, r, fmt::format("it was ended by signal {}", code - of_signals));
    } else {
      refused(t, r, last_complaint(repeat_folder(sweep_.folder, state_.trials()[t].hash, repeat.seed) / "log.txt"));
    }
  }

  void judge(size_t t, size_t r) {
    const Repeat& repeat = state_.trials()[t].repeats[r];
    const RepeatFiles files(repeat_folder(sweep_.folder, state_.trials()[t].hash, repeat.seed));
    Event event = event_of(EventKind::done, t, repeat, repeat.running_to);
    try {
      for (const io::Objective objective : sweep_.file.objectives) {
        event.objectives.push_back(value_of(objective, files));
      }
    } catch (const io::DataError& error) {
      fail(t, r, error.what());
      return;
    }
    note(event);
    const Trial& trial = state_.trials()[t];
    if (trial.reached(trial.rung)) {
      tell(t);
    }
  }

  void crashed(size_t t, size_t r, const std::string& why) {
    const Repeat& repeat = state_.trials()[t].repeats[r];
    if (repeat.crashes + 1 >= most_crashes && !why.empty()) {
      fail(t, r, fmt::format("{}, {} times in a row", why, most_crashes));
      return;
    }
    Event event = event_of(EventKind::ended, t, repeat, repeat.running_to);
    event.why = why;
    note(std::move(event));
  }

  void refused(size_t t, size_t r, const std::string& why) {
    if (is_full_disk(why)) {
      const Repeat& repeat = state_.trials()[t].repeats[r];
      note(event_of(EventKind::ended, t, repeat, repeat.running_to));
      full_disk_ = why;
      return;
    }
    fail(t, r, why);
  }

  void fail(size_t t, size_t r, const std::string& why) {
    Event event = event_of(EventKind::failed, t, state_.trials()[t].repeats[r], state_.trials()[t].rung);
    event.why = why;
    note(std::move(event));
    o_.log(fmt::format("trial {} failed: {}", state_.trials()[t].hash, why));
    tell(t);
  }

  /// What all trials have in common would fail every one: better to say so at once.
  void require_some_success() {
    if (!full_disk_.empty()) {
      stop();
      throw io::DataError(
          fmt::format("a training could not write: {}; free some space, and the same command goes on", full_disk_));
    }
    // One whose settings do not go together says nothing of the others.
    const auto has_failed = [](const Trial& trial) { return trial.failed && !trial.hash.empty(); };
    const auto& trials = state_.trials();
    const auto failed = std::count_if(trials.begin(), trials.end(), has_failed);
    if (failed < most_failures ||
        std::any_of(trials.begin(), trials.end(), [](const Trial& trial) { return trial.reached(0); })) {
      return;
    }
    stop();
    const auto last = std::find_if(trials.rbegin(), trials.rend(), has_failed);
    throw io::DataError(fmt::format(
        "the first {} trials failed, one of them with: {}; correct that, and `evenflow sweep resume {} --failed` tries "
        "them again",
        failed, last->why, shell_word(sweep_.folder.string())));
  }

  void tell(size_t t) {
    const Trial& trial = state_.trials()[t];
    if (trial.failed) {
      sampler_->tell({.index = trial.index, .end = Told::End::failed});
      return;
    }
    const int64_t rung = trial.reached(trial.rung) ? trial.rung : trial.rung - 1;
    if (rung < 0 || !trial.reached(rung)) {
      return;
    }
    sampler_->tell({.index = trial.index,
                    .end = rung + 1 == state_.rungs() ? Told::End::finished : Told::End::paused,
                    .epoch = sweep_.rungs[static_cast<size_t>(rung)],
                    .values = trial.mean(rung)});
  }

  void retry_failed() {
    for (size_t t = 0; t < state_.trials().size(); ++t) {
      if (state_.trials()[t].failed && !state_.trials()[t].hash.empty()) {
        note(event_of(EventKind::retry, t, state_.trials()[t].repeats.front(), state_.trials()[t].rung));
      }
    }
    journal_.flush();
  }

  // ------------------------------------------------------------------------------------------------ what is started

  void fill() {
    std::vector<std::pair<size_t, size_t>> chosen;
    const auto free = static_cast<size_t>(std::max<int64_t>(0, jobs_ - running()) * pack_);
    const auto take_waiting = [&](size_t t) {
      const Trial& trial = state_.trials()[t];
      for (size_t r = 0; r < trial.repeats.size() && chosen.size() < free; ++r) {
        const std::pair here(t, r);
        if (!trial.failed && !trial.repeats[r].running && trial.repeats[r].rung < trial.rung &&
            std::find(chosen.begin(), chosen.end(), here) == chosen.end()) {
          chosen.push_back(here);
        }
      }
    };
    for (size_t t = 0; t < state_.trials().size() && chosen.size() < free; ++t) {
      take_waiting(t);
    }
    while (chosen.size() < free) {
      if (const auto climber = next_climber()) {
        ++state_.trial(*climber).rung;
        take_waiting(*climber);
      } else if (ask()) {
        take_waiting(state_.trials().size() - 1);
      } else {
        break;
      }
    }
    if (!chosen.empty()) {
      start(chosen);
    }
    journal_.flush();
  }

  std::optional<size_t> next_climber() const {
    if (state_.rungs() == 1) {
      return std::nullopt;
    }
    std::vector<Climber> climbers;
    for (const Trial& trial : state_.trials()) {
      Climber climber;
      for (int64_t rung = 0; rung < state_.rungs() && trial.reached(rung); ++rung) {
        const double value = trial.mean(rung).front();
        climber.at_rung.push_back(sweep_.maximised(0) ? -value : value);
      }
      climber.may_climb = !trial.failed && trial.reached(trial.rung);
      climbers.push_back(std::move(climber));
    }
    return next_to_climb(climbers, state_.rungs(), sweep_.file.halving.factor);
  }

  /// Takes up a point that no trial has. False: there are enough, or there is none.
  bool ask() {
    constexpr int most_known = 1000;
    for (int known = 0; known < most_known && static_cast<int64_t>(state_.trials().size()) < sweep_.trials();) {
      const std::optional<Sampler::Point> point = sampler_->ask(last_index_);
      if (!point) {
        return false;
      }
      last_index_ = point->index;
      if (!take_up(*point)) {
        ++known;
      } else if (!state_.trials().back().failed) {
        return true;
      }
    }
    return false;
  }

  /// False: it is a trial already.
  bool take_up(const Sampler::Point& point) {
    Event event{.trial = static_cast<int64_t>(state_.trials().size()), .index = point.index, .values = point.values};
    std::string refusal;
    try {
      const io::Config config = config_at(sweep_.file.base, point.values);
      event.hash = hash_of(config);
      if (state_.knows(event.hash)) {
        tell_known(point.index, event.hash);
        return false;
      }
      io::make_folder(sweep_.folder / "trials" / event.hash);
      write_quickly(trial_config(sweep_.folder, event.hash), io::to_toml(config));
    } catch (const io::UsageError& error) {
      refusal = error.what();
    }
    note(std::move(event));
    if (!refusal.empty()) {
      fail(state_.trials().size() - 1, 0, refusal);
    }
    return true;
  }

  void tell_known(int64_t index, const std::string& hash) {
    const auto& trials = state_.trials();
    const auto known = std::find_if(trials.begin(), trials.end(), [&](const Trial& t) { return t.hash == hash; });
    const bool finished = state_.state_of(*known) == TrialState::finished;
    sampler_->tell({.index = index,
                    .end = finished ? Told::End::finished : Told::End::failed,
                    .values = finished ? known->mean(known->rung) : std::vector<double>{}});
  }

  void start(const std::vector<std::pair<size_t, size_t>>& chosen) {
    const auto processes = static_cast<size_t>((static_cast<int64_t>(chosen.size()) + pack_ - 1) / pack_);
    std::vector<JobPack> packs(processes);
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto [t, r] = chosen[i];
      const Trial& trial = state_.trials()[t];
      Job job = job_of(trial, trial.repeats[r]);
      job.until_epoch = sweep_.rungs[static_cast<size_t>(trial.rung)];
      job.attempt = trial.repeats[r].attempt + 1;
      job.threads = threads_;
      job.device = gpus_.empty() ? "-" : gpus_[(next_gpu_ + i % processes) % gpus_.size()];
      packs[i % processes].push_back(std::move(job));
    }
    next_gpu_ += processes;
    try {
      runner_->start(packs, [&](const std::vector<std::string>& where) { note_starts(chosen, packs, where); });
    } catch (const io::DataError&) {
      for (const auto& [t, r] : chosen) {
        if (const Repeat& repeat = state_.trials()[t].repeats[r]; repeat.running) {
          note(event_of(EventKind::ended, t, repeat, repeat.running_to));
        }
      }
      journal_.flush();
      throw;
    }
  }

  void note_starts(const std::vector<std::pair<size_t, size_t>>& chosen, const std::vector<JobPack>& packs,
                   const std::vector<std::string>& where) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto [t, r] = chosen[i];
      Event event = event_of(EventKind::start, t, state_.trials()[t].repeats[r], state_.trials()[t].rung);
      event.attempt = packs[i % packs.size()][i / packs.size()].attempt;
      event.where = where[i % packs.size()];
      note(std::move(event));
    }
    journal_.flush();
  }

  // ------------------------------------------------------------------------------------------------ stopping

  void stop() {
    try {
      io::write_text(stop_file(sweep_.folder), "");
    } catch (const io::DataError&) {  // the disk is full, and the trainings are told all the same
    }
    // Again and again: one that SLURM has just put back into its queue was not there to be told.
    for (runner_->stop(places()); running() > 0; runner_->stop(places())) {
      o_.progress(sweep_);
      runner_->wait();
      collect(true);
    }
    std::error_code ignored;
    fs::remove(stop_file(sweep_.folder), ignored);
  }

  /// Where jobs run, each place once.
  std::vector<std::string> places() const {
    std::set<std::string> where;
    for (const Trial& trial : state_.trials()) {
      for (const Repeat& repeat : trial.repeats) {
        if (repeat.running) {
          where.insert(repeat.where);
        }
      }
    }
    return {where.begin(), where.end()};
  }

  Sweep& sweep_;
  SweepState& state_;
  const LeadOptions& o_;
  Journal journal_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Runner> runner_;
  int64_t jobs_ = 1, pack_ = 1;
  int threads_ = 0;  ///< of each training; -1: the space's
  std::vector<std::string> gpus_;
  size_t next_gpu_ = 0;
  int64_t last_index_ = -1;
  std::map<std::string, int> gone_;  ///< how often a job was found gone, by where it was
  std::string full_disk_;
};

}  // namespace

SweepEnd lead_sweep(Sweep& sweep, const LeadOptions& options) {
  return Leader(sweep, options).run();
}

void ask_to_stop(const fs::path& folder) {
  io::write_text(stop_file(folder), "");
}

}  // namespace evenflow::experiments
