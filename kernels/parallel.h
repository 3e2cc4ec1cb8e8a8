// A fixed pool of CPU threads for independent pieces of work.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace evenflow::kernels {

/// Threads that wait (blocking, not spinning) between calls. Results must not depend on which worker takes which item.
class ThreadPool {
 public:
  /// threads = 0: one per core. The calling thread is worker 0.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  int threads() const;
  /// Calls work(item, worker) for each item in [0, items); worker in [0, threads()). Items are handed out in order.
  /// The first exception (lowest item) is rethrown after all workers stopped.
  void run(int64_t items, const std::function<void(int64_t item, int worker)>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::kernels
