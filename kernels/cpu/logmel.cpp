// Lane = frame: a group of 4 (AVX2) or 8 (AVX-512) frames goes through one float64 transform, so every pass is plain
// vector code without shuffles. A group's spectrum is 32 or 64 KiB, so it is touched as rarely as may be: framing and
// window are part of the first pass; then two parts that mirror each other are finished, powers included, before the
// next two are begun.
#include "kernels/logmel.h"

#include <kissfft.hh>

#include "kernels/cpu/logmel_tables.h"
#include "kernels/operations.h"

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

/// Samples of one chunk of the first pass: 16 of each frame from each leg of the butterfly, [leg, 16, lanes].
constexpr size_t chunk_points = 8, chunk_samples = 2 * chunk_points;

/// Leg `leg` of the first pass's butterfly: (even sample, odd sample) as (real, imaginary), windowed.
struct FromTime {
  const float* time;
  const double* window;
  size_t leg_samples;
  HWY_INLINE Complex operator()(size_t leg) const {
    const Doubles d;
    const Floats f;
    const size_t lanes = hn::Lanes(d);
    const float* at = time + leg * chunk_samples * lanes;
    const double* w = window + leg * leg_samples;
    return {hn::Mul(hn::PromoteTo(d, hn::Load(f, at)), hn::Set(d, w[0])),
            hn::Mul(hn::PromoteTo(d, hn::Load(f, at + lanes)), hn::Set(d, w[1]))};
  }
};

struct FromSpectrum {
  const double* at;
  size_t leg;
  HWY_INLINE Complex operator()(size_t r) const { return load(at + r * leg); }
};

struct ToSpectrum {
  double* at;
  size_t leg;
  const double* twiddles;
  HWY_INLINE void operator()(size_t r, Complex z) const {
    store(r == 0 ? z : twisted(z, twiddles + 2 * (r - 1)), at + r * leg);
  }
};

/// The last pass's butterfly has no twiddles and keeps its eight points together.
struct ToPoints {
  double* at;
  HWY_INLINE void operator()(size_t r, Complex z) const { store(z, at + r * 2 * hn::Lanes(Doubles())); }
};

template <int radix, class From, class To>
HWY_INLINE void butterfly(const From& from, const To& to) {
  if constexpr (radix == 2) {
    const Complex a = from(0), b = from(1);
    to(0, a + b);
    to(1, a - b);
  } else if constexpr (radix == 4) {
    const Complex x0 = from(0), x1 = from(1), x2 = from(2), x3 = from(3);
    const Complex a0 = x0 + x2, a1 = x1 + x3, a2 = x0 - x2, a3 = x1 - x3;
    to(0, a0 + a1);
    to(1, sub_i(a2, a3));
    to(2, a0 - a1);
    to(3, add_i(a2, a3));
  } else {
    const Complex x0 = from(0), x4 = from(4), x2 = from(2), x6 = from(6);
    const Complex a0 = x0 + x4, a4 = x0 - x4, a2 = x2 + x6, a6 = x2 - x6;
    const Complex x1 = from(1), x5 = from(5), x3 = from(3), x7 = from(7);
    const Complex a1 = x1 + x5, a5 = x1 - x5, a3 = x3 + x7, a7 = x3 - x7;

    const Complex b0 = a0 + a2, b2 = a0 - a2, b1 = a1 + a3, b3 = a1 - a3;
    to(0, b0 + b1);
    to(4, b0 - b1);
    to(2, sub_i(b2, b3));
    to(6, add_i(b2, b3));

    // The odd half: a5 and a7 times the eighth roots (1 - i)/sqrt 2 and (-1 - i)/sqrt 2, the 1/sqrt 2 last.
    const Doubles d;
    const Vec root_half = hn::Set(d, 0.70710678118654752440);
    const Complex d0 = sub_i(a4, a6), d2 = add_i(a4, a6);
    const Vec p = hn::Add(a5.re, a5.im), q = hn::Sub(a5.im, a5.re);
    const Vec r = hn::Sub(a7.im, a7.re), t = hn::Add(a7.re, a7.im);
    const Complex e = {hn::Add(p, r), hn::Sub(q, t)}, g = {hn::Sub(p, r), hn::Add(q, t)};
    to(1, {hn::MulAdd(root_half, e.re, d0.re), hn::MulAdd(root_half, e.im, d0.im)});
    to(5, {hn::NegMulAdd(root_half, e.re, d0.re), hn::NegMulAdd(root_half, e.im, d0.im)});
    to(3, {hn::MulAdd(root_half, g.im, d2.re), hn::NegMulAdd(root_half, g.re, d2.im)});
    to(7, {hn::NegMulAdd(root_half, g.im, d2.re), hn::MulAdd(root_half, g.re, d2.im)});
  }
}

