// Grid. Fused: 8 complex points to a thread, so n_fft / 16 threads a frame and 256 a block, whatever n_fft; between
// passes the points go through 16 KiB of shared memory, permuted so that strides 1, 8 and 64 meet every bank once.
// Layered (any n_fft): a block per frame for framing, cuFFT, then a thread per frame and band.
// Traffic. Fused: a sample is read once from memory (neighbouring frames meet in a cache), a frame written once: 0.64
// MB and 0.16 MB for 10 s at 16 kHz. Layered: windows and spectra besides, in chunks that fit half of the
// second-level cache.
// Sums: passes of radix 8 and a last one of what is left (Stockham), float32; a band's bins in ascending order. A
// clip's bits do not depend on its company.
#include "kernels/logmel.h"

#include <algorithm>
#include <bit>

#include "kernels/check.h"
#include "kernels/cuda/fft.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/runtime.h"
#include "kernels/operations.h"

namespace evenflow::kernels::cuda {
namespace {

constexpr float floor_power = static_cast<float>(mel_power_floor);
constexpr float floor_db = -156.53559774527022F;

struct Batch {
  const float* samples;
  const LogMelClip* clips;
  int64_t clip_count, frames;
  float clips_per_frame;
  int hop, n_fft;
  bool reflect;
};

struct MelProduct {
  const int32_t* first_bin;
  const int32_t* run_length;
  const float* weight;  // [longest run, bands]: neighbours in a warp read neighbours
  int bands;
};

// ---- both paths

/// Whose frame it is. The clips are of one length more often than not, so that the first guess is right.
__device__ LogMelClip clip_of(const Batch& batch, int64_t frame) {
  const auto begins_by_then = [&](int64_t i) { return batch.clips[i].first_frame <= frame; };
  const auto guess = static_cast<int64_t>((static_cast<float>(frame) + 0.5F) * batch.clips_per_frame);
  int64_t low = guess < batch.clip_count ? guess : batch.clip_count - 1;
  if (!begins_by_then(low) || (low + 1 < batch.clip_count && begins_by_then(low + 1))) {
    low = 0;
    for (int64_t count = batch.clip_count; count > 1;) {
      const int64_t half = count / 2;
      if (begins_by_then(low + half)) {
        low += half;
        count -= half;
      } else {
        count = half;
      }
    }
  }
  return batch.clips[low];
}

/// One frame's samples, padding where they lie outside of the clip.
struct Frame {
  const float* clip;
  int64_t first, samples;  // of the clip; first may be negative
  bool inside, pairs;      // no padding; read in pairs
};

__device__ Frame frame_of(const Batch& batch, int64_t frame) {
  const LogMelClip clip = clip_of(batch, frame);
  const float* samples = batch.samples + clip.first_sample;
  const int64_t first = (frame - clip.first_frame) * batch.hop - batch.n_fft / 2;
  const bool inside = first >= 0 && first + batch.n_fft <= clip.samples;
  constexpr uintptr_t pair = 2 * sizeof(float);
  return {samples, first, clip.samples, inside, inside && reinterpret_cast<uintptr_t>(samples + first) % pair == 0};
}

__device__ float sample_at(const Frame& frame, bool reflect, int i) {
  int64_t at = frame.first + i;
  if (frame.inside) {
    return frame.clip[at];
  }
  if (reflect) {
    if (at < 0) {
      at = -at;
    }
    if (at >= frame.samples) {
      at = 2 * (frame.samples - 1) - at;
    }
  }
  return at >= 0 && at < frame.samples ? frame.clip[at] : 0.0F;
}

/// A NaN stays one.
__device__ float decibels(float power) {
  return power <= floor_power ? floor_db : 10.0F * log10f(power);
}

// ---- fused: frame, transform, power, mel product, logarithm

struct Complex {
  float re, im;
};
__device__ Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
__device__ Complex operator-(Complex a, Complex b) {
  return {a.re - b.re, a.im - b.im};
}
__device__ Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
/// -i a
__device__ Complex turned(Complex a) {
  return {a.im, -a.re};
}

/// Transforms in place of points lying kStride apart.
template <int kStride>
__device__ void transform2(Complex* z) {
  const Complex a = z[0];
  z[0] = a + z[kStride];
  z[kStride] = a - z[kStride];
}
template <int kStride>
__device__ void transform4(Complex* z) {
  const Complex a = z[0] + z[2 * kStride], b = z[0] - z[2 * kStride];
  const Complex c = z[kStride] + z[3 * kStride], d = turned(z[kStride] - z[3 * kStride]);
  z[0] = a + c;
  z[kStride] = b + d;
  z[2 * kStride] = a - c;
  z[3 * kStride] = b - d;
}
__device__ void transform8(Complex* z) {
  constexpr float root_half = 0.707106781186547524F;
  transform4<2>(z);
  transform4<2>(z + 1);
  const Complex b1 = {root_half * (z[3].re + z[3].im), root_half * (z[3].im - z[3].re)};
  const Complex b2 = turned(z[5]);
  const Complex b3 = {root_half * (z[7].im - z[7].re), -root_half * (z[7].re + z[7].im)};
  const Complex a0 = z[0], a1 = z[2], a2 = z[4], a3 = z[6], b0 = z[1];
  z[0] = a0 + b0;
  z[4] = a0 - b0;
  z[1] = a1 + b1;
  z[5] = a1 - b1;
  z[2] = a2 + b2;
  z[6] = a2 - b2;
  z[3] = a3 + b3;
  z[7] = a3 - b3;
}

// A frame of n_fft = 2 kPoints samples is kPoints complex points (even sample, odd sample), 8 per thread, transformed
// in passes of radix 8 and a last one of what is left (Stockham: in and out of order, no reversal of bits). Between
// passes the points go through shared memory, real and imaginary parts apart. A block is 256 threads and 2048 points,
// 16 KiB, whatever kPoints.
template <int kPoints>
struct Fused {
  static constexpr int threads = kPoints / 8;  // of one frame
  static constexpr int frames = block_threads / threads;
  // Frames that share a warp lie apart by what keeps their rows on different banks.
  static constexpr int frame_floats = 2 * kPoints + (threads < warp_size ? threads : 0);
  static constexpr int shared_floats = frames * frame_floats;
};

/// Where point i lies: a permutation of each 32 points under which the strides 1, 8 and 64 of the passes' reads and
/// writes all meet every bank once. It is linear in the bits of i, so that swizzled(a + b) = swizzled(a) ^ swizzled(b)
/// where a and b share none.
__device__ constexpr int swizzled(int i) {
  return i ^ (i >> 5 & 7) ^ (i >> 6 & 3) << 3;
}

/// The 8 points of a thread, in one pass: 8 / radix butterflies, butterfly b's point r in z[b + r * (8 / radix)].
template <int kPoints, int kRadix>
struct Pass {
  static constexpr int butterflies = 8 / kRadix;

