// Runs a kernel's blocks one after the other, their threads as fibers. Built without ThreadSanitizer's instrumentation
// (CMakeLists.txt): it stands where a GPU's hardware does.
#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "bank_conflicts.h"
#include "block_order.h"
#include "cuda_emulation.h"
#include "device_memory.h"
#include "lost_device.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EVENFLOW_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

// A loop here must not become a call of memset or memcpy, which ThreadSanitizer intercepts.
#ifndef __clang__
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

namespace evenflow::emulation {
namespace {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

#if defined(EVENFLOW_THREAD_SANITIZER)
constexpr bool thread_sanitizer = true;
#else
constexpr bool thread_sanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool address_sanitizer = true;
#else
constexpr bool address_sanitizer = false;
#endif

constexpr size_t stack_bytes = address_sanitizer ? 256 * 1024 : 64 * 1024;
constexpr size_t slot_bytes = 64;
constexpr int warp_threads = 32;

/// What runs a thread: a stack and, to ThreadSanitizer, a thread of its own.
struct Strand {
  unsigned char* stack = nullptr;
  void* tsan = nullptr;
};

/// Two sets of strands, for even and odd blocks: ThreadSanitizer then sees no order between a block and the next.
class Strands {
 public:
  const Strand& get(size_t block, size_t thread) {
    std::vector<Strand>& set = sets_[block % 2];
    while (set.size() <= thread) {
      Strand& strand = set.emplace_back();
      void* stack =
          mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (stack == MAP_FAILED) {
        throw std::bad_alloc();
      }
      strand.stack = static_cast<unsigned char*>(stack);
#if defined(EVENFLOW_THREAD_SANITIZER)
      strand.tsan = __tsan_create_fiber(0);
#endif
    }
    return set[thread];
  }