HWY_INLINE void transpose4(const float* const from[4], float* to, size_t stride) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t row = 0; row < 4; ++row) {
    for (size_t column = 0; column < 4; ++column) {
      to[column * stride + row] = from[row][column];
    }
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

/// `count` samples (a multiple of 4) of every frame from sample `from` on -> to [count, lanes].
HWY_INLINE void gather(const float* const* frames, size_t from, size_t count, float* to) {
  const size_t lanes = hn::Lanes(Doubles());
  if (lanes % 4 != 0) {
    for (size_t i = 0; i < count; ++i) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        to[i * lanes + lane] = frames[lane][from + i];
      }
    }
    return;
  }
  for (size_t lane = 0; lane < lanes; lane += 4) {
    for (size_t i = 0; i < count; i += 4) {
      const size_t at = from + i;
      const float* const rows[4] = {frames[lane] + at, frames[lane + 1] + at, frames[lane + 2] + at,
                                    frames[lane + 3] + at};
      transpose4(rows, to + i * lanes + lane, lanes);
    }
  }
}

/// Framing, window and first butterflies in one pass over the samples.
template <int radix>
void first_pass(const LogMelTables& tables, const float* const* frames, const LogMelScratch& scratch) {
  const size_t lanes = hn::Lanes(Doubles()), part = tables.half / radix;
  const double* twiddles = tables.stages.front().twiddles.data();
  for (size_t chunk = 0; chunk < part; chunk += chunk_points) {
    for (size_t leg = 0; leg < radix; ++leg) {
      gather(frames, 2 * (chunk + leg * part), chunk_samples, scratch.time + leg * chunk_samples * lanes);
    }
    for (size_t i = 0; i < chunk_points; ++i) {
      const size_t j = chunk + i;
      butterfly<radix>(FromTime{scratch.time + 2 * i * lanes, tables.window.data() + 2 * j, 2 * part},
                       ToSpectrum{scratch.spectrum + 2 * j * lanes, 2 * tables.part_stride * lanes, twiddles});
      twiddles += 2 * (radix - 1);
    }
  }
}

/// The passes between the first and the last, on `points` points.
void middle_passes(const LogMelTables& tables, size_t points, double* block) {
  const size_t step = 2 * hn::Lanes(Doubles());
  for (size_t depth = 1; depth < tables.stages.size(); ++depth) {
    const FftStage& stage = tables.stages[depth];
    const size_t part = stage.size / 8 * step;
    for (double* at = block; at != block + points * step; at += 8 * part) {
      const double* twiddles = stage.twiddles.data();
      for (size_t j = 0; j < part; j += step, twiddles += 14) {
        butterfly<8>(FromSpectrum{at + j, part}, ToSpectrum{at + j, part, twiddles});
      }
    }
  }
}

/// Bins k and half - k of the real transform from bins k and half - k of the packed one, as powers.
HWY_INLINE void untangle(Complex z, Complex mirror, const double* turn, double* power, double* mirror_power) {
  const Doubles d;
  const Vec even_re = hn::Add(z.re, mirror.re), even_im = hn::Sub(z.im, mirror.im);
  const Vec odd_re = hn::Sub(z.re, mirror.re), odd_im = hn::Add(z.im, mirror.im);
  const Vec c = hn::Set(d, turn[0]), s = hn::Set(d, turn[1]);
  const Vec turned_re = hn::NegMulAdd(s, odd_re, hn::Mul(c, odd_im));
  const Vec turned_im = hn::MulAdd(c, odd_re, hn::Mul(s, odd_im));
  const Vec re = hn::Add(even_re, turned_re), im = hn::Sub(even_im, turned_im);
  const Vec re2 = hn::Sub(even_re, turned_re), im2 = hn::Add(even_im, turned_im);
  hn::Store(hn::MulAdd(re, re, hn::Mul(im, im)), d, power);
  hn::Store(hn::MulAdd(re2, re2, hn::Mul(im2, im2)), d, mirror_power);
}

