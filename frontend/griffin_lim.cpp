#include "frontend/griffin_lim.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <kissfft.hh>
#include <numbers>

#include "kernels/logmel.h"
#include "kernels/random.h"

namespace evenflow::frontend {
namespace {

using Complex = std::complex<double>;

kernels::LogMelSettings filters_of(const io::FrontendSettings& settings) {
  return {.sample_rate_hz = settings.sample_rate_hz,
          .n_fft = settings.n_fft,
          .hop_samples = settings.hop_samples,
          .mel_bands = settings.mel_bands};
}

/// The short-time Fourier transform of the log-mel: periodic Hann, frames centred on samples 0, hop, 2 hop, ...; zeros
/// beyond the ends.
class Transform {
 public:
  explicit Transform(const io::FrontendSettings& settings)
      : n_(static_cast<size_t>(settings.n_fft)),
        hop_(static_cast<size_t>(settings.hop_samples)),
        window_(kernels::periodic_hann(settings.n_fft)),
        forward_(n_, false),
        backward_(n_, true),
        time_(n_),
        bins_(n_) {}

  size_t bins() const { return n_ / 2 + 1; }

  /// spectrum [frames, bins] of samples; frames that reach over an end see zeros.
  void forward(std::span<const double> samples, std::vector<Complex>& spectrum) {
    const size_t frames = spectrum.size() / bins();
    for (size_t t = 0; t < frames; ++t) {
      for (size_t i = 0; i < n_; ++i) {
        const size_t at = t * hop_ + i;  // counted from n / 2 before the first sample
        const bool inside = at >= n_ / 2 && at - n_ / 2 < samples.size();
        time_[i] = inside ? window_[i] * samples[at - n_ / 2] : 0.0;
      }
      forward_.transform(time_.data(), bins_.data());
      std::copy_n(bins_.begin(), bins(), spectrum.begin() + static_cast<std::ptrdiff_t>(t * bins()));
    }
  }

  /// The samples whose spectrum comes nearest, in least squares.
  void inverse(const std::vector<Complex>& spectrum, std::span<double> samples) {
    const size_t frames = spectrum.size() / bins();
    std::fill(samples.begin(), samples.end(), 0.0);
    std::vector<double> weight(samples.size(), 0.0);
    for (size_t t = 0; t < frames; ++t) {
      const Complex* own = spectrum.data() + t * bins();
      for (size_t k = 0; k < n_; ++k) {
        bins_[k] = k < bins() ? own[k] : std::conj(own[n_ - k]);
      }
      backward_.transform(bins_.data(), time_.data());
      for (size_t i = 0; i < n_; ++i) {
        const size_t at = t * hop_ + i;
        if (at >= n_ / 2 && at - n_ / 2 < samples.size()) {
          samples[at - n_ / 2] += window_[i] * time_[i].real() / static_cast<double>(n_);
          weight[at - n_ / 2] += window_[i] * window_[i];
        }
      }
    }
    constexpr double least = 1e-8;  // where no window reaches there is no sound
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i] /= std::max(weight[i], least);
    }
  }

 private:
  size_t n_, hop_;
  std::vector<double> window_;
  kissfft<double> forward_, backward_;
  std::vector<Complex> time_, bins_;
};

/// One frame's spectrum from its bands: multiplicative updates keep what is not negative so.
void fit_frame(const kernels::MelFilterbank& filters, std::span<const double> bands, std::span<const double> column,
               std::span<double> power) {
  constexpr int updates = 200;
  constexpr double least = 1e-30;
  const auto for_each_weight = [&](const auto& visit) {
    for (size_t b = 0; b < bands.size(); ++b) {
      for (int i = filters.offset[b]; i < filters.offset[b + 1]; ++i) {
        visit(b, static_cast<size_t>(filters.first_bin[b] + i - filters.offset[b]),
              static_cast<double>(filters.weight[static_cast<size_t>(i)]));
      }
    }
  };
  std::vector<double> wanted(power.size()), made(power.size()), sums(bands.size());
  std::fill(power.begin(), power.end(), 0.0);
  for_each_weight([&](size_t b, size_t bin, double w) {
    wanted[bin] += w * bands[b];
    power[bin] += w * bands[b] / column[bin];
  });
  // Each band's filter sums to this, so that the start is on the scale of the power.
  std::vector<double> area(bands.size());
  for_each_weight([&](size_t b, size_t, double w) { area[b] += w; });
  std::fill(made.begin(), made.end(), 0.0);
  for_each_weight([&](size_t b, size_t bin, double w) { made[bin] += w * area[b] / column[bin]; });
  for (size_t k = 0; k < power.size(); ++k) {
    power[k] = made[k] > 0 ? power[k] / made[k] : 0.0;
  }
  for (int update = 0; update < updates; ++update) {
    std::fill(sums.begin(), sums.end(), 0.0);
    std::fill(made.begin(), made.end(), 0.0);
    for_each_weight([&](size_t b, size_t bin, double w) { sums[b] += w * power[bin]; });
    for_each_weight([&](size_t b, size_t bin, double w) { made[bin] += w * sums[b]; });
    for (size_t k = 0; k < power.size(); ++k) {
      power[k] = made[k] > least ? power[k] * wanted[k] / made[k] : 0.0;
    }
  }
}

}  // namespace

