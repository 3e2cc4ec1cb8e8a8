#include "flow/glow_model.h"

#include <fmt/format.h>

#include <cmath>

#include "flow/glow_attribution.h"
#include "kernels/copy.h"
#include "kernels/row_moments.h"
#include "kernels/trace.h"

namespace evenflow::flow {
namespace {

int64_t pooled_size(const GlowShape& shape) {
  int64_t rows = 0;
  for (int block = 0; block < shape.blocks; ++block) {
    rows += shape.channels(block) / 2 * shape.block_height(block);
  }
  return 2 * rows;
}

class GlowModelPass final : public Pass {
 public:
  GlowModelPass(const GlowModel& model, int64_t n, PassMode mode)
      : model_(model), glow_(model.glow()), prior_(model.prior()), pass_(model.glow(), n, mode) {
    if (glow_.device() != kernels::Device{}) {
      pooled_ = kernels::Buffer<float>(n * pooled_size(glow_.shape()), glow_.device());
    }
  }

  kernels::Map input() override { return pass_.input(); }

  void score(kernels::Stream& stream, kernels::ConstMap x, std::span<const double> v, WindowScores& out,
             int64_t first) override {
    pass_.forward(stream, x);
    pool(stream, x.n, out, first);
    prior_.score(stream, pass_, glow_.constant_log_det(), v, out, first);
  }

  void loss(kernels::Stream& stream, kernels::ConstMap x, kernels::Array<const double> v,
            kernels::Array<double> nll) override {
    pass_.forward(stream, x);
    prior_.loss(stream, pass_, glow_.constant_log_det(), v, 1.0, nll);
  }

  void loss_and_gradient(kernels::Stream& stream, kernels::ConstMap x, kernels::Array<const double> v, double scale,
                         const Draws&, kernels::Array<double> nll, kernels::Array<float> raw) override {
    {
      const kernels::TraceRange phase(stream, "forward");
      pass_.forward(stream, x);
    }
    {
      const kernels::TraceRange phase(stream, "loss");
      prior_.loss(stream, pass_, glow_.constant_log_det(), v, scale, nll);
    }
    const kernels::TraceRange phase(stream, "backward");
    pass_.backward(stream, -scale, raw);
  }

  void attribute(kernels::Stream& stream, kernels::ConstMap x, std::span<const double> v, size_t score,
                 Attribution& out) override {
    WindowScores scores(model_, 1);
    this->score(stream, x, v, scores, 0);
    out.score = scores.scores[0][score];
    attribute_latents(stream, model_, pass_, {v, model_.scores()[score].name, scores.of(0, "log_det")}, out);
  }

  void copy_latents(kernels::Stream& stream, int64_t i, std::span<float> to) override {
    float* next = to.data();
    const auto take = [&](const kernels::Map& z) {
      const int64_t floats = z.c * z.pixels();
      kernels::copy(stream, kernels::Array<const float>{z.sample(i), floats, z.device},
                    kernels::Array<float>{next, floats, {}});
      next += floats;
    };
    for (int block = 0; block < glow_.shape().blocks; ++block) {
      take(pass_.zc(block));
    }
    take(pass_.zd());
  }

  std::string first_non_finite(kernels::Stream& stream, kernels::ConstMap x) override {
    return pass_.first_non_finite(stream, x);
  }

 private:
  void pool(kernels::Stream& stream, int64_t m, WindowScores& out, int64_t first) {
    const int64_t size = pooled_size(glow_.shape());
    const kernels::Array<float> rows{out.descriptors[first].data(), m * size, {}};
    const kernels::Array<float> on_device = pooled_.size() == 0 ? rows : pooled_.view().slice(0, m * size);
    int64_t at = 0;
    for (int block = 0; block < glow_.shape().blocks; ++block) {
      const kernels::Map z = pass_.zc(block);
      kernels::row_moments(stream, {.z = z, .moments = on_device.slice(at, on_device.size - at), .stride = size});
      at += 2 * z.c * z.h;
    }
    if (pooled_.size() != 0) {
      kernels::copy<float>(stream, on_device, rows);
    }
  }

  const GlowModel& model_;
  const Glow& glow_;
  const LatentPrior& prior_;
  GlowPass pass_;
  kernels::Buffer<float> pooled_;  // [n, pooled_size]; empty on the CPU, where rows are written in their place
};

}  // namespace

std::string GlowModel::describe() const {
  const GlowShape& shape = glow_.shape();
  return fmt::format("{} blocks of {} steps, hidden width {}{}", shape.blocks, shape.steps, shape.hidden,
                     shape.coupling == kernels::CouplingKind::additive ? ", additive couplings" : "");
}

int64_t GlowModel::descriptor_size() const {
  return pooled_size(glow_.shape());
}

std::string GlowModel::overflowed(const WindowScores& scores, int64_t window) const {
  const auto finite = [&](const char* name) { return std::isfinite(scores.of(window, name)); };
  return !finite("log_p_zc")  ? "the latent zc"
         : !finite("log_det") ? "the log-determinant"
         : !finite("nll")     ? "the latent zd"
                              : "";
}

std::unique_ptr<Pass> GlowModel::make_pass(int64_t n, PassMode mode) const {
  return std::make_unique<GlowModelPass>(*this, n, mode);
}

}  // namespace evenflow::flow