/// The last pass over two blocks that hold each other's mirror images (or one that holds its own), and their powers.
void finish_pair(const LogMelTables& tables, const LogMelPair& pair, const LogMelScratch& scratch) {
  const Doubles d;
  const size_t lanes = hn::Lanes(d), step = 2 * lanes, stride = tables.half / 8 * lanes;
  const double* turn = tables.untangle.data() + pair.turn;
  double* up = scratch.power + pair.bin * lanes;
  double* down = scratch.power + (tables.half - pair.bin) * lanes;
  double* const points = scratch.points;
  double* mirror = points + 7 * step;
  butterfly<8>(FromSpectrum{scratch.spectrum + pair.a * step, step}, ToPoints{points});
  if (pair.a != pair.b) {
    butterfly<8>(FromSpectrum{scratch.spectrum + pair.b * step, step}, ToPoints{points + 8 * step});
    mirror += 8 * step;
    for (size_t q = 0; q < 8; ++q, turn += 2, up += stride, down -= stride) {
      untangle(load(points + q * step), load(mirror - q * step), turn, up, down);
    }
  } else if (pair.bin != 0) {
    for (size_t q = 0; q < 4; ++q, turn += 2, up += stride, down -= stride) {
      untangle(load(points + q * step), load(mirror - q * step), turn, up, down);
    }
  } else {
    const Complex zero = load(points);
    const Vec two = hn::Set(d, 2.0);
    const Vec lowest = hn::Mul(two, hn::Add(zero.re, zero.im)), highest = hn::Mul(two, hn::Sub(zero.re, zero.im));
    hn::Store(hn::Mul(lowest, lowest), d, up);
    hn::Store(hn::Mul(highest, highest), d, down);
    for (size_t q = 1; q <= 4; ++q, turn += 2) {
      untangle(load(points + q * step), load(points + (8 - q) * step), turn, up + q * stride, down - q * stride);
    }
  }
}

size_t group_frames() {
  return hn::Lanes(Doubles());
}

/// frames: group_frames() pointers to n_fft samples each -> scratch.power.
void power_spectrum(const LogMelTables& tables, const float* const* frames, const LogMelScratch& scratch) {
  const size_t radix = tables.stages.front().radix;
  if (radix == 8) {
    first_pass<8>(tables, frames, scratch);
  } else if (radix == 4) {
    first_pass<4>(tables, frames, scratch);
  } else {
    first_pass<2>(tables, frames, scratch);
  }
  const size_t part = tables.half / radix, step = 2 * hn::Lanes(Doubles());
  for (const LogMelParts& parts : tables.parts) {
    middle_passes(tables, part, scratch.spectrum + parts.a * step);
    if (parts.a != parts.b) {
      middle_passes(tables, part, scratch.spectrum + parts.b * step);
    }
    for (size_t i = parts.first_pair; i < parts.last_pair; ++i) {
      finish_pair(tables, tables.pairs[i], scratch);
    }
  }
}

/// 10 log10 of float64 powers from 2^-52 to below 2^460 (float32 samples give less), to 1e-6 dB besides the rounding of
/// the result. Range and cancellation are over once the bands are summed, so float32 does: the exponent moves down by
/// 971 to leave the top bits of a double, and the upper 32 of the rest become a float32 mantissa below 9 bits of it.
template <class D32, class V32>
HWY_INLINE hn::Vec<D32> decibels(D32 f, V32 power_bits) {
  const hn::RebindToUnsigned<D32> u;
  const hn::RebindToSigned<D32> i;
  const auto exponent = hn::Sub(hn::BitCast(i, hn::ShiftRight<23>(power_bits)), hn::Set(i, 52));
  const auto mantissa = hn::Or(hn::And(power_bits, hn::Set(u, 0x007fffffu)), hn::Set(u, 0x3f800000u));
  const auto t = hn::Sub(hn::BitCast(f, mantissa), hn::Set(f, 1.0f)), e = hn::ConvertTo(f, exponent);
  // 10 log10(1 + t) / t on [0, 1], minimax in t times it: 1.4e-7 dB.
  auto sum = hn::Set(f, -0.0280233752f);
  for (const float c :
       {0.156713217f, -0.413980514f, 0.728085518f, -1.04548049f, 1.44098151f, -2.17092538f, 4.34292936f}) {
    sum = hn::MulAdd(sum, t, hn::Set(f, c));
  }
  // 10 log10(2) in two parts, the first with so few bits that its product with an exponent is exact.
  return hn::MulAdd(e, hn::Set(f, 3.01025390625f), hn::MulAdd(e, hn::Set(f, 4.60503898e-05f), hn::Mul(sum, t)));
}

