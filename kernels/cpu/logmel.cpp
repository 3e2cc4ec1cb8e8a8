// Lane = frame: a group of 4 (AVX2) or 8 (AVX-512) frames goes through one float64 transform, so every pass is plain
// vector code without shuffles. A group's spectrum is 32 or 64 KiB; after the first pass each sub-block is finished
// before the next is begun, so the later passes stay in L1.
#include "kernels/cpu/logmel.h"

#include <kissfft.hh>

#include "kernels/cpu/logmel_tables.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/logmel.cpp"
#include "hwy/foreach_target.h"
// After foreach_target.h, as Highway demands.
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::CappedTag<double, 8>;
using Floats = hn::Rebind<float, Doubles>;
using Vec = hn::Vec<Doubles>;

struct Complex {
  Vec re, im;
};

HWY_INLINE Complex operator+(Complex a, Complex b) {
  return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)};
}
HWY_INLINE Complex operator-(Complex a, Complex b) {
  return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)};
}
/// a + i b and a - i b without a multiplication.
HWY_INLINE Complex add_i(Complex a, Complex b) {
  return {hn::Sub(a.re, b.im), hn::Add(a.im, b.re)};
}
HWY_INLINE Complex sub_i(Complex a, Complex b) {
  return {hn::Add(a.re, b.im), hn::Sub(a.im, b.re)};
}

HWY_INLINE Complex load(const double* at) {
  const Doubles d;
  return {hn::Load(d, at), hn::Load(d, at + hn::Lanes(d))};
}

HWY_INLINE void store(Complex z, double* at) {
  const Doubles d;
  hn::Store(z.re, d, at);
  hn::Store(z.im, d, at + hn::Lanes(d));
}

HWY_INLINE Complex twisted(Complex z, const double* twiddle) {
  const Doubles d;
  const Vec c = hn::Set(d, twiddle[0]), s = hn::Set(d, twiddle[1]);
  return {hn::NegMulAdd(z.im, s, hn::Mul(z.re, c)), hn::MulAdd(z.im, c, hn::Mul(z.re, s))};
}

/// Point j of the packed input: (even sample, odd sample) as (real, imaginary), windowed.
struct FromTime {
  const float* time;
  const double* window;
  HWY_INLINE Complex operator()(size_t j) const {
    const Doubles d;
    const Floats f;
    const size_t lanes = hn::Lanes(d);
    const float* at = time + 2 * j * lanes;
    return {hn::Mul(hn::PromoteTo(d, hn::Load(f, at)), hn::Set(d, window[2 * j])),
            hn::Mul(hn::PromoteTo(d, hn::Load(f, at + lanes)), hn::Set(d, window[2 * j + 1]))};
  }
};

struct FromSpectrum {
  const double* block;
  HWY_INLINE Complex operator()(size_t j) const { return load(block + 2 * j * hn::Lanes(Doubles())); }
};

/// Butterflies of one stage over one block; `last`: blocks of `radix` points, all twiddles 1.
template <bool last, class From>
HWY_INLINE void radix2(const FftStage& stage, From from, double* block) {
  const size_t m = stage.size / 2, step = 2 * hn::Lanes(Doubles());
  const double* w = stage.twiddles.data();
  for (size_t j = 0; j < m; ++j, w += 2) {
    const Complex a = from(j), b = from(j + m);
    store(a + b, block + j * step);
    store(last ? a - b : twisted(a - b, w), block + (j + m) * step);
  }
}

template <bool last, class From>
HWY_INLINE void radix4(const FftStage& stage, From from, double* block) {
  const size_t m = stage.size / 4, step = 2 * hn::Lanes(Doubles());
  const double* w = stage.twiddles.data();
  for (size_t j = 0; j < m; ++j, w += 6) {
    const Complex x0 = from(j), x1 = from(j + m), x2 = from(j + 2 * m), x3 = from(j + 3 * m);
    const Complex a0 = x0 + x2, a1 = x1 + x3, a2 = x0 - x2, a3 = x1 - x3;
    const Complex y1 = sub_i(a2, a3), y2 = a0 - a1, y3 = add_i(a2, a3);
    store(a0 + a1, block + j * step);
    store(last ? y1 : twisted(y1, w), block + (j + m) * step);
    store(last ? y2 : twisted(y2, w + 2), block + (j + 2 * m) * step);
    store(last ? y3 : twisted(y3, w + 4), block + (j + 3 * m) * step);
  }
}

