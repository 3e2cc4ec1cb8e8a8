// The code of a variational autoencoder (Kingma & Welling 2014): draws from it, its loss, and the way back.
//
// A code [n, 2 L] holds of each window L means and then L log-variances of its latents.
#pragma once

#include <cstdint>

#include "kernels/anywhere.h"
#include "kernels/cost.h"
#include "kernels/latent.h"
#include "kernels/random.h"
#include "kernels/stream.h"
#include "kernels/view.h"

namespace evenflow::kernels {

/// What the latents of a code are drawn with, N(0, 1): a function of seed, training step, the window's place in its
/// batch and the latent alone, so the same on every backend.
struct CodeNoise {
  uint64_t seed = 0;
  Array<const int64_t> step;  ///< [1], on the device; empty: no noise
  int64_t first = 0;          ///< place of the first window in its batch
};
EVENFLOW_ANYWHERE inline double noise_at(uint64_t seed, int64_t step, int64_t window, int64_t latent) {
  return random_normal(seed, mix_bits(static_cast<uint64_t>(step)) ^ static_cast<uint64_t>(window),
                       static_cast<uint64_t>(latent));
}

/// z = mean + exp(log_variance / 2) noise. Within 2^-22 (|mean| + |the noise's part|). ShapeError.
struct CodeSample {
  int64_t latents = 0;
  Array<const float> code;  ///< [n, 2 L]
  CodeNoise noise;
  Array<float> z;  ///< [n, L]
};
void code_sample(Stream& stream, const CodeSample& task);
Cost cost(const CodeSample& task);

/// What a code is held to: the KL divergence from N(0, 1) with weight beta; and the first P = groups.size latents are
/// tied to the parameters, latent p to k (v - v0), with weight gamma.
struct CodePrior {
  int64_t latents = 0;
  double beta = 1, gamma = 0;
  Array<const LatentGroup> groups;  ///< [P], P <= L; empty: nothing is tied
  Array<const double> v;            ///< [n * P]; NaN = unknown: no tie; empty: none is known
};

/// Of windows of `dimensions` values, nats, in float64; every term within 1e-12 of itself (loss: 1e-12 (10 + |loss|)).
struct CodeLoss {
  CodePrior prior;
  int64_t dimensions = 0;
  Array<const float> code;       ///< [n, 2 L]
  Array<const double> squares;   ///< [n] sum of (x - its reconstruction)^2
  Array<double> reconstruction;  ///< [n] out: -log N(x; its reconstruction, 1)
  Array<double> kld;             ///< [n] out: of the code from N(0, 1)
  Array<double> loss;            ///< [n] out: reconstruction + beta kld + gamma sum of (mean_p - k (v - v0))^2
};
void code_loss(Stream& stream, const CodeLoss& task);
Cost cost(const CodeLoss& task);

/// dcode of scale times the sum of the losses, from the decoder's dz. Within 2e-6 (1 + itself) of differences of the
/// loss.
struct CodeBackward {
  CodePrior prior;
  CodeNoise noise;  ///< as CodeSample had it
  double scale = 1;
  Array<const float> code;  ///< [n, 2 L]
  Array<const float> dz;    ///< [n, L]
  Array<float> dcode;       ///< [n, 2 L]
};
void code_backward(Stream& stream, const CodeBackward& task);
Cost cost(const CodeBackward& task);

// ---- of one window or element, for the backends

EVENFLOW_ANYWHERE inline float code_sample_at(const CodeSample& task, int64_t i) {
  const int64_t window = i / task.latents;
  const int64_t j = i % task.latents;
  const float* own = task.code.data + window * 2 * task.latents;
  float value = own[j];
  if (task.noise.step.size != 0) {
    const double noise = noise_at(task.noise.seed, task.noise.step.data[0], task.noise.first + window, j);
    value += static_cast<float>(exp(0.5 * static_cast<double>(own[task.latents + j])) * noise);
  }
  return value;
}

EVENFLOW_ANYWHERE inline void code_loss_of(const CodeLoss& task, int64_t window) {
  const CodePrior& prior = task.prior;
  const float* mean = task.code.data + window * 2 * prior.latents;
  double kld = 0;
  for (int64_t j = 0; j < prior.latents; ++j) {
    const double m = mean[j];
    const double l = mean[prior.latents + j];
    kld += 0.5 * (m * m + exp(l) - l - 1.0);
  }
  double tie = 0;
  for (int64_t p = 0; p < prior.groups.size && prior.v.size != 0; ++p) {
    const double v = prior.v.data[window * prior.groups.size + p];
    if (v != v) {
      continue;
    }
    const LatentGroup group = prior.groups.data[p];
    const double off = mean[p] - group.k * (v - group.v0);
    tie += off * off;
  }
  const double reconstruction = static_cast<double>(task.dimensions) * half_log_2pi + 0.5 * task.squares.data[window];
  task.reconstruction.data[window] = reconstruction;
  task.kld.data[window] = kld;
  task.loss.data[window] = reconstruction + prior.beta * kld + prior.gamma * tie;
}

EVENFLOW_ANYWHERE inline void code_backward_at(const CodeBackward& task, int64_t i) {
  const CodePrior& prior = task.prior;
  const int64_t window = i / prior.latents;
  const int64_t j = i % prior.latents;
  const int64_t at = window * 2 * prior.latents + j;
  const double m = task.code.data[at];
  const double l = task.code.data[at + prior.latents];
  const double dz = task.dz.data[i];
  double dmean = dz + task.scale * prior.beta * m;
  double dlog_variance = task.scale * prior.beta * 0.5 * (exp(l) - 1.0);
  if (task.noise.step.size != 0) {
    dlog_variance +=
        dz * 0.5 * exp(0.5 * l) * noise_at(task.noise.seed, task.noise.step.data[0], task.noise.first + window, j);
  }
  if (j < prior.groups.size && prior.v.size != 0) {
    const double v = prior.v.data[window * prior.groups.size + j];
    const LatentGroup group = prior.groups.data[j];
    if (v == v) {
      dmean += task.scale * prior.gamma * 2.0 * (m - group.k * (v - group.v0));
    }
  }
  task.dcode.data[at] = static_cast<float>(dmean);
  task.dcode.data[at + prior.latents] = static_cast<float>(dlog_variance);
}

}  // namespace evenflow::kernels
