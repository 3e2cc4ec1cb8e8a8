// kernels/cuda/execution.h on the CPU: a block's threads are fibers, blocks run one after the other.
//
// What a GPU would forgive or answer with noise is a fault here, reported with the kernel, thread and place: a barrier
// that not all threads reach, a thread that ends while others wait, a read of shared memory that nothing wrote, an
// index outside of shared memory, an asynchronous copy read before it was waited for, misaligned vector accesses.
// Device memory cannot be touched by the host between launches, and operations run at synchronise(), not before. Under
// ThreadSanitizer each thread of a block is a thread to it, without order but that of the barriers.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kernel_runner.h"
#include "kernels/check.h"
#include "kernels/cuda/launch_limits.h"
#include "kernels/stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3() = default;
  constexpr dim3(unsigned x_, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}  // NOLINT: as CUDA's
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
struct alignas(8) int2 {
  int x, y;
};
inline int2 make_int2(int x, int y) {
  return {x, y};
}
struct alignas(16) int4 {
  int x, y, z, w;
};
// NOLINTEND(readability-identifier-naming)

namespace evenflow::emulation {

/// Where in the source: std::source_location, which clang-tidy 14 does not know yet.
class Place {
 public:
  constexpr Place() = default;
  static constexpr Place current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    Place place;
    place.file_ = file;
    place.line_ = line;
    return place;
  }
  constexpr const char* file_name() const { return file_; }
  constexpr unsigned line() const { return line_; }

 private:
  const char* file_ = "";
  unsigned line_ = 0;
};

/// The running thread's coordinates.
struct Coordinates {
  dim3 thread, block, block_size, grid_size;
};
const Coordinates& here();

/// Ends the running kernel with a message that names it, the thread and the place.
[[noreturn]] void fault(const std::string& what, const Place& place);

/// Waits for all threads of the block, of the group of so many that the thread is one of, or of the warp.
void arrive_block(const Place& place);
void arrive_group(int threads, const Place& place);
void arrive_warp(const Place& place);

/// All lanes hand in `bytes` bytes; each gets the table of all lanes' (32 slots of 64 bytes), good until its next call.
const unsigned char* exchange(const void* value, size_t bytes, const Place& place);
int lane();

/// The block's dynamic shared memory.
struct SharedBlock {
  unsigned char* bytes = nullptr;
  size_t size = 0;
};
SharedBlock shared_block();

/// Of shared memory's words [word, word + words). Out of ThreadSanitizer's sight.
void mark_written(size_t word, size_t words);
bool is_written(size_t word, size_t words);

/// A thread's access to them, for whoever counts bank conflicts (bank_conflicts.h).
void note_access(size_t word, size_t words, bool store, const Place& place);

/// A counter's next value, out of ThreadSanitizer's sight, which learns that later arrivals follow earlier ones.
unsigned count_arrival(unsigned* counter, unsigned most);

/// A thread that ends without having said so is a fault: on a GPU its kernel would run into the one before it.
void note_predecessor_awaited();

struct PendingCopy {
  float* to = nullptr;
  const float* from = nullptr;
  size_t word = 0;
};
void begin_copy(const PendingCopy& copy, const Place& place);
void commit_copies();
/// The thread's next copy to be done so that at most `left` groups stay open; null `to`: none.
PendingCopy next_due_copy(int left);

/// One element of shared memory, or several at once: reads and writes are seen.
template <class T>
class SharedRef {
  static_assert(sizeof(T) % 4 == 0, "shared memory is dealt out in words of 4 bytes");

 public:
  SharedRef(void* at, size_t word, const Place& place) : at_(at), word_(word), place_(place) {}
  operator T() const {  // NOLINT(google-explicit-constructor): stands for a T&
    note_access(word_, sizeof(T) / 4, false, place_);
    if (!is_written(word_, sizeof(T) / 4)) {
      fault("shared memory that nothing has written is read", place_);
    }
    T value;
    std::memcpy(&value, at_, sizeof value);  // of several elements there is no T there
    return value;
  }
  const SharedRef& operator=(T value) const {
    note_access(word_, sizeof(T) / 4, true, place_);
    mark_written(word_, sizeof(T) / 4);
    std::memcpy(at_, &value, sizeof value);
    return *this;
  }
  const SharedRef& operator=(const SharedRef& other) const { return *this = static_cast<T>(other); }  // NOLINT: a T&
  SharedRef(const SharedRef&) = default;
  ~SharedRef() = default;
  const SharedRef& operator+=(T value) const { return *this = static_cast<T>(*this) + value; }
  const SharedRef& operator-=(T value) const { return *this = static_cast<T>(*this) - value; }
  const SharedRef& operator*=(T value) const { return *this = static_cast<T>(*this) * value; }