std::vector<float> power_spectrum(std::span<const float> logmel_db, const io::FrontendSettings& settings) {
  const kernels::MelFilterbank filters = kernels::slaney_filterbank(filters_of(settings));
  const auto mel = static_cast<size_t>(settings.mel_bands), bins = static_cast<size_t>(settings.n_fft) / 2 + 1;
  const size_t frames = logmel_db.size() / mel;
  std::vector<double> column(bins, 0.0), bands(mel), power(bins);
  for (size_t b = 0; b < mel; ++b) {
    for (int i = filters.offset[b]; i < filters.offset[b + 1]; ++i) {
      column[static_cast<size_t>(filters.first_bin[b] + i - filters.offset[b])] +=
          static_cast<double>(filters.weight[static_cast<size_t>(i)]);
    }
  }
  std::vector<float> out(frames * bins);
  for (size_t t = 0; t < frames; ++t) {
    for (size_t b = 0; b < mel; ++b) {
      const double db = logmel_db[t * mel + b];
      bands[b] = std::isfinite(db) ? std::pow(10.0, db / 10.0) : 0.0;
    }
    fit_frame(filters, bands, column, power);
    std::transform(power.begin(), power.end(), out.begin() + static_cast<std::ptrdiff_t>(t * bins),
                   [](double p) { return static_cast<float>(p); });
  }
  return out;
}

std::vector<float> sound_of(std::span<const float> logmel_db, const io::FrontendSettings& settings,
                            const GriffinLimSettings& how) {
  const size_t frames = logmel_db.size() / static_cast<size_t>(settings.mel_bands);
  if (frames < 2) {
    return {};
  }
  const std::vector<float> power = power_spectrum(logmel_db, settings);
  Transform transform(settings);
  std::vector<double> samples((frames - 1) * static_cast<size_t>(settings.hop_samples));
  std::vector<Complex> spectrum(power.size()), made(power.size()), before(power.size());
  for (size_t i = 0; i < power.size(); ++i) {
    const double turns = kernels::unit_interval(kernels::random_bits(how.seed, 0, i));
    spectrum[i] = std::polar(std::sqrt(static_cast<double>(power[i])), 2.0 * std::numbers::pi * turns);
  }
  for (int iteration = 0; iteration < how.iterations; ++iteration) {
    transform.inverse(spectrum, samples);
    transform.forward(samples, made);
    for (size_t i = 0; i < power.size(); ++i) {
      // Perraudin et al.: on from the last step, in its own direction.
      const Complex next = iteration == 0 ? made[i] : made[i] + how.momentum * (made[i] - before[i]);
      const double length = std::abs(next), wanted = std::sqrt(static_cast<double>(power[i]));
      spectrum[i] = length > 0 ? next * (wanted / length) : Complex(wanted);
    }
    std::swap(made, before);
  }
  transform.inverse(spectrum, samples);
  std::vector<float> out;
  out.reserve(samples.size());
  for (const double sample : samples) {
    out.push_back(static_cast<float>(sample));
  }
  return out;
}

double spectral_convergence(std::span<const float> sound, std::span<const float> power,
                            const io::FrontendSettings& settings) {
  Transform transform(settings);
  std::vector<Complex> spectrum(power.size());
  transform.forward(std::vector<double>(sound.begin(), sound.end()), spectrum);
  double off = 0, whole = 0;
  for (size_t i = 0; i < power.size(); ++i) {
    const double wanted = std::sqrt(static_cast<double>(power[i]));
    off += (wanted - std::abs(spectrum[i])) * (wanted - std::abs(spectrum[i]));
    whole += power[i];
  }
  return std::sqrt(off / whole);
}

}  // namespace evenflow::frontend
