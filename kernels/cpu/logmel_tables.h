// What a log-mel transform on the CPU precomputes. Private to kernels/cpu/logmel.cpp, which is compiled once per
// instruction set and so cannot define types of its own.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/logmel.h"

namespace evenflow::kernels::cpu {

/// One pass of the in-place decimation-in-frequency transform over blocks of `size` points.
struct FftStage {
  size_t size;
  int radix;                     ///< 2, 4 or 8
  std::vector<double> twiddles;  ///< [size / radix, radix - 1, 2]: exp(-2 pi i j p / size), p from 1
};

struct LogMelTables {
  LogMelSettings settings;
  size_t n_fft, half, bins, bands;
  std::vector<double> window;    ///< [n_fft], half the Hann window: untangling the real transform then needs no 0.5
  std::vector<FftStage> stages;  ///< empty: n_fft is no power of two, kissfft does it
  std::vector<size_t> position;  ///< [half], where bin k of the packed transform ends up (digit-reversed)
  std::vector<double> untangle;  ///< [half / 2 + 1, 2]: cos, sin of 2 pi k / n_fft
  MelFilterbank filters;
  std::vector<double> mel_weights;  ///< filters.weight widened, to spare a conversion per product
};

/// Working memory for one group of frames, lane = frame.
struct LogMelScratch {
  float* time;       ///< [n_fft, lanes]
  double* spectrum;  ///< [half, 2 (real, imaginary), lanes]
  double* power;     ///< [bins, lanes]
  float* mel_db;     ///< [bands, lanes]
};

}  // namespace evenflow::kernels::cpu
