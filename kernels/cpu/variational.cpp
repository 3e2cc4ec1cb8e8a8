#include <cmath>
#include <numbers>

#include "kernels/cpu/ops.h"
#include "kernels/noise.h"

namespace evenflow::kernels::cpu {

void code_sample(int64_t latents, Array<const float> code, const Noise& noise, Array<float> z) {
  for (int64_t i = 0; i < z.size; ++i) {
    const int64_t window = i / latents, j = i % latents;
    const float* own = code.data + window * 2 * latents;
    z[i] = own[j];
    if (noise.step.size == 0) continue;
    const double draw = noise_at(noise.seed, noise.step[0], noise.first + window, j);
    z[i] += static_cast<float>(std::exp(0.5 * static_cast<double>(own[latents + j])) * draw);
  }
}

void subtract(Array<const float> a, Array<const float> b, Array<float> out) {
  for (int64_t i = 0; i < out.size; ++i) out[i] = a[i] - b[i];
}

void code_loss(const CodeLoss& task, const CodeTerms& out) {
  static const double half_log_2pi = 0.5 * std::log(2.0 * std::numbers::pi);
  for (int64_t i = 0; i < out.loss.size; ++i) {
    const float* mean = task.code.data + i * 2 * task.latents;
    const float* log_variance = mean + task.latents;
    double kld = 0;
    for (int64_t j = 0; j < task.latents; ++j) {
      const double m = mean[j], l = log_variance[j];
      kld += 0.5 * (m * m + std::exp(l) - l - 1.0);
    }
    double tie = 0;
    for (int64_t p = 0; p < task.groups.size; ++p) {
      const double v = task.v.size == 0 ? NAN : task.v[i * task.groups.size + p];
      if (std::isnan(v)) continue;
      const double off = mean[p] - task.groups[p].k * (v - task.groups[p].v0);
      tie += off * off;
    }
    out.reconstruction[i] = static_cast<double>(task.dimensions) * half_log_2pi + 0.5 * task.squares[i];
    out.kld[i] = kld;
    out.loss[i] = out.reconstruction[i] + task.beta * kld + task.gamma * tie;
  }
}

void code_backward(const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz, Array<float> dcode) {
  for (int64_t i = 0; i < dz.size; ++i) {
    const int64_t window = i / task.latents, j = i % task.latents;
    const int64_t at = window * 2 * task.latents + j;
    const double m = task.code[at], l = task.code[at + task.latents];
    double dmean = dz[i] + scale * task.beta * m;
    double dlog_variance = scale * task.beta * 0.5 * (std::exp(l) - 1.0);
    if (noise.step.size != 0) {
      dlog_variance += dz[i] * 0.5 * std::exp(0.5 * l) * noise_at(noise.seed, noise.step[0], noise.first + window, j);
    }
    if (j < task.groups.size && task.v.size != 0) {
      const double v = task.v[window * task.groups.size + j];
      if (!std::isnan(v)) dmean += scale * task.gamma * 2.0 * (m - task.groups[j].k * (v - task.groups[j].v0));
    }
    dcode[at] = static_cast<float>(dmean);
    dcode[at + task.latents] = static_cast<float>(dlog_variance);
  }
}

}  // namespace evenflow::kernels::cpu
