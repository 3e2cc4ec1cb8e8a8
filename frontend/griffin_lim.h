// Log-mel frames back to sound: mel bands to a spectrum, and phases for it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/config.h"

namespace evenflow::frontend {

struct GriffinLimSettings {
  int iterations = 64;
  double momentum = 0.99;  ///< 0: Griffin and Lim's own
  uint64_t seed = 1;       ///< of the phases that it starts from
};

/// The power spectrum whose mel bands are these: [frames, n_fft/2 + 1] from [frames, mel_bands] in dB. Bands are fewer
/// than bins, so that of all spectra that are nowhere negative one of least squares is found, by 200 multiplicative
/// updates (Lee and Seung 2001, "Algorithms for non-negative matrix factorization") from the bands spread over their
/// bins. Measured, root mean square: the bands of noise are off by 0.3 dB at most; with tones that stand 40 dB above
/// the bands beside them by 2 dB, mostly in these. What is not finite counts as silence.
std::vector<float> power_spectrum(std::span<const float> logmel_db, const io::FrontendSettings& settings);

/// Samples in the settings' rate, (frames - 1) hop of them, whose log-mel comes near to the frames [frames, mel_bands]
/// in dB; not scaled or clipped. Phases by the fast Griffin-Lim algorithm (Perraudin, Balazs and Sondergaard 2013;
/// Griffin and Lim 1984), in float64: the same bits for the same frames, settings and seed. Sound of this kind is for
/// listening: phases are made up, and mel bands hold less than spectra do. Its log-mel is off by 2 dB of noise and by
/// 3.5 dB of tones with a pause, root mean square, in bands up to 40 dB below the loudest. Empty for less than two
/// frames.
std::vector<float> sound_of(std::span<const float> logmel_db, const io::FrontendSettings& settings,
                            const GriffinLimSettings& how = {});

/// |S - |STFT(sound)|| / |S| of a power spectrum S^2 [frames, n_fft/2 + 1]: what sound_of makes small.
double spectral_convergence(std::span<const float> sound, std::span<const float> power,
                            const io::FrontendSettings& settings);

}  // namespace evenflow::frontend
