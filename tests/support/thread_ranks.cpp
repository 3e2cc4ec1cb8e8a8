#include "tests/support/thread_ranks.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace evenflow::tests {
namespace {

class Meeting {
 public:
  explicit Meeting(int ranks) : ranks_(ranks), shown_(static_cast<size_t>(ranks)) {}

  struct Shown {
    const void* data = nullptr;
    std::span<const int64_t> offsets;
    bool flag = false;
  };

  int ranks() const { return ranks_; }
  /// All show something; `look` sees what, before anyone goes on.
  template <class Look>
  void meet(int rank, const Shown& mine, const Look& look) {
    shown_[static_cast<size_t>(rank)] = mine;
    wait();
    look(shown_);
    wait();
  }
  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) {
      error_ = std::move(error);
    }
    changed_.notify_all();
  }
  void rethrow() const {
    if (error_) {
      std::rethrow_exception(error_);
    }
  }

 private:
  void wait() {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    if (++waiting_ == ranks_) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return round_ != round || error_; });
    if (round_ == round) {
      throw std::runtime_error("another rank has failed");
    }
  }

  int ranks_, waiting_ = 0;
  int64_t round_ = 0;
  std::vector<Shown> shown_;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

char* at(void* data, int64_t offset) {
  return static_cast<char*>(data) + offset;
}
const char* at(const void* data, int64_t offset) {
  return static_cast<const char*>(data) + offset;
}

void copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

class ThreadRank final : public kernels::Communicator {
 public:
  ThreadRank(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int ranks() const override { return meeting_.ranks(); }
  int rank_on_node() const override { return rank_; }
  int ranks_on_node() const override { return meeting_.ranks(); }
  int cores() const override { return 1; }

  void broadcast(void* data, int64_t bytes, int from) override {
    meeting_.meet(rank_, {data, {}, false}, [&](const auto& shown) {
      if (from != rank_) {
        copy(data, shown[static_cast<size_t>(from)].data, bytes);
      }
    });
  }
  void gather(void* all, std::span<const int64_t> offsets) override {
    meeting_.meet(rank_, {all, {}, false}, [&](const auto& shown) {
      for (int r = 0; r < ranks(); ++r) {
        const auto rank = static_cast<size_t>(r);
        if (r != rank_) {
          copy(at(all, offsets[rank]), at(shown[rank].data, offsets[rank]), offsets[rank + 1] - offsets[rank]);
        }
      }
    });
  }
  void exchange(const void* from, std::span<const int64_t> from_offsets, void* to,
                std::span<const int64_t> to_offsets) override {
    meeting_.meet(rank_, {from, from_offsets, false}, [&](const auto& shown) {
      const auto me = static_cast<size_t>(rank_);
      for (size_t rank = 0; rank < shown.size(); ++rank) {
        const auto& other = shown[rank];
        copy(at(to, to_offsets[rank]), at(other.data, other.offsets[me]), other.offsets[me + 1] - other.offsets[me]);
      }
    });
  }
  bool any(bool mine) override {
    bool found = false;
    meeting_.meet(rank_, {nullptr, {}, mine}, [&](const auto& shown) {
      for (const auto& other : shown) {
        found = found || other.flag;
      }
    });
    return found;
  }

 private:
  Meeting& meeting_;
  int rank_;
};

}  // namespace

void run_ranks(int ranks, const std::function<void(kernels::Communicator& own)>& work) {
  Meeting meeting(ranks);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&meeting, &work, rank] {
      try {
        ThreadRank own(meeting, rank);
        work(own);
      } catch (...) {
        meeting.fail(std::current_exception());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  meeting.rethrow();
}

}  // namespace evenflow::tests