 private:
  std::array<std::vector<Strand>, 2> sets_;
};

/// Fresh from the kernel each time under ThreadSanitizer, whose memory of earlier blocks' accesses goes with it.
class Pages {
 public:
  Pages() = default;
  ~Pages() { release(); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  unsigned char* get(size_t bytes) {
    if (bytes > size_ || thread_sanitizer) {
      release();
      size_ = std::max<size_t>(bytes, 4096);
      data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (data_ == MAP_FAILED) {
        throw std::bad_alloc();
      }
    }
    return static_cast<unsigned char*>(data_);
  }

 private:
  void release() {
    if (data_ != nullptr) {
      munmap(data_, size_);
    }
    data_ = nullptr;
    size_ = 0;
  }
  void* data_ = nullptr;
  size_t size_ = 0;
};

struct Fault {
  std::string text;
};

enum class Waits { no, block, group, warp, ended };

struct Fiber {
  fcontext_t context = nullptr;
  Coordinates at;
  Waits waits = Waits::no;
  bool predecessor_awaited = false;
  Place place;
  std::vector<PendingCopy> open;                    // asynchronous copies begun
  std::vector<std::vector<PendingCopy>> committed;  // groups, oldest first; each group's last first
  unsigned exchanges = 0, block_barriers = 0, group_barriers = 0, warp_barriers = 0;
  Strand strand;
  void* asan_stack = nullptr;
};

std::string text(const dim3& d) {
  std::string out = "(";
  out += std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z);
  return out += ")";
}
std::string text(const Place& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

/// The kernel that runs at present. One at a time in the process.
struct Block {
  const char* name = "";
  const std::function<void()>* body = nullptr;
  std::vector<Fiber> fibers;
  Fiber* current = nullptr;
  fcontext_t scheduler = nullptr;
  void* scheduler_tsan = nullptr;
  void* scheduler_asan_stack = nullptr;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
  size_t blocks_run = 0;
  Strands strands;
  Pages shared_pages, written_pages, slot_pages;
  SharedBlock shared;
  unsigned char* written = nullptr;  // per 4-byte word of it
  unsigned char* slots = nullptr;    // [warps][2][32][slot_bytes]
  std::string fault;
  // What orders threads, as addresses for ThreadSanitizer. Barriers take turns at two: a thread that goes on late must
  // not be ordered behind one that has come to the next barrier already.
  std::array<char, 2> block_barrier = {};
  char launch_begin = 0, launch_end = 0;
  std::vector<std::array<char, 2>> warp_barrier, group_barrier;  // a group's lies at its first warp
  size_t group_threads = 0;                                      // of a group, once one has met
};
Block running;

/// What bank_conflicts.h counts.
class AccessCounter {
 public:
  void note(size_t thread, unsigned barriers, size_t word, size_t words, bool store, const Place& place) {
    std::vector<std::vector<size_t>>& of_threads = block_[{place.file_name(), place.line(), store, words, barriers}];
    if (of_threads.size() <= thread) {
      of_threads.resize(thread + 1);
    }
    of_threads[thread].push_back(word);
  }
  void end_block(const char* kernel) {
    for (const auto& [key, of_threads] : block_) {
      const auto& [file, line, store, words, barriers] = key;
      SharedAccesses empty{.kernel = kernel, .file = file, .line = line, .store = store};
      empty.bytes = static_cast<int>(4 * words);
      SharedAccesses& sum =
          sums_.try_emplace(std::tuple(std::string(kernel), file, line, store, words), empty).first->second;
      for (size_t first = 0; first < of_threads.size(); first += warp_threads) {
        add_warp(std::span(of_threads).subspan(first, std::min<size_t>(warp_threads, of_threads.size() - first)), words,
                 sum);
      }
    }
    block_.clear();
  }
  std::vector<SharedAccesses> sums() const {
    std::vector<SharedAccesses> all;
    for (const auto& [key, sum] : sums_) {
      all.push_back(sum);
    }
    return all;
  }

 private:
  using Words = std::vector<size_t>;  // a thread's, in its order

  static void add_warp(std::span<const Words> lanes, size_t words, SharedAccesses& sum) {
    constexpr size_t banks = 32;
    size_t most = 0, least = SIZE_MAX;
    for (const Words& lane : lanes) {
      most = std::max(most, lane.size());
      least = lane.empty() ? least : std::min(least, lane.size());
    }
    if (least < most) {
      sum.uneven += static_cast<int64_t>(most);
      return;
    }
    sum.requests += static_cast<int64_t>(most);
    const size_t together = banks / words;
    for (size_t n = 0; n < most; ++n) {
      for (size_t first = 0; first < lanes.size(); first += together) {
        std::array<Words, banks> wanted;
        for (const Words& lane : lanes.subspan(first, std::min(together, lanes.size() - first))) {
          for (size_t i = 0; n < lane.size() && i < words; ++i) {
            Words& bank = wanted[(lane[n] + i) % banks];
            if (std::find(bank.begin(), bank.end(), lane[n] + i) == bank.end()) {
              bank.push_back(lane[n] + i);
            }
          }
        }
        size_t deepest = 0;
        for (const Words& bank : wanted) {
          deepest = std::max(deepest, bank.size());
        }
        sum.wavefronts += static_cast<int64_t>(deepest);
        sum.least += deepest > 0 ? 1 : 0;
      }
    }
  }

  std::map<std::tuple<std::string, unsigned, bool, size_t, unsigned>, std::vector<Words>> block_;  // by thread
  std::map<std::tuple<std::string, std::string, unsigned, bool, size_t>, SharedAccesses> sums_;
};
std::unique_ptr<AccessCounter> access_counter;

KernelRunner* runner = nullptr;
bool last_block_first = false;
long launches_left = 0;  // until the device is lost; 0: it stays; -1: it is gone

void acquire([[maybe_unused]] void* what) {
#if defined(EVENFLOW_THREAD_SANITIZER)
  __tsan_acquire(what);
#endif
}
void release([[maybe_unused]] void* what) {
#if defined(EVENFLOW_THREAD_SANITIZER)
  __tsan_release(what);
#endif
}

size_t index_of(const Fiber& fiber) {
  return static_cast<size_t>(&fiber - running.fibers.data());
}
size_t warp_of(const Fiber& fiber) {
  return index_of(fiber) / warp_threads;
}

void to_scheduler([[maybe_unused]] bool ends) {
  [[maybe_unused]] Fiber& self = *running.current;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(ends ? nullptr : &self.asan_stack, running.scheduler_bottom, running.scheduler_size);
#endif
#if defined(EVENFLOW_THREAD_SANITIZER)
  __tsan_switch_to_fiber(running.scheduler_tsan, __tsan_switch_to_fiber_no_sync);
#endif
  const transfer_t back = jump_fcontext(running.scheduler, nullptr);
  running.scheduler = back.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self.asan_stack, &running.scheduler_bottom, &running.scheduler_size);
#endif
}

void fiber_main(transfer_t from) {
  running.scheduler = from.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &running.scheduler_bottom, &running.scheduler_size);
#endif
  acquire(&running.launch_begin);
  try {
    (*running.body)();
    if (!running.current->predecessor_awaited) {
      fault("the kernel does not begin with after_predecessor()", running.current->place);
    }
    if (!running.current->open.empty() || !running.current->committed.empty()) {
      fault("the thread ends with asynchronous copies that it has not waited for", running.current->place);
    }
  } catch (const Fault& f) {
    if (running.fault.empty()) {
      running.fault = f.text;
    }
  }
  // What the thread allocated it gives back itself: to ThreadSanitizer the scheduler is another thread.
  std::vector<PendingCopy>().swap(running.current->open);
  std::vector<std::vector<PendingCopy>>().swap(running.current->committed);
  running.current->waits = Waits::ended;
  release(&running.launch_end);
  to_scheduler(true);
}

void run(Fiber& fiber) {
  running.current = &fiber;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&running.scheduler_asan_stack, fiber.strand.stack, stack_bytes);
#endif
#if defined(EVENFLOW_THREAD_SANITIZER)
  __tsan_switch_to_fiber(fiber.strand.tsan, __tsan_switch_to_fiber_no_sync);
#endif
  const transfer_t back = jump_fcontext(fiber.context, nullptr);
  fiber.context = back.fctx;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(running.scheduler_asan_stack, nullptr, nullptr);
#endif
}