template <bool last, class From>
HWY_INLINE void radix8(const FftStage& stage, From from, double* block) {
  const Doubles d;
  const size_t m = stage.size / 8, step = 2 * hn::Lanes(d);
  const Vec root_half = hn::Set(d, 0.70710678118654752440);
  const double* w = stage.twiddles.data();
  for (size_t j = 0; j < m; ++j, w += 14) {
    const Complex x0 = from(j), x4 = from(j + 4 * m), x2 = from(j + 2 * m), x6 = from(j + 6 * m);
    const Complex a0 = x0 + x4, a4 = x0 - x4, a2 = x2 + x6, a6 = x2 - x6;
    const Complex x1 = from(j + m), x5 = from(j + 5 * m), x3 = from(j + 3 * m), x7 = from(j + 7 * m);
    const Complex a1 = x1 + x5, a5 = x1 - x5, a3 = x3 + x7, a7 = x3 - x7;

    const Complex b0 = a0 + a2, b2 = a0 - a2, b1 = a1 + a3, b3 = a1 - a3;
    const Complex y4 = b0 - b1, y2 = sub_i(b2, b3), y6 = add_i(b2, b3);
    store(b0 + b1, block + j * step);
    store(last ? y4 : twisted(y4, w + 6), block + (j + 4 * m) * step);
    store(last ? y2 : twisted(y2, w + 2), block + (j + 2 * m) * step);
    store(last ? y6 : twisted(y6, w + 10), block + (j + 6 * m) * step);

    // The odd half: a5 and a7 times the eighth roots (1 - i)/sqrt 2 and (-1 - i)/sqrt 2.
    const Complex d0 = sub_i(a4, a6), d2 = add_i(a4, a6);
    const Complex c1 = {hn::Mul(root_half, hn::Add(a5.re, a5.im)), hn::Mul(root_half, hn::Sub(a5.im, a5.re))};
    const Complex c3 = {hn::Mul(root_half, hn::Sub(a7.im, a7.re)), hn::Neg(hn::Mul(root_half, hn::Add(a7.re, a7.im)))};
    const Complex d1 = c1 + c3, d3 = c1 - c3;
    const Complex y1 = d0 + d1, y5 = d0 - d1, y3 = sub_i(d2, d3), y7 = add_i(d2, d3);
    store(last ? y1 : twisted(y1, w), block + (j + m) * step);
    store(last ? y5 : twisted(y5, w + 8), block + (j + 5 * m) * step);
    store(last ? y3 : twisted(y3, w + 4), block + (j + 3 * m) * step);
    store(last ? y7 : twisted(y7, w + 12), block + (j + 7 * m) * step);
  }
}

template <bool last, class From>
HWY_INLINE void pass(const FftStage& stage, From from, double* block) {
  if (stage.radix == 8) {
    radix8<last>(stage, from, block);
  } else if (stage.radix == 4) {
    radix4<last>(stage, from, block);
  } else {
    radix2<last>(stage, from, block);
  }
}

template <class From>
void transform(const std::vector<FftStage>& stages, size_t depth, From from, double* block) {
  const FftStage& stage = stages[depth];
  if (depth + 1 == stages.size()) return pass<true>(stage, from, block);
  pass<false>(stage, from, block);
  const size_t part = stage.size / static_cast<size_t>(stage.radix) * 2 * hn::Lanes(Doubles());
  for (int p = 0; p < stage.radix; ++p, block += part) transform(stages, depth + 1, FromSpectrum{block}, block);
}

HWY_INLINE void transpose4(const float* const from[4], float* to, size_t stride) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t row = 0; row < 4; ++row) {
    for (size_t column = 0; column < 4; ++column) to[column * stride + row] = from[row][column];
  }