  __device__ static void transform(Complex (&z)[8]) {
    if constexpr (kRadix == 8) {
      transform8(z);
    } else {
      for (int b = 0; b < butterflies; ++b) {
        if constexpr (kRadix == 4) {
          transform4<butterflies>(z + b);
        }
        if constexpr (kRadix == 2) {
          transform2<butterflies>(z + b);
        }
      }
    }
  }

  /// Points out of order into transforms of kDone * kRadix points.
  template <int kDone>
  __device__ static void store(const Complex (&z)[8], int thread, Shared<float> re, Shared<float> im) {
    for (int b = 0; b < butterflies; ++b) {
      const int j = thread + b * Fused<kPoints>::threads;
      const int base = swizzled(j / kDone * kDone * kRadix + j % kDone);
      for (int r = 0; r < kRadix; ++r) {
        const int at = base ^ swizzled(r * kDone);
        re[at] = z[b + r * butterflies].re;
        im[at] = z[b + r * butterflies].im;
      }
    }
  }

  template <int kDone>
  __device__ static void load(Complex (&z)[8], int thread, Shared<float> re, Shared<float> im, const float* twiddles) {
    for (int b = 0; b < butterflies; ++b) {
      const int j = thread + b * Fused<kPoints>::threads;
      const int base = swizzled(j);
      for (int r = 0; r < kRadix; ++r) {
        const int at = base ^ swizzled(r * (kPoints / kRadix));
        const Complex point = {re[at], im[at]};
        if (r == 0) {
          z[b] = point;
        } else {
          const auto w = *reinterpret_cast<const float2*>(twiddles + 2 * ((r - 1) * kDone + j % kDone));
          z[b + r * butterflies] = point * Complex{w.x, w.y};
        }
      }
    }
  }
};

/// The passes after the first kDone points are together. In shared memory before and after.
template <int kPoints, int kDone>
__device__ void further_passes(int thread, Shared<float> re, Shared<float> im, const float* twiddles) {
  if constexpr (kDone < kPoints) {
    constexpr int radix = kPoints / kDone < 8 ? kPoints / kDone : 8;
    Complex z[8];
    Pass<kPoints, radix>::template load<kDone>(z, thread, re, im, twiddles);
    Pass<kPoints, radix>::transform(z);
    sync_block();
    Pass<kPoints, radix>::template store<kDone>(z, thread, re, im);
    sync_block();
    further_passes<kPoints, kDone * radix>(thread, re, im, twiddles + 2 * (radix - 1) * kDone);
  }
}

/// Window and first pass.
template <int kPoints>
__device__ void first_pass(const Batch& batch, int64_t index, int thread, const float* window, Shared<float> re,
                           Shared<float> im) {
  constexpr int step = kPoints / 8;
  Complex z[8] = {};
  if (index < batch.frames) {
    const Frame frame = frame_of(batch, index);
    if (frame.pairs) {
      const float* pairs = frame.clip + frame.first;
      for (int r = 0; r < 8; ++r) {
        const auto x = *reinterpret_cast<const float2*>(pairs + 2 * (thread + r * step));
        z[r] = {x.x, x.y};
      }
    } else {
      for (int r = 0; r < 8; ++r) {
        const int i = 2 * (thread + r * step);
        z[r] = {sample_at(frame, batch.reflect, i), sample_at(frame, batch.reflect, i + 1)};
      }
    }
    for (int r = 0; r < 8; ++r) {
      const auto w = *reinterpret_cast<const float2*>(window + 2 * (thread + r * step));
      z[r] = {w.x * z[r].re, w.y * z[r].im};
    }
  }
  transform8(z);
  Pass<kPoints, 8>::template store<1>(z, thread, re, im);
  sync_block();
}

struct PowerPair {
  float low, high;  // of bins k and kPoints - k
};

/// Of the real transform, from bins k and kPoints - k of the packed one.
template <int kPoints>
__device__ PowerPair power_pair(int k, Shared<float> re, Shared<float> im, const float* untangle) {
  const int at = swizzled(k);
  const int mirror = swizzled((kPoints - k) % kPoints);
  const Complex z = {re[at], im[at]};
  const Complex m = {re[mirror], im[mirror]};
  const auto root = *reinterpret_cast<const float2*>(untangle + 2 * k);
  const Complex even = {z.re + m.re, z.im - m.im};
  const Complex odd = turned({z.re - m.re, z.im + m.im}) * Complex{root.x, -root.y};
  const Complex low = even + odd, high = even - odd;
  return {low.re * low.re + low.im * low.im, high.re * high.re + high.im * high.im};
}

/// The packed transform -> power [kPoints + 1], in the same memory.
template <int kPoints>
__device__ void powers(int thread, Shared<float> re, Shared<float> im, const float* untangle, Shared<float> power) {
  constexpr int pairs = 4;
  PowerPair pair[pairs];
  for (int i = 0; i < pairs; ++i) {
    pair[i] = power_pair<kPoints>(thread + i * Fused<kPoints>::threads, re, im, untangle);
  }
  PowerPair middle = {};
  if (thread == 0) {
    middle = power_pair<kPoints>(kPoints / 2, re, im, untangle);
  }
  sync_block();
  for (int i = 0; i < pairs; ++i) {
    const int k = thread + i * Fused<kPoints>::threads;
    power[k] = pair[i].low;
    power[kPoints - k] = pair[i].high;
  }
  if (thread == 0) {
    power[kPoints / 2] = middle.low;
  }
  sync_block();
}

template <int kPoints>
__global__ void __launch_bounds__(block_threads)
    logmel_fused_kernel(Batch batch, MelProduct mel, const float* __restrict__ window,
                        const float* __restrict__ twiddles, const float* __restrict__ untangle,
                        float* __restrict__ out) {
  after_predecessor();
  using Shape = Fused<kPoints>;
  SharedMemory memory;
  const Shared<float> all = memory.take<float>(Shape::shared_floats);
  const int thread = static_cast<int>(threadIdx.x) % Shape::threads;
  const int mine = static_cast<int>(threadIdx.x) / Shape::threads;
  const Shared<float> re = all + mine * Shape::frame_floats;
  const Shared<float> im = re + kPoints;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * Shape::frames;

  first_pass<kPoints>(batch, first + mine, thread, window, re, im);
  further_passes<kPoints, 8>(thread, re, im, twiddles);
  powers<kPoints>(thread, re, im, untangle, re);

  const int64_t left = batch.frames - first;
  const int items = static_cast<int>(left < Shape::frames ? left : Shape::frames) * mel.bands;
  for (int item = static_cast<int>(threadIdx.x); item < items; item += block_threads) {
    const int frame = item / mel.bands;
    const int band = item - frame * mel.bands;
    const Shared<float> power = all + (frame * Shape::frame_floats + mel.first_bin[band]);
    const int run = mel.run_length[band];
    float sum = 0.0F;
    for (int i = 0; i < run; ++i) {
      sum += mel.weight[i * mel.bands + band] * power[i];
    }
    out[first * mel.bands + item] = decibels(sum);
  }
}

template <int kPoints>
void launch_fused(Stream& stream, const Batch& batch, const MelProduct& mel, const LogMel& task) {
  const dim3 grid(static_cast<unsigned>(divide_up(batch.frames, Fused<kPoints>::frames)));
  launch(stream, {"logmel_fused", grid, block_threads, Fused<kPoints>::shared_floats * sizeof(float)},
         logmel_fused_kernel<kPoints>, batch, mel, task.window.data, task.twiddles.data, task.untangle.data,
         task.frames_out.data);
}

void logmel_fused(Stream& stream, const Batch& batch, const MelProduct& mel, const LogMel& task) {
  switch (batch.n_fft) {
    case 32:
      return launch_fused<16>(stream, batch, mel, task);
    case 64:
      return launch_fused<32>(stream, batch, mel, task);
    case 128:
      return launch_fused<64>(stream, batch, mel, task);
    case 256:
      return launch_fused<128>(stream, batch, mel, task);
    case 512:
      return launch_fused<256>(stream, batch, mel, task);
    case 1024:
      return launch_fused<512>(stream, batch, mel, task);
    case 2048:
      return launch_fused<1024>(stream, batch, mel, task);
    case 4096:
      return launch_fused<2048>(stream, batch, mel, task);
    default:
      check(false, "log-mel, fused", "n_fft a power of two from 32 to 4096");
  }
}

// ---- layered: any n_fft, in chunks of frames whose spectra stay in the second-level cache

/// Chunk frame i is the batch's frame first + i; zeros where that is none.
__global__ void logmel_windows_kernel(Batch batch, int64_t first, int64_t count, const float* __restrict__ window,
                                      float* __restrict__ out) {
  after_predecessor();
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    float* to = out + i * batch.n_fft;
    const bool any = first + i < batch.frames;
    const Frame frame = any ? frame_of(batch, first + i) : Frame{};
    for (int at = static_cast<int>(threadIdx.x); at < batch.n_fft; at += static_cast<int>(blockDim.x)) {
      to[at] = any ? window[at] * sample_at(frame, batch.reflect, at) : 0.0F;
    }
  }
}

/// One thread per frame and band. A bin is read by two threads of one warp or its neighbour, once from memory.
__global__ void logmel_bands_kernel(MelProduct mel, int64_t frames, int bins, const float* __restrict__ spectra,
                                    float* __restrict__ out) {
  after_predecessor();
  const int64_t items = frames * mel.bands;
  for (int64_t item = first_item(); item < items; item += item_stride()) {
    const int64_t frame = item / mel.bands;
    const int band = static_cast<int>(item - frame * mel.bands);
    const float* spectrum = spectra + 2 * (frame * bins + mel.first_bin[band]);
    const int run = mel.run_length[band];
    float sum = 0.0F;
    for (int i = 0; i < run; ++i) {
      // Twice, as the window is halved.
      const float re = 2.0F * spectrum[2 * i];
      const float im = 2.0F * spectrum[2 * i + 1];
      sum += mel.weight[i * mel.bands + band] * (re * re + im * im);
    }
    out[item] = decibels(sum);
  }
}

void logmel_layered(Stream& stream, const Batch& batch, const MelProduct& mel, const LogMel& task) {
  const int64_t chunk_bytes = limits_of(stream.device().index).l2_bytes / 2;
  constexpr int64_t alignment = 256;
  const int bins = batch.n_fft / 2 + 1;
  const int64_t frame_bytes = (batch.n_fft + 2 * int64_t{bins}) * int64_t{sizeof(float)};
  const auto most = std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(1, chunk_bytes / frame_bytes)));
  // A power of two, so that batches of any size make do with a few plans.
  const auto chunk = static_cast<int64_t>(std::min(most, std::bit_ceil(static_cast<uint64_t>(batch.frames))));
  const RealFft shape{.n = batch.n_fft, .batch = static_cast<int>(chunk)};

  const int64_t windows_bytes = divide_up(chunk * batch.n_fft * int64_t{sizeof(float)}, alignment) * alignment;
  const int64_t spectra_bytes = divide_up(chunk * 2 * bins * int64_t{sizeof(float)}, alignment) * alignment;
  const int64_t library_bytes = real_fft_workspace_bytes(stream, shape);
  auto* memory = static_cast<unsigned char*>(scratch(stream, windows_bytes + spectra_bytes + library_bytes));
  auto* windows = reinterpret_cast<float*>(memory);
  auto* spectra = reinterpret_cast<float*>(memory + windows_bytes);
  void* workspace = memory + windows_bytes + spectra_bytes;

  for (int64_t first = 0; first < batch.frames; first += chunk) {
    const int64_t frames = std::min(chunk, batch.frames - first);
    launch(stream, {"logmel_windows", blocks_for(chunk, 1), block_threads}, logmel_windows_kernel, batch, first, chunk,
           task.window.data, windows);
    real_fft(stream, shape, windows, spectra, workspace);
    launch(stream, {"logmel_bands", blocks_for(frames * mel.bands), block_threads}, logmel_bands_kernel, mel, frames,
           bins, spectra, task.frames_out.data + first * mel.bands);
  }
}

}  // namespace

void run(Stream& stream, const LogMel& task) {
  const int64_t frames = task.frames_out.size / task.settings.mel_bands;
  const Batch batch{.samples = task.samples.data,
                    .clips = task.clips.data,
                    .clip_count = task.clips.size,
                    .frames = frames,
                    .clips_per_frame = static_cast<float>(task.clips.size) / static_cast<float>(frames),
                    .hop = task.settings.hop_samples,
                    .n_fft = task.settings.n_fft,
                    .reflect = task.settings.pad_mode == PadMode::reflect};
  const MelProduct mel{.first_bin = task.first_bin.data,
                       .run_length = task.run_length.data,
                       .weight = task.weight.data,
                       .bands = task.settings.mel_bands};
  (task.fused ? logmel_fused : logmel_layered)(stream, batch, mel, task);
}

}  // namespace evenflow::kernels::cuda
