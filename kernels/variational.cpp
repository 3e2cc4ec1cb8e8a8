#include "kernels/variational.h"

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {
namespace {

// The number of windows.
int64_t check_code(const char* operation, int64_t latents, Array<const float> code) {
  check(latents >= 1 && code.size >= 1 && code.size % (2 * latents) == 0, operation, "code [n, 2 L] with n, L >= 1");
  return code.size / (2 * latents);
}

void check_noise(const char* operation, const Noise& noise) {
  check(noise.step.size <= 1, operation, "one step, or none");
}

int64_t check_task(const char* operation, const CodeLoss& task) {
  const int64_t n = check_code(operation, task.latents, task.code);
  check(task.groups.size <= task.latents, operation, "no more parameters than latents");
  check(task.v.size == 0 || task.v.size == n * task.groups.size, operation,
        "v of one element per window and parameter, or none");
  return n;
}

}  // namespace

void code_sample(Stream& stream, int64_t latents, Array<const float> code, const Noise& noise, Array<float> z) {
  const int64_t n = check_code("code_sample", latents, code);
  check_noise("code_sample", noise);
  check(z.size == n * latents, "code_sample", "z [n, L]");
  const TraceRange range(stream, "code_sample");
  backend_of(stream.device()).code_sample(stream, latents, code, noise, z);
}

void subtract(Stream& stream, Array<const float> a, Array<const float> b, Array<float> out) {
  check(a.size == b.size && a.size == out.size, "subtract", "arrays of one size");
  const TraceRange range(stream, "subtract");
  backend_of(stream.device()).subtract(stream, a, b, out);
}

void code_loss(Stream& stream, const CodeLoss& task, const CodeTerms& out) {
  const int64_t n = check_task("code_loss", task);
  check(task.squares.size == n && out.reconstruction.size == n && out.kld.size == n && out.loss.size == n, "code_loss",
        "squares and every term [n]");
  const TraceRange range(stream, "code_loss");
  backend_of(stream.device()).code_loss(stream, task, out);
}

void code_backward(Stream& stream, const CodeLoss& task, const Noise& noise, double scale, Array<const float> dz,
                   Array<float> dcode) {
  const int64_t n = check_task("code_backward", task);
  check_noise("code_backward", noise);
  check(dz.size == n * task.latents && dcode.size == task.code.size, "code_backward", "dz [n, L] and dcode [n, 2 L]");
  const TraceRange range(stream, "code_backward");
  backend_of(stream.device()).code_backward(stream, task, noise, scale, dz, dcode);
}

}  // namespace evenflow::kernels