#else
  const hn::FixedTag<float, 4> q;
  const auto a = hn::LoadU(q, from[0]), b = hn::LoadU(q, from[1]), c = hn::LoadU(q, from[2]), e = hn::LoadU(q, from[3]);
  const auto ab_low = hn::InterleaveLower(q, a, b), ab_high = hn::InterleaveUpper(q, a, b);
  const auto ce_low = hn::InterleaveLower(q, c, e), ce_high = hn::InterleaveUpper(q, c, e);
  hn::StoreU(hn::ConcatLowerLower(q, ce_low, ab_low), q, to);
  hn::StoreU(hn::ConcatUpperUpper(q, ce_low, ab_low), q, to + stride);
  hn::StoreU(hn::ConcatLowerLower(q, ce_high, ab_high), q, to + 2 * stride);
  hn::StoreU(hn::ConcatUpperUpper(q, ce_high, ab_high), q, to + 3 * stride);
#endif
}

void gather_frames(const float* const* frames, size_t n_fft, float* time) {
  const size_t lanes = hn::Lanes(Doubles());
  if (lanes % 4 != 0) {
    for (size_t i = 0; i < n_fft; ++i) {
      for (size_t lane = 0; lane < lanes; ++lane) time[i * lanes + lane] = frames[lane][i];
    }
    return;
  }
  for (size_t lane = 0; lane < lanes; lane += 4) {
    for (size_t i = 0; i < n_fft; i += 4) {
      const float* const rows[4] = {frames[lane] + i, frames[lane + 1] + i, frames[lane + 2] + i, frames[lane + 3] + i};
      transpose4(rows, time + i * lanes + lane, lanes);
    }
  }
}

/// Bins k and half - k of the real transform from bins k and half - k of the packed one, as powers.
void untangle_power(const LogMelTables& tables, const double* spectrum, double* power) {
  const Doubles d;
  const size_t lanes = hn::Lanes(d);
  const Complex zero = load(spectrum);
  const Vec two = hn::Set(d, 2.0);
  const Vec lowest = hn::Mul(two, hn::Add(zero.re, zero.im)), highest = hn::Mul(two, hn::Sub(zero.re, zero.im));
  hn::Store(hn::Mul(lowest, lowest), d, power);
  hn::Store(hn::Mul(highest, highest), d, power + tables.half * lanes);
  for (size_t k = 1; k <= tables.half / 2; ++k) {
    const Complex z = load(spectrum + tables.position[k] * 2 * lanes);
    const Complex mirror = load(spectrum + tables.position[tables.half - k] * 2 * lanes);
    const Vec even_re = hn::Add(z.re, mirror.re), even_im = hn::Sub(z.im, mirror.im);
    const Vec odd_re = hn::Sub(z.re, mirror.re), odd_im = hn::Add(z.im, mirror.im);
    const Vec c = hn::Set(d, tables.untangle[2 * k]), s = hn::Set(d, tables.untangle[2 * k + 1]);
    const Vec turned_re = hn::NegMulAdd(s, odd_re, hn::Mul(c, odd_im));
    const Vec turned_im = hn::MulAdd(c, odd_re, hn::Mul(s, odd_im));
    const Vec re = hn::Add(even_re, turned_re), im = hn::Sub(even_im, turned_im);
    const Vec re2 = hn::Sub(even_re, turned_re), im2 = hn::Add(even_im, turned_im);
    hn::Store(hn::MulAdd(re, re, hn::Mul(im, im)), d, power + k * lanes);
    hn::Store(hn::MulAdd(re2, re2, hn::Mul(im2, im2)), d, power + (tables.half - k) * lanes);
  }
}

size_t group_frames() {
  return hn::Lanes(Doubles());
}

/// frames: group_frames() pointers to n_fft samples each -> scratch.power.
void power_spectrum(const LogMelTables& tables, const float* const* frames, const LogMelScratch& scratch) {
  gather_frames(frames, tables.n_fft, scratch.time);
  transform(tables.stages, 0, FromTime{scratch.time, tables.window.data()}, scratch.spectrum);
  untangle_power(tables, scratch.spectrum, scratch.power);
}

