// What a variational autoencoder (Kingma & Welling 2014) needs beside its layers: draws from its code, and its loss.
//
// A code [n, 2 L] holds of each window L means and then L log-variances of its latents.
#pragma once

#include <cstdint>

#include "kernels/latent.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// Noise N(0, 1) for a training step: a function of seed, step, the window's place in the batch and the latent alone.
struct Noise {
  uint64_t seed = 0;
  Array<const int64_t> step;  ///< [1], on the device; empty: no noise
  int64_t first = 0;          ///< place of the first window in its batch
};

/// z [n, L] = mean + exp(log_variance / 2) noise.
void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise, Array<float> z);

/// out = a - b, element by element.
void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out);

/// Of n windows of `dimensions` values: the first P = groups.size latents are tied to the parameters, latent p to
/// k (v - v0).
struct CodeLoss {
  int64_t dimensions = 0, latents = 0;
  double beta = 1, gamma = 0;
  Array<const LatentGroup> groups;  ///< [P], P <= L; empty: nothing is tied
  Array<const float> code;          ///< [n, 2 L]
  Array<const double> squares;      ///< [n] sum of (x - its reconstruction)^2
  Array<const double> v;            ///< [n * P]; NaN = unknown: no tie; empty: none is known
};
struct CodeTerms {
  Array<double> reconstruction;  ///< [n] -log N(x; its reconstruction, 1)
  Array<double> kld;             ///< [n] of the code from N(0, 1)
  Array<double> loss;            ///< [n] reconstruction + beta kld + gamma sum of (mean_p - k (v - v0))^2
};
/// In nats, float64.
void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out);
/// dcode [n, 2 L] of scale times the sum of the losses, from the decoder's dz [n, L].
void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                   Array<float> dcode);

}  // namespace evenflow::kernels
