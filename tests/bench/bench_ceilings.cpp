// What this machine can do at most: OpenBLAS sgemm (GFLOP/s) and a triad through main memory (GB/s).
//
//   bench_ceilings THREADS [avx2|baseline]
//
// The result of every product is checked before it is timed. OpenBLAS runs this machine's own kernels, or, with a
// target named, those for machines that have no more than that.
#include <cblas.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/measure.h"

namespace evenflow::bench {
namespace {

std::vector<float> random_floats(int64_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) {
    x = uniform(engine);
  }
  return v;
}

void check_product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c, int n) {
  const auto at = [n](const std::vector<float>& m, int row, int column) {
    return static_cast<double>(m[static_cast<size_t>(row) * static_cast<size_t>(n) + static_cast<size_t>(column)]);
  };
  for (int i = 0; i < n; i += 37) {
    const int j = (i * 7 + 3) % n;
    double sum = 0, magnitude = 0;
    for (int k = 0; k < n; ++k) {
      sum += at(a, i, k) * at(b, k, j);
      magnitude += std::abs(at(a, i, k) * at(b, k, j));
    }
    if (!(std::abs(sum - at(c, i, j)) <= 1e-6 * magnitude)) {
      throw std::runtime_error("OpenBLAS' sgemm is wrong here");
    }
  }
}

void sgemm(int threads, double seconds, const std::string& target) {
  openblas_set_num_threads(threads);
  double best = 0, median = 0;
  int best_size = 0;
  nlohmann::json sizes;
  for (const int n : {512, 768, 1024}) {
    const auto a = random_floats(int64_t{n} * n, 1), b = random_floats(int64_t{n} * n, 2);
    std::vector<float> c(a.size());
    const auto multiply = [&] {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n);
    };
    multiply();
    check_product(a, b, c, n);
    const Timing t = best_of(seconds, 10, multiply);
    const double flop = 2.0 * n * n * n;
    sizes[std::to_string(n)] = flop / t.best * 1e-9;
    if (flop / t.best * 1e-9 > best) {
      best = flop / t.best * 1e-9;
      median = flop / t.median * 1e-9;
      best_size = n;
    }
  }
  print_result({{"name", "sgemm"},
                {"what", "ceiling"},
                {"threads", threads},
                {"target", target},
                {"value", best},
                {"unit", "GFLOP/s"},
                {"median", median},
                {"size", best_size},
                {"sizes", sizes},
                {"kernels", openblas_get_corename()},
                {"config", openblas_get_config()},
                {"compiler", compiler()}});
}

void triad(int threads, double seconds) {
  const int64_t n = int64_t{1} << 24;  // three arrays of 64 MiB: beyond any cache
  std::vector<float> a(static_cast<size_t>(n)), b(a.size(), 1.0F), c(a.size(), 2.0F);
  const auto part = [&](int t) {
    const int64_t end = n * (t + 1) / threads;
    float* __restrict out = a.data();
    const float* __restrict left = b.data();
    const float* __restrict right = c.data();
    for (int64_t i = n * t / threads; i < end; ++i) {
      out[i] = left[i] + 3 * right[i];
    }
  };
  const Timing t = best_of(seconds, 5, [&] {
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) {
      others.emplace_back(part, i);
    }
    part(0);
    for (auto& o : others) {
      o.join();
    }
  });
  if (a.front() != 7 || a.back() != 7) {
    throw std::runtime_error("the triad is wrong");
  }
  const double bytes = 12.0 * static_cast<double>(n);
  print_result({{"name", "triad"},
                {"what", "ceiling"},
                {"threads", threads},
                {"value", bytes / t.best * 1e-9},
                {"unit", "GB/s"},
                {"median", bytes / t.median * 1e-9}});
}

// OpenBLAS reads OPENBLAS_CORETYPE when it is loaded: start again with the one that is wanted.
void pin_kernels(const std::string& core, char** argv) {
  const char* set = std::getenv("OPENBLAS_CORETYPE");
  if (core == (set == nullptr ? "" : set)) {
    return;
  }
  if (core.empty()) {
    unsetenv("OPENBLAS_CORETYPE");
  } else {
    setenv("OPENBLAS_CORETYPE", core.c_str(), 1);
  }
  execv("/proc/self/exe", argv);
  throw std::runtime_error("OPENBLAS_CORETYPE cannot be set to '" + core + "'");
}

int run(int argc, char** argv) {
  const std::map<std::string, std::string> cores = {{"best", ""}, {"avx2", "Haswell"}, {"baseline", "Prescott"}};
  const int threads = argc > 1 ? std::stoi(argv[1]) : 0;
  const std::string target = argc > 2 ? argv[2] : "best";
  if (threads < 1 || !cores.contains(target)) {
    throw std::runtime_error("usage: bench_ceilings THREADS [avx2|baseline]");
  }
  pin_kernels(cores.at(target), argv);
  constexpr double seconds = 0.3;  // of each size
  sgemm(threads, seconds, target);
  if (target == "best") {
    triad(threads, seconds);
  }
  return 0;
}

}  // namespace
}  // namespace evenflow::bench

int main(int argc, char** argv) {
  return evenflow::bench::guarded("bench_ceilings", evenflow::bench::run, argc, argv);
}
