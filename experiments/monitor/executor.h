// A command that is run on alarms, beside the stream.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace evenflow::experiments::monitor {

/// Commands run one after the other in a thread of their own; giving one never waits. One that takes longer than the
/// limit is ended, with its children; of more than 64 that wait the oldest is left out. Either is said.
class Executor {
 public:
  struct Job {
    std::string command;                                           ///< for /bin/sh -c
    std::vector<std::pair<std::string, std::string>> environment;  ///< besides this program's
    std::string input;                                             ///< its standard input
  };
  /// `complain` is called from any thread, a sentence each.
  Executor(double limit_s, std::function<void(const std::string&)> complain);
  /// Lets the command that runs finish within the limit, and runs what waits.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void give(Job job);

 private:
  void work();
  void run(const Job& job) const;

  double limit_s_;
  std::function<void(const std::string&)> complain_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // guarded by mutex_
  bool ending_ = false;   // guarded by mutex_
  std::thread thread_;
};

}  // namespace evenflow::experiments::monitor
