#include "kernels/variational_code.h"

#include "kernels/check.h"
#include "kernels/operations.h"

namespace evenflow::kernels {
namespace {

// The number of windows.
int64_t check_code(const char* operation, int64_t latents, Array<const float> code) {
  check(latents >= 1 && code.size >= 1 && code.size % (2 * latents) == 0, operation, "code [n, 2 L] with n, L >= 1");
  return code.size / (2 * latents);
}

void check_noise(const char* operation, const CodeNoise& noise) {
  check(noise.step.size <= 1, operation, "one step, or none");
}

int64_t check_prior(const char* operation, const CodePrior& prior, Array<const float> code) {
  const int64_t n = check_code(operation, prior.latents, code);
  check(prior.groups.size <= prior.latents, operation, "no more parameters than latents");
  check(prior.v.size == 0 || prior.v.size == n * prior.groups.size, operation,
        "v of one element per window and parameter, or none");
  return n;
}

}  // namespace

void code_sample(Stream& stream, const CodeSample& task) {
  const int64_t n = check_code("code_sample", task.latents, task.code);
  check_noise("code_sample", task.noise);
  check(task.z.size == n * task.latents, "code_sample", "z [n, L]");
  dispatch(stream, "code_sample", task);
}

void code_loss(Stream& stream, const CodeLoss& task) {
  const int64_t n = check_prior("code_loss", task.prior, task.code);
  check(task.squares.size == n && task.reconstruction.size == n && task.kld.size == n && task.loss.size == n,
        "code_loss", "squares and every term [n]");
  dispatch(stream, "code_loss", task);
}

void code_backward(Stream& stream, const CodeBackward& task) {
  const int64_t n = check_prior("code_backward", task.prior, task.code);
  check_noise("code_backward", task.noise);
  check(task.dz.size == n * task.prior.latents && task.dcode.size == task.code.size, "code_backward",
        "dz [n, L] and dcode [n, 2 L]");
  dispatch(stream, "code_backward", task);
}

// A few numbers a window: their FLOP are not counted.
Cost cost(const CodeSample& task) {
  return {bytes_of_floats(task.code.size + task.z.size), 0};
}

Cost cost(const CodeLoss& task) {
  return {bytes_of_floats(task.code.size) + bytes_of_doubles(4 * task.loss.size + task.prior.v.size), 0};
}

Cost cost(const CodeBackward& task) {
  return {bytes_of_floats(2 * task.code.size + task.dz.size) + bytes_of_doubles(task.prior.v.size), 0};
}

}  // namespace evenflow::kernels
