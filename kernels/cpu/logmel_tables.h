// What a log-mel transform on the CPU precomputes. Private to kernels/cpu/logmel.cpp, which is compiled once per
// instruction set and so cannot define types of its own.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/logmel.h"

namespace evenflow::kernels::cpu {

/// One pass of the in-place decimation-in-frequency transform over blocks of `size` points.
struct FftStage {
  size_t size, radix;            ///< 2, 4 or 8
  std::vector<double> twiddles;  ///< [size / radix, radix - 1, 2]: exp(-2 pi i j p / size), p from 1
};

/// Two blocks of 8 points before the last pass, the mirror images (half - k) of one's bins being the other's; a == b
/// where a block holds its own.
struct LogMelPair {
  size_t a, b;  ///< where they begin
  size_t bin;   ///< a becomes the bins bin, bin + half/8, ...
  size_t turn;  ///< the first of their `untangle`
};

/// Two parts that the first pass leaves, and the pairs of blocks within them.
struct LogMelParts {
  size_t a, b;  ///< where they begin
  size_t first_pair, last_pair;
};

struct LogMelTables {
  LogMelSettings settings;
  size_t n_fft, half, bins, bands;
  std::vector<double> window;    ///< [n_fft], half the Hann window: untangling the real transform then needs no 0.5
  std::vector<FftStage> stages;  ///< all but the last, of radix 8; empty: no power of two from 32 on, kissfft does it
  size_t part_stride;            ///< from one part's first point to the next's: off the power of two, for the cache
  std::vector<LogMelParts> parts;
  std::vector<LogMelPair> pairs;
  std::vector<double> untangle;  ///< per pair, for every bin k below its mirror image: cos, sin of 2 pi k / n_fft
  MelFilterbank filters;
  std::vector<size_t> edges;   ///< [bands + 2]: over bins edges[m] to edges[m + 1] band m rises and m - 1 falls
  std::vector<double> slopes;  ///< [bins, 2]: a bin's weight in the band that rises over it and the one that falls
};

/// Working memory for one group of frames, lane = frame.
struct LogMelScratch {
  float* time;       ///< [8, 16, lanes]: samples for eight butterflies
  double* spectrum;  ///< [half and a gap per part, 2 (real, imaginary), lanes]
  double* points;    ///< [2, 8, 2, lanes]: one pair of blocks, transformed
  double* power;     ///< [bins, lanes]
  double* mel;       ///< [-1 to bands, lanes]
  float* mel_db;     ///< [bands + 1, lanes]
};

}  // namespace evenflow::kernels::cpu