/// scratch.power -> dB of the first `count` frames, [count, bands].
void mel_decibels(const LogMelTables& tables, const LogMelScratch& scratch, size_t count, float* out) {
  const Doubles d;
  const Floats f;
  const size_t lanes = hn::Lanes(d), bands = tables.bands;
  const Vec floor = hn::Set(d, mel_power_floor), decibel = hn::Set(d, 4.342944819032518276511);  // 10 / ln 10
  for (size_t band = 0; band < bands; ++band) {
    const double* power = scratch.power + static_cast<size_t>(tables.filters.first_bin[band]) * lanes;
    const auto from = static_cast<size_t>(tables.filters.offset[band]);
    const auto to = static_cast<size_t>(tables.filters.offset[band + 1]);
    Vec mel = hn::Zero(d);
    for (size_t i = from; i < to; ++i, power += lanes) {
      mel = hn::MulAdd(hn::Load(d, power), hn::Set(d, tables.mel_weights[i]), mel);
    }
    const Vec level = hn::Mul(hn::Log(d, hn::Max(mel, floor)), decibel);
    hn::Store(hn::DemoteTo(f, level), f, scratch.mel_db + band * lanes);
  }
  size_t lane = 0;
  for (; lane + 4 <= count; lane += 4) {
    float* rows = out + lane * bands;
    size_t band = 0;
    for (; band + 4 <= bands; band += 4) {
      const float* at = scratch.mel_db + band * lanes + lane;
      const float* const columns[4] = {at, at + lanes, at + 2 * lanes, at + 3 * lanes};
      transpose4(columns, rows + band, bands);
    }
    for (; band < bands; ++band) {
      for (size_t i = 0; i < 4; ++i) rows[i * bands + band] = scratch.mel_db[band * lanes + lane + i];
    }
  }
  for (; lane < count; ++lane) {
    for (size_t band = 0; band < bands; ++band) out[lane * bands + band] = scratch.mel_db[band * lanes + lane];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenflow::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "hwy/aligned_allocator.h"

namespace evenflow::kernels::cpu {
namespace {

HWY_EXPORT(group_frames);
HWY_EXPORT(power_spectrum);
HWY_EXPORT(mel_decibels);

constexpr size_t most_lanes = 8;

/// Radices of a transform of 2^exponent points, the odd one first: 512 = 8 8 8, 1024 = 2 8 8 8.
std::vector<int> radices_of(int exponent) {
  std::vector<int> radices;
  if (exponent % 3 != 0) radices.push_back(1 << (exponent % 3));
  radices.insert(radices.end(), static_cast<size_t>(exponent / 3), 8);
  return radices;
}

void plan_fft(LogMelTables& tables) {
  constexpr double turn = 2.0 * std::numbers::pi;
  size_t size = tables.half;
  for (int radix : radices_of(std::countr_zero(tables.half))) {
    FftStage stage{size, radix, {}};
    const size_t part = size / static_cast<size_t>(radix);
    for (size_t j = 0; j < part; ++j) {
      for (int p = 1; p < radix; ++p) {
        const double angle = -turn * static_cast<double>(j * static_cast<size_t>(p)) / static_cast<double>(size);
        stage.twiddles.push_back(std::cos(angle));
        stage.twiddles.push_back(std::sin(angle));
      }
    }
    tables.stages.push_back(std::move(stage));
    size = part;
  }
  for (size_t k = 0; k < tables.half; ++k) {
    size_t rest = k, at = 0;
    for (const FftStage& stage : tables.stages) {
      const auto radix = static_cast<size_t>(stage.radix);
      at += rest % radix * (stage.size / radix);
      rest /= radix;
    }
    tables.position.push_back(at);
  }
  for (size_t k = 0; k <= tables.half / 2; ++k) {
    const double angle = turn * static_cast<double>(k) / static_cast<double>(tables.n_fft);
    tables.untangle.push_back(std::cos(angle));
    tables.untangle.push_back(std::sin(angle));
  }
}

LogMelTables make_tables(const LogMelSettings& settings) {
  LogMelTables tables{};
  tables.settings = settings;
  tables.n_fft = static_cast<size_t>(settings.n_fft);
  tables.half = tables.n_fft / 2;
  tables.bins = tables.half + 1;
  tables.bands = static_cast<size_t>(settings.mel_bands);
  tables.window = periodic_hann(settings.n_fft);
  for (double& w : tables.window) w *= 0.5;
  if (std::has_single_bit(tables.n_fft) && tables.n_fft >= 16) plan_fft(tables);
  tables.filters = slaney_filterbank(settings);
  tables.mel_weights.assign(tables.filters.weight.begin(), tables.filters.weight.end());
  return tables;
}

class CpuLogMelPlan final : public LogMelPlan {
 public:
  explicit CpuLogMelPlan(const LogMelSettings& settings)
      : LogMelPlan(settings),
        tables_(make_tables(settings)),
        lanes_(HWY_DYNAMIC_DISPATCH(group_frames)()),
        time_(hwy::AllocateAligned<float>(tables_.n_fft * lanes_)),
        edges_(hwy::AllocateAligned<float>(tables_.n_fft * lanes_)),
        spectrum_(hwy::AllocateAligned<double>(tables_.half * 2 * lanes_)),
        power_(hwy::AllocateAligned<double>(tables_.bins * lanes_)),
        mel_db_(hwy::AllocateAligned<float>(tables_.bands * lanes_)),
        any_size_(tables_.half, false) {
    if (!time_ || !edges_ || !spectrum_ || !power_ || !mel_db_) throw std::bad_alloc();
    if (tables_.stages.empty()) {
      windowed_.resize(tables_.n_fft);
      transformed_.resize(tables_.half);
      any_size_.transform_real(windowed_.data(), transformed_.data());  // kissfft grows its scratch on first use
    }
  }

  void run(const float* samples, int64_t count, float* frames_out) override {
    if (count < least_samples()) {
      throw std::invalid_argument("log-mel: " + std::to_string(count) + " samples, at least " +
                                  std::to_string(least_samples()) + " expected with this padding");
    }
    const LogMelScratch scratch{time_.get(), spectrum_.get(), power_.get(), mel_db_.get()};
    const auto total = static_cast<size_t>(frames(count));
    for (size_t first = 0; first < total; first += lanes_) {
      const size_t valid = std::min(lanes_, total - first);
      std::array<const float*, most_lanes> group{};
      for (size_t lane = 0; lane < lanes_; ++lane) {
        group[lane] = lane < valid ? frame(samples, count, first + lane, lane) : group[0];
      }
      if (tables_.stages.empty()) {
        for (size_t lane = 0; lane < lanes_; ++lane) power_of_any_size(group[lane], lane);
      } else {
        HWY_DYNAMIC_DISPATCH(power_spectrum)(tables_, group.data(), scratch);
      }
      HWY_DYNAMIC_DISPATCH(mel_decibels)(tables_, scratch, valid, frames_out + first * tables_.bands);
    }
  }

 private:
  /// The frame in place, or its padded copy in edge slot `lane` where it reaches beyond the clip.
  const float* frame(const float* samples, int64_t count, size_t index, size_t lane) {
    const auto n = static_cast<int64_t>(tables_.n_fft);
    const int64_t start = static_cast<int64_t>(index) * settings_.hop_samples - n / 2;
    if (start >= 0 && start + n <= count) return samples + start;
    float* edge = edges_.get() + lane * tables_.n_fft;
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = start + i;
      if (settings_.pad_mode == PadMode::reflect) {
        // Centres lie within [0, count] and count > n/2, so one reflection is enough.
        if (at < 0) at = -at;
        if (at >= count) at = 2 * (count - 1) - at;
      }
      edge[i] = at >= 0 && at < count ? samples[at] : 0.0f;
    }
    return edge;
  }

  void power_of_any_size(const float* samples, size_t lane) {
    for (size_t i = 0; i < tables_.n_fft; ++i) windowed_[i] = 2.0 * tables_.window[i] * static_cast<double>(samples[i]);
    any_size_.transform_real(windowed_.data(), transformed_.data());
    double* power = power_.get() + lane;
    power[0] = transformed_[0].real() * transformed_[0].real();
    power[tables_.half * lanes_] = transformed_[0].imag() * transformed_[0].imag();
    for (size_t k = 1; k < tables_.half; ++k) power[k * lanes_] = std::norm(transformed_[k]);
  }

  LogMelTables tables_;
  size_t lanes_;
  hwy::AlignedFreeUniquePtr<float[]> time_, edges_;
  hwy::AlignedFreeUniquePtr<double[]> spectrum_, power_;
  hwy::AlignedFreeUniquePtr<float[]> mel_db_;
  kissfft<double> any_size_;  // the header-only class: the packaged library is float32
  std::vector<double> windowed_;
  std::vector<std::complex<double>> transformed_;
};

}  // namespace

std::unique_ptr<LogMelPlan> make_logmel_plan(const LogMelSettings& settings) {
  return std::make_unique<CpuLogMelPlan>(settings);
}

}  // namespace evenflow::kernels::cpu

#endif  // HWY_ONCE
