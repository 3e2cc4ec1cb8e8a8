#include "experiments/monitor/monitor.h"

#include <poll.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "experiments/monitor/machine.h"
#include "experiments/monitor/metrics.h"
#include "experiments/monitor/outlet.h"
#include "experiments/monitor/state_file.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/file_lock.h"

namespace evenflow::experiments::monitor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int look_for_requests_ms = 100;
constexpr int look_at_files_ms = 20;

/// The machines of one thread, and the models that they hear with.
class Worker {
 public:
  Worker(const MonitorSettings& settings, Outlet& outlet) : settings_(settings), outlet_(outlet) {}

  void add(const io::MonitorSource& source, const nlohmann::json& memory) {
    machines_.push_back(Machine::make(source, settings_, model(source.model), outlet_, memory));
    ready_.push_back(true);
  }
  const std::vector<std::unique_ptr<Machine>>& machines() const { return machines_; }
  const LoadedModel& model_of(const io::MonitorSource& source) { return *model(source.model); }
  /// Why the first machine failed that did, once work() has returned.
  const std::exception_ptr& failure() const { return failure_; }

  /// Until all have ended, or a stop.
  void work(const std::atomic<bool>& stop, const std::atomic<int>& reloads) {
    int reloaded = 0;
    while (!stop && std::any_of(machines_.begin(), machines_.end(), [](const auto& m) { return !m->ended(); })) {
      if (reloads != reloaded) {
        reloaded = reloads;
        reload();
      }
      wait(step_ready());
    }
  }

 private:
  std::shared_ptr<LoadedModel> model(const std::filesystem::path& file) {
    std::shared_ptr<LoadedModel>& known = models_[file];
    if (!known) {
      known = std::make_shared<LoadedModel>(file, settings_);
    }
    return known;
  }

  /// Steps the machines that have something; true if one may have more at once.
  bool step_ready() {
    bool more = false;
    for (size_t i = 0; i < machines_.size(); ++i) {
      if (ready_[i]) {
        ready_[i] = step(*machines_[i]);
        more = more || ready_[i];
      }
    }
    return more;
  }

  bool step(Machine& machine) {
    try {
      return machine.step();
    } catch (const std::exception& error) {
      if (outlet_.is_gone()) {
        throw;
      }
      machine.fail(error.what());
      failure_ = failure_ ? failure_ : std::current_exception();
      return false;
    }
  }

  /// Until a machine has something, or it is time to look at clocks and at what cannot be polled.
  void wait(bool more) {
    waiting_.clear();
    auto limit = std::chrono::milliseconds(more ? 0 : look_for_requests_ms);
    for (const std::unique_ptr<Machine>& machine : machines_) {
      const int descriptor = machine->ended() ? -1 : machine->descriptor();
      waiting_.push_back({descriptor, POLLIN, 0});  // of -1 nothing is reported
      if (descriptor < 0 && !machine->ended()) {
        limit = std::min(limit, std::chrono::milliseconds(look_at_files_ms));
      }
    }
    ::poll(waiting_.data(), waiting_.size(), static_cast<int>(limit.count()));
    const bool round = Clock::now() >= next_round_;
    if (round) {
      next_round_ = Clock::now() + std::chrono::milliseconds(look_at_files_ms);
    }
    for (size_t i = 0; i < machines_.size(); ++i) {
      ready_[i] = ready_[i] || waiting_[i].revents != 0 || round;
    }
  }

  void reload() {
    for (auto& [file, known] : models_) {
      try {
        auto fresh = std::make_shared<LoadedModel>(file, settings_);
        for (const std::unique_ptr<Machine>& machine : machines_) {
          if (machine->source().model == file && !machine->ended()) {
            machine->set_model(fresh);
          }
        }
        known = std::move(fresh);
        outlet_.say(
            fmt::format("'{}' is reloaded and hears from the next clip on: {}", file.string(), known->describe()));
      } catch (const std::exception& error) {
        if (outlet_.is_gone()) {
          throw;
        }
        outlet_.say(fmt::format("the model is not reloaded, and the old one goes on: {}", error.what()));
      }
    }
  }

  const MonitorSettings& settings_;
  Outlet& outlet_;
  std::map<std::filesystem::path, std::shared_ptr<LoadedModel>> models_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::vector<bool> ready_;       // by machine: it may have something
  std::vector<pollfd> waiting_;   // by machine
  Clock::time_point next_round_;  // when all are stepped
  std::exception_ptr failure_;
};