/// The upper bits of max(mel, floor), exponent moved, as `decibels` takes them; rounded to nearest.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<Doubles>> power_bits(const double* mel) {
  const Doubles d;
  const hn::RebindToUnsigned<Doubles> u;
  const auto bits = hn::BitCast(u, hn::Max(hn::Load(d, mel), hn::Set(d, mel_power_floor)));
  return hn::ShiftRight<29>(hn::Sub(bits, hn::Set(u, (uint64_t{971} << 52) - (uint64_t{1} << 28))));
}

/// scratch.mel -> scratch.mel_db, [bands, lanes] both; the a row beyond the last may be read and written.
void to_decibels(const LogMelTables& tables, const LogMelScratch& scratch) {
  const size_t lanes = hn::Lanes(Doubles());
#if HWY_TARGET == HWY_SCALAR
  const Floats f;
  const hn::Rebind<uint32_t, Doubles> u;
  for (size_t at = 0; at < tables.bands * lanes; at += lanes) {
    hn::Store(decibels(f, hn::TruncateTo(u, power_bits(scratch.mel + at))), f, scratch.mel_db + at);
  }
#else
  const hn::Repartition<float, Doubles> f;
  const hn::Repartition<uint32_t, Doubles> u;
  for (size_t at = 0; at < tables.bands * lanes; at += 2 * lanes) {
    const auto low = hn::BitCast(u, power_bits(scratch.mel + at));
    const auto high = hn::BitCast(u, power_bits(scratch.mel + at + lanes));
    hn::Store(decibels(f, hn::ConcatEven(u, high, low)), f, scratch.mel_db + at);
  }
#endif
}

/// scratch.power -> scratch.mel: every power is read once, for the band that rises over it and the one that falls.
void mel_powers(const LogMelTables& tables, const LogMelScratch& scratch) {
  const Doubles d;
  const size_t lanes = hn::Lanes(d);
  const double* weight = tables.slopes.data();
  const double* power = scratch.power + tables.edges[0] * lanes;
  double* mel = scratch.mel - lanes;
  Vec falling = hn::Zero(d);
  for (size_t band = 0; band <= tables.bands; ++band) {
    Vec rising = hn::Zero(d);
    const double* end = scratch.power + tables.edges[band + 1] * lanes;
    for (; power != end; power += lanes, weight += 2) {
      const Vec p = hn::Load(d, power);
      rising = hn::MulAdd(p, hn::Set(d, weight[0]), rising);
      falling = hn::MulAdd(p, hn::Set(d, weight[1]), falling);
    }
    hn::Store(falling, d, mel);  // the first is no band's
    mel += lanes;
    falling = rising;
  }
}