 private:
  void* at_;
  size_t word_;
  Place place_;
};

/// An index with the place where it was used.
struct Index {
  int64_t value;
  Place place;
  template <class I>
  requires std::is_integral_v<I> Index(
      I i, Place at = Place::current())  // NOLINT(google-explicit-constructor): stands for an integer
      : value(static_cast<int64_t>(i)), place(at) {}
};

/// A pointer into shared memory that knows its array's bounds.
template <class T>
class SharedPointer {
 public:
  SharedPointer() = default;
  SharedPointer(T* begin, int64_t size) : begin_(begin), size_(size) {}
  SharedRef<T> operator[](Index i) const {
    T* at = checked(i.value, 1, i.place);
    return {at, word_of(at), i.place};
  }
  SharedRef<T> operator*() const { return (*this)[0]; }
  template <class I>
  requires std::is_integral_v<I> SharedPointer operator+(I offset) const {
    SharedPointer moved = *this;
    moved.offset_ += static_cast<int64_t>(offset);
    return moved;
  }
  template <class I>
  requires std::is_integral_v<I> SharedPointer& operator+=(I offset) {
    offset_ += static_cast<int64_t>(offset);
    return *this;
  }
  /// `count` elements from here on; what lies outside of the array is a fault.
  T* checked(int64_t i, int64_t count, const Place& place) const {
    if (offset_ + i < 0 || offset_ + i + count > size_) {
      fault("index " + std::to_string(offset_ + i) + " of a shared array of " + std::to_string(size_), place);
    }
    return begin_ + offset_ + i;
  }
  size_t word_of(const T* at) const {
    return static_cast<size_t>(reinterpret_cast<const unsigned char*>(at) - shared_block().bytes) / 4;
  }

 private:
  T* begin_ = nullptr;
  int64_t size_ = 0, offset_ = 0;
};

/// What serves one model: DeviceError on a stream that serves several lanes.
void run_later(kernels::Stream& stream, std::function<void()> work);
/// What serves all of the stream's lanes.
void run_later_for_lanes(kernels::Stream& stream, std::function<void()> work);
/// `on_a_gpu` says what a GPU would be handed; it is asked only if somebody wants to know.
void run_kernel(const char* name, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread,
                const std::function<KernelImage()>& on_a_gpu);

}  // namespace evenflow::emulation

#define threadIdx (::evenflow::emulation::here().thread)
#define blockIdx (::evenflow::emulation::here().block)
#define blockDim (::evenflow::emulation::here().block_size)
#define gridDim (::evenflow::emulation::here().grid_size)

namespace evenflow::kernels::cuda {

inline constexpr int warp_size = 32;

template <class T>
using Shared = emulation::SharedPointer<T>;

class SharedMemory {
 public:
  template <class T>
  Shared<T> take(int count, emulation::Place place = emulation::Place::current()) {
    const emulation::SharedBlock block = emulation::shared_block();
    const size_t begin = used_;
    const size_t end = begin + static_cast<size_t>(count) * sizeof(T);
    used_ = (end + 15) / 16 * 16;
    if (count < 0 || end > block.size) {
      emulation::fault("more shared memory is taken (" + std::to_string(end) + " bytes) than the launch asked for (" +
                           std::to_string(block.size) + ")",
                       place);
    }
    return {reinterpret_cast<T*>(block.bytes + begin), count};
  }