/// What the threads that never went on have read and written lies before what the host does next.
void abandon_threads() {
#if defined(EVENFLOW_THREAD_SANITIZER)
  for (const Fiber& fiber : running.fibers) {
    __tsan_switch_to_fiber(fiber.strand.tsan, __tsan_switch_to_fiber_no_sync);
    release(&running.launch_end);
    __tsan_switch_to_fiber(running.scheduler_tsan, __tsan_switch_to_fiber_no_sync);
  }
#endif
}

std::string describe(const Fiber& fiber) {
  return "block " + text(fiber.at.block) + ", thread " + text(fiber.at.thread);
}

void fail_waiting(const Fiber& waiting, const std::string& why) {
  running.fault =
      "kernel " + std::string(running.name) + ", " + describe(waiting) + ", " + text(waiting.place) + ": " + why;
}

bool same_place(const Place& a, const Place& b) {
  return a.line() == b.line() && std::string(a.file_name()) == b.file_name();
}

/// Lets [first, last) go on if they all wait for `what`. False if some do and others never will.
bool meet(size_t first, size_t last, Waits what) {
  Fiber* one = nullptr;
  size_t count = 0;
  for (size_t i = first; i < last; ++i) {
    Fiber& fiber = running.fibers[i];
    if (fiber.waits != what) {
      continue;
    }
    ++count;
    if (one == nullptr) {
      one = &fiber;
    }
    if (!same_place(one->place, fiber.place)) {
      fail_waiting(fiber, "waits here while " + describe(*one) + " waits at " + text(one->place));
      return false;
    }
  }
  if (count == 0) {
    return true;
  }
  if (count < last - first) {
    for (size_t i = first; i < last; ++i) {
      if (running.fibers[i].waits != Waits::ended) {
        continue;
      }
      fail_waiting(*one, "waits, but " + describe(running.fibers[i]) + " has ended");
      return false;
    }
    return true;  // others may still come
  }
  for (size_t i = first; i < last; ++i) {
    running.fibers[i].waits = Waits::no;
  }
  return true;
}

void run_block() {
  const size_t threads = running.fibers.size();
  for (bool backwards = false;; backwards = !backwards) {
    bool ran = false;
    for (size_t k = 0; k < threads && running.fault.empty(); ++k) {
      Fiber& fiber = running.fibers[backwards ? threads - 1 - k : k];
      if (fiber.waits != Waits::no) {
        continue;
      }
      ran = true;
      run(fiber);
    }
    if (!running.fault.empty()) {
      return;
    }
    const bool all_ended = std::all_of(running.fibers.begin(), running.fibers.end(),
                                       [](const Fiber& f) { return f.waits == Waits::ended; });
    if (all_ended) {
      return;
    }
    if (!ran) {
      const auto stuck = std::find_if(running.fibers.begin(), running.fibers.end(),
                                      [](const Fiber& f) { return f.waits != Waits::ended; });
      fail_waiting(*stuck, "waits for threads that wait elsewhere");
      return;
    }
    for (size_t first = 0; first < threads; first += warp_threads) {
      if (!meet(first, std::min(first + warp_threads, threads), Waits::warp)) {
        return;
      }
    }
    for (size_t first = 0; running.group_threads > 0 && first < threads; first += running.group_threads) {
      if (!meet(first, std::min(first + running.group_threads, threads), Waits::group)) {
        return;
      }
    }
    if (!meet(0, threads, Waits::block)) {
      return;
    }
  }
}

