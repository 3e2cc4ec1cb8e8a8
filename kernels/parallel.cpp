#include "kernels/parallel.h"

#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace evenflow::kernels {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake, done;
  const std::function<void(int64_t, int)>* work = nullptr;
  int64_t items = 0, next = 0;
  uint64_t round = 0;
  int busy = 0;
  bool quit = false;
  int64_t error_item = std::numeric_limits<int64_t>::max();
  std::exception_ptr error;
  std::mutex callers;  // one run() at a time
  std::vector<std::thread> threads;

  void take_items(int worker) {
    for (;;) {
      int64_t item = 0;
      {
        const std::lock_guard lock(mutex);
        if (next >= items || error) {
          return;
        }
        item = next++;
      }
      try {
        (*work)(item, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (item < error_item) {
          error_item = item;
          error = std::current_exception();
        }
      }
    }
  }

  void loop(int worker) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return quit || round != seen; });
        if (quit) {
          return;
        }
        seen = round;
      }
      take_items(worker);
      const std::lock_guard lock(mutex);
      if (--busy == 0) {
        done.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) {
    threads = static_cast<int>(std::thread::hardware_concurrency());
  }
  if (threads < 1) {
    threads = 1;
  }
  for (int worker = 1; worker < threads; ++worker) {
    state_->threads.emplace_back([state = state_.get(), worker] { state->loop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->quit = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) {
    thread.join();
  }
}

int ThreadPool::threads() const {
  return static_cast<int>(state_->threads.size()) + 1;
}

void ThreadPool::run(int64_t items, const std::function<void(int64_t, int)>& work) {
  State& s = *state_;
  const std::lock_guard one_caller(s.callers);
  {
    const std::lock_guard lock(s.mutex);
    s.work = &work;
    s.items = items;
    s.next = 0;
    s.error = nullptr;
    s.error_item = std::numeric_limits<int64_t>::max();
    s.busy = static_cast<int>(s.threads.size());
    ++s.round;
  }
  s.wake.notify_all();
  s.take_items(0);
  std::exception_ptr error;
  {
    std::unique_lock lock(s.mutex);
    s.done.wait(lock, [&] { return s.busy == 0; });
    s.work = nullptr;
    error = std::exchange(s.error, nullptr);
  }
  if (error) {
    std::rethrow_exception(error);
  }
}

}  // namespace evenflow::kernels
