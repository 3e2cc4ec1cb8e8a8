// Log-mel spectrograms: samples to frames of mel bands in dB.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/cost.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

enum class PadMode {
  reflect,  ///< the clip mirrored about its first and last sample (librosa before 0.9)
  zero      ///< zeros (librosa since 0.9)
};

struct LogMelSettings {
  int sample_rate_hz = 16000;
  int n_fft = 1024;  ///< even; a power of two from 32 on takes the fast path
  int hop_samples = 512;
  int mel_bands = 128;
  PadMode pad_mode = PadMode::reflect;
  bool operator==(const LogMelSettings&) const = default;
};

/// mel power below this is raised to it before the logarithm: 2^-52, -156.5356 dB.
inline constexpr double mel_power_floor = 2.220446049250313e-16;

/// Triangular mel filters over the bins 0 .. n_fft/2 of a power spectrum; each band is a run of bins. Band m weighs
/// bins [first_bin[m], first_bin[m] + offset[m + 1] - offset[m]) with weight[offset[m]] and on.
struct MelFilterbank {
  std::vector<int> first_bin;  ///< [mel_bands]
  std::vector<int> offset;     ///< [mel_bands + 1]
  std::vector<float> weight;   ///< [offset.back()], all > 0
};

/// Slaney's mel scale (linear below 1 kHz, logarithmic above) from 0 Hz to sample_rate_hz / 2, each triangle scaled to
/// unit area (Slaney norm), as librosa.filters.mel with its defaults. Computed in float64, rounded once to float32. A
/// band narrower than the bin spacing may hold no bin; its mel power is then 0, as in librosa.
MelFilterbank slaney_filterbank(const LogMelSettings& settings);

/// Periodic Hann window, [n]: 0.5 - 0.5 cos(2 pi i / n), float64.
std::vector<double> periodic_hann(int n);

/// Where a clip lies among a batch's samples, and where its frames go.
struct LogMelClip {
  int64_t first_sample = 0, samples = 0, first_frame = 0;
};

struct LogMelLayout {
  std::vector<LogMelClip> clips;
  int64_t samples = 0, frames = 0;  ///< of all of them
};

/// Clips of these lengths one after the other, each from a multiple of 16 bytes on. ShapeError: a clip too
/// short to pad.
LogMelLayout lay_out_clips(const LogMelSettings& settings, std::span<const int64_t> samples);

/// How a GPU transforms.
enum class LogMelPath {
  automatic,  ///< fused where it can be
  layered,    ///< any n_fft: framing, cuFFT, mel product, one after the other
  fused       ///< powers of two from 32 to 4096: all in one kernel, spectra never leave it
};

namespace cpu {
class LogMelTransform;  // the CPU's tables and working memory, of one thread
}

/// Frames of clips in dB: 10 log10(max(mel, mel_power_floor)) of the power spectrum under a periodic Hann window,
/// frames centred on samples 0, hop, 2 hop, ... A LogMelPlan fills in all but the last three.
///
/// Accuracy. On the CPU window, Fourier transform, power and mel product are float64, logarithm and result float32:
/// against librosa's float64 path on the same float32 samples the error is at most 1e-3 dB in every band within 220 dB
/// of its frame's loudest (measured: 8e-6 dB, the rounding of the result); below that float64 itself runs out, there
/// and here. A pure tone's far bands lie 180 dB down; a float32 transform misses them by up to 31 dB. On a GPU all is
/// float32: beside the CPU's the amplitude of a band is off by at most 2e-7 of its frame's loudest (measured: 4e-8),
/// besides 3e-5 dB for the logarithm: 2e-4 dB in a band 40 dB below the loudest, 0.02 dB 80 dB below (measured with
/// n_fft 1024 on noise, tones and sweeps: 2e-5 and 0.003 dB), and 0.2 dB 100 dB below. Powers are bounded by float32's
/// range there: samples belong in [-1, 1], as decoded sound is; from 1e15 or so on they overflow to infinity. A NaN
/// sample makes the frames that hold it NaN, in every band that weighs a bin, and no other frame. Digital silence gives
/// exactly float(10 log10(2^-52)) on both. A clip's bits do not depend on its company.
///
/// ShapeError; of clips that are too short to pad, or lie outside of the samples or frames, on the CPU alone. Neither
/// waits nor allocates, but that a GPU's layered path grows the stream's scratch memory at its first call.
struct LogMel {
  LogMelSettings settings;
  bool fused = false;
  cpu::LogMelTransform* transform = nullptr;  ///< the CPU's; all tables below are a GPU's
  Array<const float> window;                  ///< [n_fft], half of the Hann window: untangling then needs no 0.5
  Array<const float> twiddles;      ///< fused: of every pass but the first [radix - 1, points so far, 2]: cos, -sin
  Array<const float> untangle;      ///< fused: [n_fft/4 + 1, 2]: cos, sin of 2 pi k / n_fft
  Array<const int32_t> first_bin;   ///< [bands]
  Array<const int32_t> run_length;  ///< [bands]: how many bins a band weighs
  Array<const float> weight;        ///< [longest run, bands]
  Array<const float> samples;
  Array<const LogMelClip> clips;  ///< as lay_out_clips says, or anywhere in `samples`, their frames one after the other
  Array<float> frames_out;        ///< [total frames, bands], as many as the clips have
};
void logmel(Stream& stream, const LogMel& task);
Cost cost(const LogMel& task);

/// What the transform of one configuration needs beforehand on a device. On the CPU it is also working memory: one plan
/// per thread.
class LogMelPlan {
 public:
  /// ShapeError: n_fft odd or below 2; hop, bands or rate below 1; `fused` is asked for and n_fft is none of its sizes.
  explicit LogMelPlan(const LogMelSettings& settings, Device device = {}, LogMelPath path = LogMelPath::automatic);

  const LogMelSettings& settings() const { return tables_.settings; }
  /// Frames of a clip of `count` samples: 1 + count / hop.
  int64_t frames(int64_t count) const { return 1 + count / settings().hop_samples; }
  /// The least number of samples a clip must have: 1 with zero padding, n_fft/2 + 1 with reflection.
  int64_t least_samples() const;

  /// The task of these clips; all three lie on the plan's device.
  LogMel task(Array<const float> samples, Array<const LogMelClip> clips, Array<float> frames_out) const;
  /// One clip on the host, by a plan of the CPU's: samples [count] -> frames_out [frames(count), bands].
  void run(const float* samples, int64_t count, float* frames_out) const;

 private:
  std::shared_ptr<cpu::LogMelTransform> transform_;
  Buffer<float> window_, twiddles_, untangle_, weight_;
  Buffer<int32_t> first_bin_, run_length_;
  LogMel tables_;
};

}  // namespace evenflow::kernels
