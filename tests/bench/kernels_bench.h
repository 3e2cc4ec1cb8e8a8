// What the micro-benchmarks share: each group registers its operations at the paper's shapes, verified before timing.
#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

namespace evenflow::bench {

/// Whether a result was wrong in any benchmark so far.
inline bool& wrong() {
  static bool any = false;
  return any;
}

void register_coupling();
void register_maps();
void register_optimizer();

/// A step's state in block 1, 2 or 3 of the paper's model: 4 x 64 x 32, 8 x 32 x 16, 16 x 16 x 8.
struct BlockShape {
  int64_t channels, height, width;
  int64_t size() const { return channels * height * width; }
  std::string name() const { return fmt::format("{}x{}x{}", channels, height, width); }
};
inline constexpr BlockShape paper_blocks[] = {{4, 64, 32}, {8, 32, 16}, {16, 16, 8}};

/// Registers NAME: `Case` is made from `arguments` and verified when the benchmark runs, then `call(Case&)` is timed.
/// FLOP and bytes are one call's; a counter shows where it is not 0.
template <class Case, class Call, class... Arguments>
void register_timed(const std::string& name, double flop, double bytes, Call call, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    std::unique_ptr<Case> each;
    try {
      each = std::make_unique<Case>(arguments...);
      each->verify();
    } catch (const std::exception& e) {
      wrong() = true;
      state.SkipWithError(e.what());
      return;
    }
    for (auto _ : state) {
      call(*each);
    }
    const auto rate = [](double amount) {
      return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
    };
    if (flop > 0) {
      state.counters["FLOP/s"] = rate(flop);
    }
    if (bytes > 0) {
      state.counters["bytes/s"] = rate(bytes);
    }
  });
}

}  // namespace evenflow::bench