 private:
  size_t used_ = 0;
};

inline void check_aligned(const void* p, const emulation::Place& place) {
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) {
    emulation::fault("an access of 16 bytes is not aligned", place);
  }
}
inline void check_aligned_pair(const void* p, const emulation::Place& place) {
  if (reinterpret_cast<uintptr_t>(p) % 8 != 0) {
    emulation::fault("an access of 8 bytes is not aligned", place);
  }
}
inline float2 load2(const float* p, emulation::Place place = emulation::Place::current()) {
  check_aligned_pair(p, place);
  return {p[0], p[1]};
}
inline float4 load4(const float* p, emulation::Place place = emulation::Place::current()) {
  check_aligned(p, place);
  return {p[0], p[1], p[2], p[3]};
}
inline void store4(float* p, float4 v, emulation::Place place = emulation::Place::current()) {
  check_aligned(p, place);
  p[0] = v.x;
  p[1] = v.y;
  p[2] = v.z;
  p[3] = v.w;
}
/// As many elements at once as a Vector has.
template <class Vector, class T>
emulation::SharedRef<Vector> vector_at(Shared<T> p, const emulation::Place& place) {
  T* at = p.checked(0, sizeof(Vector) / sizeof(T), place);
  (sizeof(Vector) == 8 ? check_aligned_pair : check_aligned)(at, place);
  return {at, p.word_of(at), place};
}
inline float2 load2(Shared<float> p, emulation::Place place = emulation::Place::current()) {
  return vector_at<float2>(p, place);
}
inline int2 load2(Shared<int> p, emulation::Place place = emulation::Place::current()) {
  return vector_at<int2>(p, place);
}
inline int4 load4(Shared<int> p, emulation::Place place = emulation::Place::current()) {
  return vector_at<int4>(p, place);
}
template <class T, class Pair>
void store2(Shared<T> p, Pair v, emulation::Place place = emulation::Place::current()) {
  vector_at<Pair>(p, place) = v;
}
inline void write4(float* p, float4 v, emulation::Place place = emulation::Place::current()) {
  store4(p, v, place);
}
inline float4 load4(Shared<float> p, emulation::Place place = emulation::Place::current()) {
  return vector_at<float4>(p, place);
}
inline void store4(Shared<float> p, float4 v, emulation::Place place = emulation::Place::current()) {
  vector_at<float4>(p, place) = v;
}

inline float load_at_byte(Shared<float> p, int place_in_bytes, emulation::Place place = emulation::Place::current()) {
  constexpr int bytes = sizeof(float);
  if (place_in_bytes % bytes != 0) {
    emulation::fault("an access of 4 bytes is not aligned", place);
  }
  return p[emulation::Index(place_in_bytes / bytes, place)];
}

inline void sync_block(emulation::Place place = emulation::Place::current()) {
  emulation::arrive_block(place);
}
template <int kThreads>
void sync_group(emulation::Place place = emulation::Place::current()) {
  emulation::arrive_group(kThreads, place);
}
inline void sync_warp(emulation::Place place = emulation::Place::current()) {
  emulation::arrive_warp(place);
}

template <class T>
T shuffle(T value, int lane, emulation::Place place = emulation::Place::current()) {
  const unsigned char* table = emulation::exchange(&value, sizeof value, place);
  std::memcpy(&value, table + 64 * (static_cast<size_t>(lane) % warp_size), sizeof value);
  return value;
}
template <class T>
T shuffle_xor(T value, int mask, emulation::Place place = emulation::Place::current()) {
  return cuda::shuffle(value, emulation::lane() ^ mask, place);  // not std::shuffle
}
template <class T>
T shuffle_down(T value, int delta, emulation::Place place = emulation::Place::current()) {
  const int from = emulation::lane() + delta;
  return cuda::shuffle(value, from < warp_size ? from : emulation::lane(), place);
}

inline void copy_async(Shared<float> shared, const float* device,
                       emulation::Place place = emulation::Place::current()) {
  float* to = shared.checked(0, 4, place);
  check_aligned(to, place);
  check_aligned(device, place);
  emulation::begin_copy({to, device, shared.word_of(to)}, place);
}
inline void commit_copies() {
  emulation::commit_copies();
}
template <int kLeft>
void wait_copies() {
  for (auto copy = emulation::next_due_copy(kLeft); copy.to != nullptr; copy = emulation::next_due_copy(kLeft)) {
    for (int i = 0; i < 4; ++i) {
      copy.to[i] = copy.from[i];
    }
    emulation::mark_written(copy.word, 4);
  }
}