/// scratch.power -> dB of the first `count` frames, [count, bands].
void mel_decibels(const LogMelTables& tables, const LogMelScratch& scratch, size_t count, float* out) {
  const size_t lanes = hn::Lanes(Doubles()), bands = tables.bands;
  mel_powers(tables, scratch);
  to_decibels(tables, scratch);
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
      for (size_t i = 0; i < 4; ++i) {
        rows[i * bands + band] = scratch.mel_db[band * lanes + lane + i];
      }
    }
  }
  for (; lane < count; ++lane) {
    for (size_t band = 0; band < bands; ++band) {
      out[lane * bands + band] = scratch.mel_db[band * lanes + lane];
    }
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
#include "kernels/backend.h"

namespace evenflow::kernels::cpu {
namespace {

HWY_EXPORT(group_frames);
HWY_EXPORT(power_spectrum);
HWY_EXPORT(mel_decibels);

constexpr size_t most_lanes = 8;

/// Of the instruction set that all kernels take: it must be chosen before, or a later choice runs other lanes than
/// these.
size_t chosen_group_frames() {
  cpu_backend();
  return HWY_DYNAMIC_DISPATCH(group_frames)();
}

/// Radices of a transform of 2^exponent points, the odd one first: 512 = 8 8 8, 1024 = 2 8 8 8.
std::vector<size_t> radices_of(int exponent) {
  std::vector<size_t> radices;
  if (exponent % 3 != 0) {
    radices.push_back(size_t{1} << (exponent % 3));
  }
  radices.insert(radices.end(), static_cast<size_t>(exponent / 3), 8);
  return radices;
}

/// Where the block of the last pass that holds bins `bin`, bin + half/8, ... begins.
size_t block_of(const LogMelTables& tables, size_t bin) {
  size_t at = 0;
  for (size_t depth = 0; depth < tables.stages.size(); ++depth) {
    const FftStage& stage = tables.stages[depth];
    at += bin % stage.radix * (depth == 0 ? tables.part_stride : stage.size / stage.radix);
    bin /= stage.radix;
  }
  return at;
}

void plan_fft(LogMelTables& tables) {
  constexpr double turn = 2.0 * std::numbers::pi;
  std::vector<size_t> radices = radices_of(std::countr_zero(tables.half));
  radices.pop_back();
  size_t size = tables.half;
  for (const size_t radix : radices) {
    FftStage stage{size, radix, {}};
    for (size_t j = 0; j < size / radix; ++j) {
      for (size_t p = 1; p < radix; ++p) {
        const double angle = -turn * static_cast<double>(j * p) / static_cast<double>(size);
        stage.twiddles.push_back(std::cos(angle));
        stage.twiddles.push_back(std::sin(angle));
      }
    }
    tables.stages.push_back(std::move(stage));
    size /= radix;
  }

  const size_t blocks = tables.half / 8, first = radices.front();
  tables.part_stride = tables.half / first + 1;
  const auto add_pair = [&](size_t bin) {
    const size_t mirror = (blocks - bin) % blocks;
    tables.pairs.push_back({block_of(tables, bin), block_of(tables, mirror), bin, tables.untangle.size()});
    const size_t turns = bin == mirror ? 4 : 8;
    for (size_t q = bin == 0 ? 1 : 0; q < turns + (bin == 0 ? 1 : 0); ++q) {
      const double angle = turn * static_cast<double>(bin + q * blocks) / static_cast<double>(tables.n_fft);
      tables.untangle.push_back(std::cos(angle));
      tables.untangle.push_back(std::sin(angle));
    }
  };
  // Part p holds the bins that leave p over `first`, so its mirror images are in part first - p.
  for (size_t p = 0; p <= first / 2; ++p) {
    const size_t mirror = (first - p) % first, begin = tables.pairs.size();
    for (size_t bin = p; bin < blocks; bin += first) {
      if (p != mirror || bin <= (blocks - bin) % blocks) {
        add_pair(bin);
      }
    }
    tables.parts.push_back({p * tables.part_stride, mirror * tables.part_stride, begin, tables.pairs.size()});
  }
}

/// The filters bin by bin: slopes [bins from edges[0] to edges.back(), 2 (rising, falling)].
void plan_slopes(LogMelTables& tables) {
  const MelFilterbank& filters = tables.filters;
  struct Slope {
    size_t band, end;  ///< the bands over the bin, from and to
    double weight[2];
  };
  std::vector<Slope> slopes(tables.bins);
  for (size_t band = 0; band < tables.bands; ++band) {
    const auto from = static_cast<size_t>(filters.offset[band]), to = static_cast<size_t>(filters.offset[band + 1]);
    for (size_t i = from; i < to; ++i) {
      Slope& slope = slopes[static_cast<size_t>(filters.first_bin[band]) + i - from];
      if (slope.end == 0) {
        slope.band = band;
      }
      slope.weight[band - slope.band] = static_cast<double>(filters.weight[i]);
      slope.end = band + 1;
    }
  }
  // Bin by bin, the band that rises over it; one alone may rise or fall, whichever keeps the order.
  tables.edges.assign(tables.bands + 2, 0);
  size_t rising = 0;
  for (size_t bin = 0; bin < tables.bins; ++bin) {
    const Slope& slope = slopes[bin];
    if (slope.end > 0) {
      const size_t next = std::max(rising, slope.end - 1);
      for (; rising < next; ++rising) {
        tables.edges[rising + 1] = bin;
      }
    }
    const bool falls = slope.end > 0 && slope.band + 1 == rising;
    tables.slopes.push_back(slope.end == rising + 1 ? slope.weight[slope.end - 1 - slope.band] : 0.0);
    tables.slopes.push_back(falls ? slope.weight[0] : 0.0);
  }
  for (; rising <= tables.bands; ++rising) {
    tables.edges[rising + 1] = tables.bins;
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
  for (double& w : tables.window) {
    w *= 0.5;
  }
  if (std::has_single_bit(tables.n_fft) && tables.n_fft >= 32) {
    plan_fft(tables);
  }
  tables.filters = slaney_filterbank(settings);
  plan_slopes(tables);
  return tables;
}

}  // namespace

class LogMelTransform {
 public:
  explicit LogMelTransform(const LogMelSettings& settings)
      : tables_(make_tables(settings)),
        lanes_(chosen_group_frames()),
        time_(hwy::AllocateAligned<float>(8 * 16 * lanes_)),
        edges_(hwy::AllocateAligned<float>(tables_.n_fft * lanes_)),
        spectrum_(hwy::AllocateAligned<double>((tables_.half + 8) * 2 * lanes_)),
        points_(hwy::AllocateAligned<double>(2 * 8 * 2 * lanes_)),
        power_(hwy::AllocateAligned<double>(tables_.bins * lanes_)),
        mel_(hwy::AllocateAligned<double>((tables_.bands + 2) * lanes_)),
        mel_db_(hwy::AllocateAligned<float>((tables_.bands + 1) * lanes_)),
        any_size_(tables_.half, false) {
    if (!time_ || !edges_ || !spectrum_ || !points_ || !power_ || !mel_ || !mel_db_) {
      throw std::bad_alloc();
    }
    std::fill_n(mel_.get(), (tables_.bands + 2) * lanes_, 0.0);  // an odd last band is taken with a row beyond it
    if (tables_.stages.empty()) {
      windowed_.resize(tables_.n_fft);
      transformed_.resize(tables_.half);
      any_size_.transform_real(windowed_.data(), transformed_.data());  // kissfft grows its scratch on first use
    }
  }

  LogMelTransform(const LogMelTransform&) = delete;
  LogMelTransform& operator=(const LogMelTransform&) = delete;

  /// One clip: samples [count] -> frames_out [1 + count / hop, bands].
  void run(const float* samples, int64_t count, float* frames_out) {
    const LogMelScratch scratch{time_.get(),  spectrum_.get(),     points_.get(),
                                power_.get(), mel_.get() + lanes_, mel_db_.get()};
    const auto total = static_cast<size_t>(1 + count / tables_.settings.hop_samples);
    for (size_t first = 0; first < total; first += lanes_) {
      const size_t valid = std::min(lanes_, total - first);
      std::array<const float*, most_lanes> group{};
      for (size_t lane = 0; lane < lanes_; ++lane) {
        group[lane] = lane < valid ? frame(samples, count, first + lane, lane) : group[0];
      }
      if (tables_.stages.empty()) {
        for (size_t lane = 0; lane < lanes_; ++lane) {
          power_of_any_size(group[lane], lane);
        }
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
    const int64_t start = static_cast<int64_t>(index) * tables_.settings.hop_samples - n / 2;
    if (start >= 0 && start + n <= count) {
      return samples + start;
    }
    float* edge = edges_.get() + lane * tables_.n_fft;
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = start + i;
      if (tables_.settings.pad_mode == PadMode::reflect) {
        // Centres lie within [0, count] and count > n/2, so one reflection is enough.
        if (at < 0) {
          at = -at;
        }
        if (at >= count) {
          at = 2 * (count - 1) - at;
        }
      }
      edge[i] = at >= 0 && at < count ? samples[at] : 0.0f;
    }
    return edge;
  }

  void power_of_any_size(const float* samples, size_t lane) {
    for (size_t i = 0; i < tables_.n_fft; ++i) {
      windowed_[i] = 2.0 * tables_.window[i] * static_cast<double>(samples[i]);
    }
    any_size_.transform_real(windowed_.data(), transformed_.data());
    double* power = power_.get() + lane;
    power[0] = transformed_[0].real() * transformed_[0].real();
    power[tables_.half * lanes_] = transformed_[0].imag() * transformed_[0].imag();
    for (size_t k = 1; k < tables_.half; ++k) {
      power[k * lanes_] = std::norm(transformed_[k]);
    }
  }

  LogMelTables tables_;
  size_t lanes_;
  hwy::AlignedFreeUniquePtr<float[]> time_, edges_;
  hwy::AlignedFreeUniquePtr<double[]> spectrum_, points_, power_, mel_;
  hwy::AlignedFreeUniquePtr<float[]> mel_db_;
  kissfft<double> any_size_;  // the header-only class: the packaged library is float32
  std::vector<double> windowed_;
  std::vector<std::complex<double>> transformed_;
};

std::shared_ptr<LogMelTransform> make_logmel_transform(const LogMelSettings& settings) {
  return std::make_shared<LogMelTransform>(settings);
}

void run(Stream&, const LogMel& task) {
  for (int64_t i = 0; i < task.clips.size; ++i) {
    const LogMelClip& clip = task.clips[i];
    task.transform->run(task.samples.data + clip.first_sample, clip.samples,
                        task.frames_out.data + clip.first_frame * task.settings.mel_bands);
  }
}

}  // namespace evenflow::kernels::cpu

#endif  // HWY_ONCE
