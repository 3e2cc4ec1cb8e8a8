#include "kernels/parallel.h"

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace evenflow::kernels {
namespace {

class Pool : public testing::TestWithParam<int> {};

TEST_P(Pool, RunsEveryItemOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t items : {0, 1, 2, 31, 1009}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(items));
    std::atomic<int> bad_workers{0};
    pool.run(items, [&](int64_t item, int worker) {
      ++calls[static_cast<size_t>(item)];
      if (worker < 0 || worker >= pool.threads()) {
        ++bad_workers;
      }
    });
    for (const std::atomic<int>& count : calls) {
      EXPECT_EQ(count.load(), 1);
    }
    EXPECT_EQ(bad_workers.load(), 0);
  }
}

TEST_P(Pool, AWorkerNeverRunsTwoItemsAtOnce) {
  ThreadPool pool(GetParam());
  // Plain integers: a thread sanitizer sees two threads under one worker's number.
  std::vector<int64_t> per_worker(static_cast<size_t>(pool.threads()));
  pool.run(500, [&](int64_t, int worker) { ++per_worker[static_cast<size_t>(worker)]; });
  int64_t total = 0;
  for (const int64_t count : per_worker) {
    total += count;
  }
  EXPECT_EQ(total, 500);
}

TEST_P(Pool, RethrowsTheLowestItemsExceptionAndGoesOn) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    std::string message;
    try {
      pool.run(100, [](int64_t item, int) {
        if (item >= 17) {
          throw std::runtime_error("item " + std::to_string(item));
        }
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "item 17");
    std::atomic<int64_t> sum{0};
    pool.run(10, [&](int64_t item, int) { sum += item; });
    EXPECT_EQ(sum.load(), 45);
  }
}

TEST_P(Pool, ServesSeveralCallersOneAfterTheOther) {
  ThreadPool pool(GetParam());
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int64_t> done{0};
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        int64_t mine = 0;
        std::mutex mutex;
        pool.run(16, [&](int64_t, int) {
          const int now = ++inside;
          int seen = most.load();
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          {
            const std::lock_guard lock(mutex);
            ++mine;
          }
          --inside;
        });
        done += mine;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(done.load(), 4 * 20 * 16);
  EXPECT_LE(most.load(), pool.threads());
}

INSTANTIATE_TEST_SUITE_P(Threads, Pool, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, ZeroMeansOnePerCore) {
  const ThreadPool pool;
  EXPECT_GE(pool.threads(), 1);
}

}  // namespace
}  // namespace evenflow::kernels
