// How every benchmark here measures: the fastest of several repetitions, the median beside it, one JSON object per
// line.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace evenflow::bench {

struct Timing {
  double best = 0, median = 0;  ///< seconds of one repetition
  int repetitions = 0;
};

/// Runs `work` once unmeasured, then until `seconds` have gone by and at least `least` repetitions are measured.
template <typename Work>
Timing best_of(double seconds, int least, const Work& work) {
  using Clock = std::chrono::steady_clock;
  work();
  std::vector<double> each;
  const auto begin = Clock::now();
  auto start = begin;
  do {
    work();
    const auto end = Clock::now();
    each.push_back(std::chrono::duration<double>(end - start).count());
    start = end;
  } while (static_cast<int>(each.size()) < least || std::chrono::duration<double>(start - begin).count() < seconds);
  std::sort(each.begin(), each.end());
  return {each.front(), each[each.size() / 2], static_cast<int>(each.size())};
}

/// Peak resident memory of this process so far, MiB.
inline double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// What compiled this program: "gcc 12.2.0".
inline std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

/// main()'s body: an exception becomes one line on standard error.
inline int guarded(const char* program, int (*run)(int, char**), int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << program << ": " << e.what() << '\n';
    return 1;
  }
}

inline void print_result(const nlohmann::json& result) {
  std::cout << result.dump() << std::endl;
}

}  // namespace evenflow::bench