inline unsigned count_arrival(unsigned* counter, unsigned most) {
  return emulation::count_arrival(counter, most);
}

inline void after_predecessor() {
  emulation::note_predecessor_awaited();
}

/// As on a GPU; the emulation knows where the first lane's memory lies, and faults a pointer from elsewhere.
struct LaneStrides {
  int64_t memory = 0, scratch = 0;
  const unsigned char *lane = nullptr, *scratch_of_lane = nullptr;
};

template <class T>
void check_lane(T* p, int64_t stride, const unsigned char* first) {
  const auto* at = reinterpret_cast<const unsigned char*>(p);
  if (gridDim.z > 1 && p != nullptr && !(at >= first && at < first + stride)) {
    emulation::fault("a pointer that is to be moved to a lane is not into the first lane's memory", {});
  }
}
template <class Pointer>
void move_bytes(Pointer& p, int64_t stride, const unsigned char* first) {
  check_lane(p, stride, first);
  if (p != nullptr) {
    const auto* at = reinterpret_cast<const unsigned char*>(p) + blockIdx.z * stride;
    p = reinterpret_cast<Pointer>(const_cast<unsigned char*>(at));
  }
}
template <class... Pointers>
void to_lane(const LaneStrides& lanes, Pointers&... p) {
  (move_bytes(p, lanes.memory, lanes.lane), ...);
}
template <class Pointer>
void scratch_to_lane(const LaneStrides& lanes, Pointer& p) {
  move_bytes(p, lanes.scratch, lanes.scratch_of_lane);
}
template <class First, class... Pointers>
int64_t lane_offset(const LaneStrides& lanes, First p, Pointers... more) {
  check_lane(p, lanes.memory, lanes.lane);
  (check_lane(more, lanes.memory, lanes.lane), ...);
  return blockIdx.z * (lanes.memory / static_cast<int64_t>(sizeof(*p)));
}

/// To tf32, half away from zero. A GPU's leaves the bits below, which its tensor cores drop: here they are a mark, by
/// which mma_tf32 knows an operand that was rounded, and as a number it is not what it seems.
inline constexpr uint32_t tf32_dropped = 0x1fffU;
inline constexpr uint32_t tf32_mark = 0x1234U & tf32_dropped;
inline float to_tf32(float x) {
  if (!std::isfinite(x)) {
    return x;
  }
  const auto bits = std::bit_cast<uint32_t>(x) + (tf32_dropped + 1) / 2;
  return std::bit_cast<float>((bits & ~tf32_dropped) | tf32_mark);
}
inline float reciprocal(float x) {
  return 1.0F / x;
}
inline float without_tail(float x) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & ~tf32_dropped);
}
inline float not_negative_to_tf32(float x) {
  return to_tf32(x);
}
inline float tf32_operand(float x, const emulation::Place& place) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t below = bits & tf32_dropped;
  if (!std::isfinite(x)) {
    return x;
  }
  if (below != tf32_mark && below != 0) {
    emulation::fault("an operand of mma_tf32 has not been rounded by to_tf32", place);
  }
  return std::bit_cast<float>(bits & ~tf32_dropped);
}
inline float to_bf16(float x) {
  if (!std::isfinite(x)) {
    return x;
  }
  constexpr uint32_t dropped = 16;
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + ((1U << (dropped - 1)) - 1 + ((bits >> dropped) & 1U))) >> dropped << dropped);
}