void prepare_block(const dim3& grid, const dim3& block, const dim3& at, size_t shared_bytes) {
  const size_t threads = static_cast<size_t>(block.x) * block.y * block.z;
  const size_t words = shared_bytes / 4 + 4;
  running.fibers.clear();
  running.fibers.resize(threads);
  running.warp_barrier.assign((threads + warp_threads - 1) / warp_threads, {});
  running.group_barrier = running.warp_barrier;
  running.group_threads = 0;
  running.shared = {running.shared_pages.get(shared_bytes + 16), shared_bytes};
  running.written = running.written_pages.get(words);
  std::memset(running.shared.bytes, 0xFF, shared_bytes);  // NaN
  std::memset(running.written, 0, words);
  running.slots = running.slot_pages.get(running.warp_barrier.size() * 2 * warp_threads * slot_bytes);
  for (size_t i = 0; i < threads; ++i) {
    Fiber& fiber = running.fibers[i];
    const auto n = static_cast<unsigned>(i);
    fiber.at = {{n % block.x, n / block.x % block.y, n / (block.x * block.y)}, at, block, grid};
    fiber.strand = running.strands.get(running.blocks_run, i);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(fiber.strand.stack, stack_bytes);
#endif
    fiber.context = make_fcontext(fiber.strand.stack + stack_bytes, stack_bytes, fiber_main);
  }
  ++running.blocks_run;
}

}  // namespace

const Coordinates& here() {
  return running.current->at;
}

int lane() {
  return static_cast<int>(index_of(*running.current) % warp_threads);
}

void fault(const std::string& what, const Place& place) {
  throw Fault{"kernel " + std::string(running.name) + ", " + describe(*running.current) + ", " + text(place) + ": " +
              what};
}

void note_predecessor_awaited() {
  running.current->predecessor_awaited = true;
}

void arrive_block(const Place& place) {
  Fiber& self = *running.current;
  self.waits = Waits::block;
  self.place = place;
  char* barrier = &running.block_barrier[self.block_barriers++ % 2];
  release(barrier);
  to_scheduler(false);
  acquire(barrier);
}

void arrive_group(int threads, const Place& place) {
  Fiber& self = *running.current;
  const auto size = static_cast<size_t>(threads);
  if (size % warp_threads != 0 || running.fibers.size() % size != 0 ||
      (running.group_threads != 0 && running.group_threads != size)) {
    fault("groups of " + std::to_string(threads) + " threads do not divide the block, or follow on others", place);
  }
  running.group_threads = size;
  self.waits = Waits::group;
  self.place = place;
  char* barrier = &running.group_barrier[index_of(self) / size * size / warp_threads][self.group_barriers++ % 2];
  release(barrier);
  to_scheduler(false);
  acquire(barrier);
}

void arrive_warp(const Place& place) {
  Fiber& self = *running.current;
  self.waits = Waits::warp;
  self.place = place;
  char* barrier = &running.warp_barrier[warp_of(self)][self.warp_barriers++ % 2];
  release(barrier);
  to_scheduler(false);
  acquire(barrier);
}

// A shuffle orders no memory.
const unsigned char* exchange(const void* value, size_t bytes, const Place& place) {
  Fiber& self = *running.current;
  const size_t threads =
      std::min(running.fibers.size() - warp_of(self) * warp_threads, static_cast<size_t>(warp_threads));
  if (threads < warp_threads) {
    fault("a warp of " + std::to_string(threads) + " threads shuffles; a GPU needs all 32", place);
  }
  unsigned char* table = running.slots + (warp_of(self) * 2 + self.exchanges++ % 2) * warp_threads * slot_bytes;
  unsigned char* slot = table + static_cast<size_t>(lane()) * slot_bytes;
  const auto* from = static_cast<const unsigned char*>(value);
  for (size_t i = 0; i < bytes; ++i) {
    slot[i] = from[i];
  }
  self.waits = Waits::warp;
  self.place = place;
  to_scheduler(false);
  return table;
}

