#include "tests/ptx/agreement.h"

#include <sstream>
#include <string_view>

#include "kernels/check.h"
#include "tests/ptx/runner.h"

namespace evenflow::ptx {
namespace {

/// nvcc makes one rounding of a product and a sum where the host makes two.
constexpr double contracted = 4;
/// exp, and what is made of it: nvcc's own expf is off by up to 2 units, and so is the host's.
constexpr double exponentials = 16;
/// exp, log, pow and cos in float64, by which the two libraries differ in the last bit, and what is rounded of it.
constexpr double function_f32 = 2, function_f64 = 8;
/// Sums in float64 of terms in float32, by the latter's unit: of a map's logarithms, which take from each other.
constexpr double sum_of_f32 = 4 * exponentials * 0x1p29;

struct Bound {
  std::string_view kernel;  ///< without its template's arguments
  Distance most;
};

/// Whatever is not here is the same bit for bit: integers, sums, tile products and exact functions in the same order.
constexpr Bound bounds[] = {
    {"actnorm_forward_kernel", {contracted, 0}},
    {"actnorm_inverse_kernel", {contracted, 0}},
    {"actnorm_backward_kernel", {contracted, 0}},
    {"shift_kernel", {contracted, 0}},
    {"shift_backward_kernel", {contracted, sum_of_f32}},
    {"mix_forward_kernel", {contracted, 0}},
    {"mix_backward_kernel", {contracted, 0}},
    {"mix_add_shares_kernel", {contracted, 0}},
    {"gather_windows_kernel", {contracted, 0}},
    {"invconv_dense_backward_kernel", {contracted, 0}},
    {"gaussian_moments_kernel", {0, 8}},  // sums of float64
    {"actnorm_initialise_kernel", {function_f32, 0}},
    {"draw_changes_kernel", {function_f32, function_f64}},
    {"judge_step_kernel", {function_f32, 0}},
    {"code_sample_kernel", {function_f32, 0}},
    {"code_loss_kernel", {0, function_f64}},
    {"code_backward_kernel", {function_f32, 0}},
    {"cross_entropy_kernel", {0, function_f64}},
    {"cross_entropy_backward_kernel", {function_f32, function_f64}},
    {"latent_loss_kernel", {function_f32, function_f64}},
    {"invconv_assemble_plu_kernel", {function_f32, 2 * function_f64}},
    {"invconv_assemble_dense_kernel", {function_f32, 2 * function_f64}},
    {"invconv_plu_backward_kernel", {function_f32, 0}},
    {"affine_forward_kernel", {exponentials, sum_of_f32}},
    {"affine_inverse_kernel", {exponentials, 0}},
    {"affine_backward_kernel", {exponentials, sum_of_f32}},
    {"fused_forward_kernel", {exponentials, sum_of_f32}},
    // A gradient that lies between two tf32 numbers may go to either: half a tf32 unit of it, in one of many terms.
    {"fused_backward_kernel", {0x1p-11 / 0x1p-24, 0}},
    {"logmel_bands_kernel", {contracted, 0}},
    // Decibels: 0.2 dB in a band 100 dB below the loudest (kernels/logmel.h), of 150.
    {"logmel_fused_kernel", {0.2 / 150 / 0x1p-24, 0}},
};

}  // namespace

void require_agreement(const std::string& kernel, const Distance& distance) {
  const std::string_view name = std::string_view(kernel).substr(0, kernel.find('<'));
  Distance most;
  for (const Bound& bound : bounds) {
    most = bound.kernel == name ? bound.most : most;
  }
  if (distance.f32 <= most.f32 && distance.f64 <= most.f64) {
    return;
  }
  std::ostringstream text;
  text << "kernel " << kernel << ": what nvcc made is " << distance.f32 << " units of float32 and " << distance.f64
       << " of float64 from the emulation, where " << most.f32 << " and " << most.f64 << " are the most";
  throw kernels::DeviceError(text.str());
}

}  // namespace evenflow::ptx