/// d += a b of the whole warp, k8 slices one after the other: lane l hands in 4 floats of A and 2 of B for each.
template <int kSlices>
void multiply_tiles(float (&d)[4], const float* mine, const emulation::Place& place) {
  const unsigned char* table = emulation::exchange(mine, sizeof(float) * 6 * kSlices, place);
  const auto given = [&](int lane, int at) {
    float value = 0;
    std::memcpy(&value, table + 64 * static_cast<size_t>(lane) + sizeof(float) * static_cast<size_t>(at), sizeof value);
    return value;
  };
  const int g = emulation::lane() / 4;
  const int t = emulation::lane() % 4;
  for (int slice = 0; slice < kSlices; ++slice) {
    for (int k = 0; k < 8; ++k) {
      const int at_a = 6 * slice + (k < 4 ? 0 : 2);
      const float top = given(4 * g + k % 4, at_a);
      const float bottom = given(4 * g + k % 4, at_a + 1);
      const int at_b = 6 * slice + 4 + k / 4;
      const float left = given(4 * (2 * t) + k % 4, at_b);
      const float right = given(4 * (2 * t + 1) + k % 4, at_b);
      d[0] += top * left;
      d[1] += top * right;
      d[2] += bottom * left;
      d[3] += bottom * right;
    }
  }
}

inline void mma_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2],
                     emulation::Place place = emulation::Place::current()) {
  float mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  for (float& value : mine) {
    value = tf32_operand(value, place);
  }
  multiply_tiles<1>(d, mine, place);
}

inline void mma_bf16(float (&d)[4], const float (&a0)[4], const float (&a1)[4], const float (&b0)[2],
                     const float (&b1)[2], emulation::Place place = emulation::Place::current()) {
  const float mine[12] = {to_bf16(a0[0]), to_bf16(a0[1]), to_bf16(a0[2]), to_bf16(a0[3]),
                          to_bf16(b0[0]), to_bf16(b0[1]), to_bf16(a1[0]), to_bf16(a1[1]),
                          to_bf16(a1[2]), to_bf16(a1[3]), to_bf16(b1[0]), to_bf16(b1[1])};
  multiply_tiles<2>(d, mine, place);
}

struct Launch {
  const char* name = nullptr;
  dim3 grid, block;
  size_t shared_bytes = 0;
};

void note_launch(const Launch& shape);
LaneStrides strides_of(Stream& stream);

/// A parameter as a GPU has it.
template <class T>
const T& parameter_on_a_gpu(const T& value) {
  return value;
}
inline std::array<int64_t, 2> parameter_on_a_gpu(const LaneStrides& lanes) {
  return {lanes.memory, lanes.scratch};
}
/// One after the other, each at its own alignment.
template <class... Parameters>
std::vector<std::byte> parameters_on_a_gpu(const Parameters&... values) {
  std::vector<std::byte> bytes;
  [[maybe_unused]] const auto append = [&]<class T>(const T& value) {  // there may be none
    const std::span<const std::byte> own = std::as_bytes(std::span<const T, 1>(&value, 1));
    const size_t at = (bytes.size() + alignof(T) - 1) / alignof(T) * alignof(T);
    bytes.resize(at + own.size());
    std::memcpy(bytes.data() + at, own.data(), own.size());
  };
  (append(parameter_on_a_gpu(values)), ...);
  return bytes;
}

template <class Later, class... Parameters, class... Arguments>
void launch_by(const Later& later, Stream& stream, const Launch& shape, void (*kernel)(Parameters...),
               Arguments... arguments) {
  static_assert(bytes_of_parameters<Parameters...>() <= most_parameter_bytes, "parameters that not every driver takes");
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) {
    return;
  }
  require_grid(shape);
  note_launch(shape);
  later(stream, [shape, kernel, values = std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)] {
    emulation::run_kernel(
        shape.name, shape.grid, shape.block, shape.shared_bytes, [&] { std::apply(kernel, values); },
        [&] {
          const auto pack = [](const auto&... parameters) { return parameters_on_a_gpu(parameters...); };
          return emulation::KernelImage{reinterpret_cast<const void*>(kernel), std::apply(pack, values)};
        });
  });
}
template <class... Parameters, class... Arguments>
void launch(Stream& stream, const Launch& shape, void (*kernel)(Parameters...), Arguments... arguments) {
  launch_by(emulation::run_later, stream, shape, kernel, arguments...);
}
template <class... Parameters, class... Arguments>
void launch(Stream& stream, Launch shape, void (*kernel)(LaneStrides, Parameters...), Arguments... arguments) {
  shape.grid.z = static_cast<unsigned>(stream.lanes().count);
  launch_by(emulation::run_later_for_lanes, stream, shape, kernel, strides_of(stream), arguments...);
}

}  // namespace evenflow::kernels::cuda
