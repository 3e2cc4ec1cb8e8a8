#include <cmath>
#include <numbers>

#include "kernels/cuda/grid.h"
#include "kernels/cuda/ops.h"
#include "kernels/noise.h"

namespace evenflow::kernels::cuda {
namespace {

// Codes are a few numbers a window: a thread each, in float64. kernels/cpu/variational.cpp says what they are.

__device__ double draw(const Noise& noise, int64_t window, int64_t latent) {
  return noise_at(noise.seed, noise.step.data[0], noise.first + window, latent);
}

__global__ void code_sample_kernel(int64_t latents, const float* __restrict__ code, Noise noise, int64_t size,
                                   float* __restrict__ z) {
  const int64_t i = first_item();
  if (i >= size) return;
  const int64_t window = i / latents;
  const int64_t j = i % latents;
  const float* own = code + window * 2 * latents;
  float value = own[j];
  if (noise.step.size != 0) {
    value += static_cast<float>(exp(0.5 * static_cast<double>(own[latents + j])) * draw(noise, window, j));
  }
  z[i] = value;
}

__global__ void subtract_kernel(const float* __restrict__ a, const float* __restrict__ b, int64_t size,
                                float* __restrict__ out) {
  for (int64_t i = first_item(); i < size; i += item_stride()) out[i] = a[i] - b[i];
}

__global__ void code_loss_kernel(CodeLoss task, CodeTerms out, double half_log_2pi) {
  const int64_t i = first_item();
  if (i >= out.loss.size) return;
  const float* mean = task.code.data + i * 2 * task.latents;
  double kld = 0;
  for (int64_t j = 0; j < task.latents; ++j) {
    const double m = mean[j];
    const double l = mean[task.latents + j];
    kld += 0.5 * (m * m + exp(l) - l - 1.0);
  }
  double tie = 0;
  for (int64_t p = 0; p < task.groups.size && task.v.size != 0; ++p) {
    const double v = task.v.data[i * task.groups.size + p];
    if (v != v) continue;
    const LatentGroup group = task.groups.data[p];
    const double off = mean[p] - group.k * (v - group.v0);
    tie += off * off;
  }
  const double reconstruction = static_cast<double>(task.dimensions) * half_log_2pi + 0.5 * task.squares.data[i];
  out.reconstruction.data[i] = reconstruction;
  out.kld.data[i] = kld;
  out.loss.data[i] = reconstruction + task.beta * kld + task.gamma * tie;
}

__global__ void code_backward_kernel(CodeLoss task, Noise noise, double scale, int64_t size,
                                     const float* __restrict__ dz, float* __restrict__ dcode) {
  const int64_t i = first_item();
  if (i >= size) return;
  const int64_t window = i / task.latents;
  const int64_t j = i % task.latents;
  const int64_t at = window * 2 * task.latents + j;
  const double m = task.code.data[at];
  const double l = task.code.data[at + task.latents];
  double dmean = dz[i] + scale * task.beta * m;
  double dlog_variance = scale * task.beta * 0.5 * (exp(l) - 1.0);
  if (noise.step.size != 0) dlog_variance += dz[i] * 0.5 * exp(0.5 * l) * draw(noise, window, j);
  if (j < task.groups.size && task.v.size != 0) {
    const double v = task.v.data[window * task.groups.size + j];
    const LatentGroup group = task.groups.data[j];
    if (v == v) dmean += scale * task.gamma * 2.0 * (m - group.k * (v - group.v0));
  }
  dcode[at] = static_cast<float>(dmean);
  dcode[at + task.latents] = static_cast<float>(dlog_variance);
}

constexpr int threads = 64;

Launch launch_over(const char* name, int64_t items) {
  return {name, {static_cast<unsigned>(divide_up(items, threads))}, threads};
}

}  // namespace

void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise, Array<float> z) {
  launch(stream, launch_over("code_sample", z.size), code_sample_kernel, latents, code.data, noise, z.size, z.data);
}

void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out) {
  launch(stream, {"subtract", blocks_for(out.size), block_threads}, subtract_kernel, a.data, b.data, out.size,
         out.data);
}

void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out) {
  launch(stream, launch_over("code_loss", out.loss.size), code_loss_kernel, task, out,
         0.5 * std::log(2.0 * std::numbers::pi));
}

void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                   Array<float> dcode) {
  launch(stream, launch_over("code_backward", dz.size), code_backward_kernel, task, noise, scale, dz.size, dz.data,
         dcode.data);
}

}  // namespace evenflow::kernels::cuda
