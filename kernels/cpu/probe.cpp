#include "kernels/cpu/probe.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace evenflow::kernels::cpu {
namespace {

// cblas.h's, of a library that may not be there.
using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a,
                       int lda, const float* b, int ldb, float beta, float* c, int ldc);
using SetThreads = void (*)(int threads);
constexpr int row_major = 101, not_transposed = 111;

// Values that no processor has a short cut for.
std::vector<float> filled(int64_t size, uint32_t state) {
  std::vector<float> out(static_cast<size_t>(size));
  for (float& value : out) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8U) * 0x1p-23F - 1.0F;
  }
  return out;
}

}  // namespace

int64_t cache_bytes() {
  constexpr int64_t unknown = int64_t{32} << 20;
  int64_t bytes = 0;
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE}) {
    bytes = std::max<int64_t>(bytes, sysconf(level));
  }
  return bytes > 0 ? bytes : unknown;
}

double measure_sgemm() {
  void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return 0;
  }
  const auto sgemm = reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm"));
  const auto set_threads = reinterpret_cast<SetThreads>(dlsym(library, "openblas_set_num_threads"));
  if (sgemm == nullptr || set_threads == nullptr) {
    return 0;
  }
  set_threads(1);
  constexpr int n = 1024;
  constexpr int repetitions = 10;
  const std::vector<float> a = filled(int64_t{n} * n, 1), b = filled(int64_t{n} * n, 2);
  std::vector<float> c(a.size());
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= repetitions; ++i) {
    const auto begin = Clock::now();
    sgemm(row_major, not_transposed, not_transposed, n, n, n, 1.0F, a.data(), n, b.data(), n, 0.0F, c.data(), n);
    const std::chrono::duration<double> time = Clock::now() - begin;
    if (i > 0) {
      best = std::min(best, time.count());  // the first one warms up
    }
  }
  return 2.0 * n * n * n / best;
}

}  // namespace evenflow::kernels::cpu