SharedBlock shared_block() {
  return running.shared;
}

void mark_written(size_t word, size_t words) {
  for (size_t i = 0; i < words; ++i) {
    running.written[word + i] = 1;
  }
}

bool is_written(size_t word, size_t words) {
  bool all = true;
  for (size_t i = 0; i < words; ++i) {
    all = all && running.written[word + i] != 0;
  }
  return all;
}

void note_access(size_t word, size_t words, bool store, const Place& place) {
  if (access_counter) {
    const Fiber& self = *running.current;
    const unsigned barriers = self.exchanges + self.block_barriers + self.group_barriers + self.warp_barriers;
    access_counter->note(index_of(self), barriers, word, words, store, place);
  }
}

void count_shared_accesses(bool yes) {
  access_counter = yes ? std::make_unique<AccessCounter>() : nullptr;
}

std::vector<SharedAccesses> shared_accesses() {
  return access_counter ? access_counter->sums() : std::vector<SharedAccesses>();
}

unsigned count_arrival(unsigned* counter, unsigned most) {
  acquire(counter);
  const unsigned before = *counter;
  *counter = before >= most ? 0 : before + 1;
  release(counter);
  return before;
}

void begin_copy(const PendingCopy& copy, const Place& place) {
  Fiber& self = *running.current;
  self.place = place;
  // What was there must not be read from now on, until the copy has been waited for.
  for (size_t i = 0; i < 4; ++i) {
    running.written[copy.word + i] = 0;
  }
  self.open.push_back(copy);
}

void commit_copies() {
  Fiber& self = *running.current;
  std::reverse(self.open.begin(), self.open.end());
  self.committed.push_back(std::move(self.open));
  self.open.clear();
}

PendingCopy next_due_copy(int left) {
  Fiber& self = *running.current;
  while (static_cast<int>(self.committed.size()) > left) {
    std::vector<PendingCopy>& oldest = self.committed.front();
    if (oldest.empty()) {
      self.committed.erase(self.committed.begin());
      continue;
    }
    const PendingCopy copy = oldest.back();
    oldest.pop_back();
    return copy;
  }
  return {};
}

void run_last_block_first(bool yes) {
  last_block_first = yes;
}

void lose_device_after(long launches) {
  launches_left = launches;
}

void run_kernels_by(KernelRunner* next) {
  runner = next;
}

namespace {

void emulate(const char* name, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  running.name = name;
  running.body = &thread;
  running.fault.clear();
#if defined(EVENFLOW_THREAD_SANITIZER)
  running.scheduler_tsan = __tsan_get_current_fiber();
#endif
  const size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
  for (size_t k = 0; k < blocks; ++k) {
    const size_t i = last_block_first ? blocks - 1 - k : k;
    const dim3 at(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                  static_cast<unsigned>(i / grid.x / grid.y));
    prepare_block(grid, block, at, shared_bytes);
    release(&running.launch_begin);
    run_block();
    if (access_counter) {
      access_counter->end_block(name);
    }
    if (!running.fault.empty()) {
      abandon_threads();
      acquire(&running.launch_end);
      throw kernels::DeviceError(running.fault);
    }
  }
  acquire(&running.launch_end);
}

}  // namespace

void run_kernel(const char* name, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread,
                const std::function<KernelImage()>& on_a_gpu) {
  if (launches_left > 0 && --launches_left == 0) {
    launches_left = -1;
  }
  if (launches_left < 0) {
    throw kernels::DeviceError(std::string(name) + ": the device was lost (emulated)");
  }
  constexpr unsigned most_threads = 1024;
  const unsigned threads = block.x * block.y * block.z;
  if (threads == 0 || threads > most_threads || shared_bytes > most_shared_bytes) {
    throw kernels::DeviceError(std::string("kernel ") + name + ": no GPU runs blocks of " + std::to_string(threads) +
                               " threads with " + std::to_string(shared_bytes) + " bytes of shared memory");
  }
  if (runner == nullptr) {
    emulate(name, grid, block, shared_bytes, thread);
    return;
  }
  const KernelLaunch launch{.name = name,
                            .image = on_a_gpu(),
                            .grid = {grid.x, grid.y, grid.z},
                            .block = {block.x, block.y, block.z},
                            .shared_bytes = shared_bytes,
                            .last_block_first = last_block_first};
  runner->run(launch, [&] { emulate(name, grid, block, shared_bytes, thread); });
}

}  // namespace evenflow::emulation