/// The state's file, and what is known of whether it can be written.
class StateKeeper {
 public:
  StateKeeper(const std::filesystem::path& file, bool replace, Outlet& outlet) : file_(file), outlet_(outlet) {
    std::filesystem::path lock = io::behind_links(file);  // one lock, by whatever link the file is named
    lock += ".lock";
    lock_ = io::FileLock::take(lock);
    if (!lock_) {
      throw io::UsageError(fmt::format("another monitor keeps its state in '{}' ({}); name another file", file.string(),
                                       io::FileLock::holder(lock)));
    }
    if (!replace || is_state(file)) {
      memories_ = read_state(file);
    }
  }

  nlohmann::json memory_of(const std::string& machine) const {
    const auto found = memories_.find(machine);
    return found == memories_.end() ? nlohmann::json() : found->second;
  }

  /// What cannot be saved is said once, and tried again next time: the monitor goes on.
  void save(const std::vector<const Machine*>& machines) {
    for (const Machine* machine : machines) {
      memories_[machine->source().name] = machine->memory();
    }
    try {
      write_state(file_, memories_);
      failed_ = false;
    } catch (const io::DataError& error) {
      if (!std::exchange(failed_, true)) {
        outlet_.say(fmt::format("the state is not saved, and is tried again: {}", error.what()));
      }
    }
  }

 private:
  std::filesystem::path file_;
  Outlet& outlet_;
  std::optional<io::FileLock> lock_;
  Memories memories_;
  bool failed_ = false;
};

/// The threads that hear, from start to end.
class Crew {
 public:
  explicit Crew(const std::vector<std::unique_ptr<Worker>>& workers) : working_(static_cast<int>(workers.size())) {
    for (const std::unique_ptr<Worker>& worker : workers) {
      threads_.emplace_back([this, worker = worker.get()] {
        try {
          worker->work(stop_, reloads_);
        } catch (...) {
          const std::lock_guard lock(mutex_);
          failure_ = failure_ ? failure_ : std::current_exception();
          stop_ = true;
        }
        const std::lock_guard lock(mutex_);
        --working_;
        changed_.notify_all();
      });
    }
  }
  ~Crew() { end(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Waits a while; false once all have ended.
  bool works_on() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(look_for_requests_ms), [this] { return working_ == 0; });
    return working_ > 0;
  }
  void reload() { ++reloads_; }
  void end() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }
  /// After end().
  const std::exception_ptr& failure() const { return failure_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stop_{false};  // a stop was requested, or a thread has failed
  std::atomic<int> reloads_{0};
  int working_;                 // guarded by mutex_
  std::exception_ptr failure_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace

void run_monitor(const std::vector<io::MonitorSource>& sources, const MonitorSettings& settings,
                 const Requests& requests) {
  Outlet outlet(settings, sources);
  std::optional<StateKeeper> keeper;
  if (settings.state) {
    keeper.emplace(*settings.state, settings.replace_state, outlet);
  }
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<const Machine*> machines;
  const auto count = std::min(static_cast<size_t>(std::max(settings.threads, 1)), sources.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    if (i < count) {
      workers.push_back(std::make_unique<Worker>(settings, outlet));
    }
    Worker& worker = *workers[i % count];
    worker.add(sources[i], keeper ? keeper->memory_of(sources[i].name) : nlohmann::json());
    machines.push_back(worker.machines().back().get());
  }
  std::optional<MetricsServer> metrics;
  if (settings.metrics_port) {
    metrics.emplace(*settings.metrics_port, [&machines] {
      std::vector<MachineStatus> all;
      all.reserve(machines.size());
      for (const Machine* machine : machines) {
        all.push_back(machine->status());
      }
      return metrics_text(all);
    });
    outlet.say(fmt::format("metrics are at http://127.0.0.1:{}/metrics", metrics->port()));
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    outlet.say(fmt::format("{} is heard: {}", sources[i].name, workers[i % count]->model_of(sources[i]).describe()));
  }

  Crew crew(workers);
  auto saved = Clock::now();
  while (crew.works_on() && !requests.stop) {
    if (requests.reload.exchange(false)) {
      crew.reload();
    }
    const bool due = std::chrono::duration<double>(Clock::now() - saved).count() >= settings.save_s;
    if (keeper && (outlet.alarm_changed() || due)) {
      keeper->save(machines);
      saved = Clock::now();
    }
  }
  crew.end();
  if (keeper) {
    keeper->save(machines);
  }
  if (crew.failure()) {
    std::rethrow_exception(crew.failure());
  }
  for (const std::unique_ptr<Worker>& worker : workers) {
    if (worker->failure()) {
      std::rethrow_exception(worker->failure());
    }
  }
}

}  // namespace evenflow::experiments::monitor
