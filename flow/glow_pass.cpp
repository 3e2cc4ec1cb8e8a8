#include <algorithm>
#include <cmath>
#include <cstddef>

#include "flow/glow.h"
#include "kernels/actnorm_invconv.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/invconv.h"
#include "kernels/squeeze.h"
#include "kernels/trace.h"

namespace evenflow::flow {

using kernels::Array;
using kernels::Map;

namespace {

kernels::ActnormInvconvBuffers mixed_maps(const kernels::CouplingShape& shape, int64_t n) {
  return {.n = n, .channels = shape.channels, .pixels = shape.height * shape.width};
}

}  // namespace

GlowPass::GlowPass(const Glow& glow, int64_t n, PassMode mode) : glow_(glow), n_(n), log_det_(n, glow.device()) {
  const GlowShape& shape = glow.shape();
  const bool training = mode == PassMode::train;
  const size_t steps = static_cast<size_t>(shape.steps);
  // Every map of a window has as many floats as its block's input: count first, then deal out one buffer.
  int64_t floats = n * shape.dimensions();
  int64_t saved = 0;
  int64_t workspace = 0;
  int64_t shares = 0;
  for (int b = 0; b < shape.blocks; ++b) {
    const int64_t map = n * shape.channels(b) * shape.block_height(b) * shape.block_width(b);
    floats += map * (1 + 2 * (training ? shape.steps : 1) + (training ? 2 : 0));
  }
  for (const Glow::Step& step : glow.steps_) {
    if (training) {
      saved += n * kernels::coupling_saved_floats(glow.device(), step.shape);
      shares += kernels::coupling_share_floats(glow.device(), step.shape, n) +
                kernels::actnorm_invconv_share_floats(glow.device(), mixed_maps(step.shape, n));
    }
    workspace = std::max(workspace, kernels::coupling_workspace_floats(glow.device(), step.shape, n));
  }
  storage_ = kernels::Buffer<float>(floats, glow.device());
  saved_ = kernels::Buffer<float>(saved, glow.device());
  workspace_ = kernels::Buffer<float>(workspace, glow.device());
  shares_ = kernels::Buffer<float>(shares, glow.device());
  // LatentPrior's: squares of zc, a row of zeros, and of each group of zd's channels sum, centred squares and shift.
  latent_scratch_ = kernels::Buffer<double>(n * (2 + 3 * most_latent_groups), glow.device());

  float* at = storage_.data();
  const auto take = [&](int64_t c, int64_t h, int64_t w) {
    const Map map = kernels::make_map(at, n, c, h, w, glow.device());
    at += map.size();
    return map;
  };
  input_ = take(1, shape.height, shape.width);
  int64_t saved_at = 0;
  for (int b = 0; b < shape.blocks; ++b) {
    const auto take_map = [&] { return take(shape.channels(b), shape.block_height(b), shape.block_width(b)); };
    block_output_.push_back(take_map());
    if (training) {
      block_gradient_.push_back(take_map());
      block_scratch_.push_back(take_map());
    }
    for (size_t s = 0; s < steps; ++s) {
      if (!training && s > 0) {
        maps_.push_back(maps_.back());
        continue;
      }
      StepMaps maps{.actnorm_out = take_map(), .invconv_out = take_map(), .saved = {}};
      if (training) {
        const Glow::Step& step = glow.steps_[static_cast<size_t>(b) * steps + s];
        const int64_t size = n * kernels::coupling_saved_floats(glow.device(), step.shape);
        maps.saved = saved_.slice(saved_at, size);
        saved_at += size;
      }
      maps_.push_back(maps);
    }
  }
}

void GlowPass::forward_step(kernels::Stream& stream, size_t index) {
  const Glow::Step& step = glow_.steps_[index];
  const kernels::TraceRange range(stream, step.name.c_str());
  const StepMaps& maps = maps_[index];
  const Map state = block_output_[static_cast<size_t>(step.block)].samples(0, active_);
  const Map normalised = maps.actnorm_out.samples(0, active_);
  const Map mixed = maps.invconv_out.samples(0, active_);
  kernels::actnorm_invconv_forward(stream, {.x = state,
                                            .parameters = glow_.actnorm(step),
                                            .weight = glow_.weight(step),
                                            .normalised = normalised,
                                            .y = mixed});
  kernels::coupling_forward(stream, {.shape = step.shape,
                                     .x = mixed,
                                     .packed = step.packed.view(),
                                     .y = state,
                                     .log_det = log_det_.view(),
                                     .saved = maps.saved,
                                     .workspace = workspace_.view()});
}

void GlowPass::forward(kernels::Stream& stream, kernels::ConstMap x) {
  kernels::check(x.n <= n_ && x.c == 1 && x.h == glow_.shape().height && x.w == glow_.shape().width,
                 "GlowPass::forward", "windows of the model's shape, at most as many as the pass was made for");
  active_ = x.n;
  kernels::zero(stream, log_det_.slice(0, active_));
  const size_t steps = static_cast<size_t>(glow_.shape().steps);
  kernels::ConstMap kept = x;
  for (size_t b = 0; b < block_output_.size(); ++b) {
    kernels::squeeze(stream, {.x = kept, .y = block_output_[b].samples(0, active_)});
    for (size_t s = 0; s < steps; ++s) {
      forward_step(stream, b * steps + s);
    }
    kept = kernels::split(block_output_[b].samples(0, active_)).kept;
  }
}

Map GlowPass::latent(const std::vector<Map>& blocks, int block, bool second_half) const {
  const auto halves = kernels::split(blocks[static_cast<size_t>(block)].samples(0, active_ > 0 ? active_ : n_));
  return second_half ? halves.factored : halves.kept;
}

// The last block is not split: one half of its channels is z_N, the other zd.
bool GlowPass::zc_is_second(int block) const {
  return block + 1 < glow_.shape().blocks || glow_.shape().zd_first;
}
Map GlowPass::zc(int block) {
  return latent(block_output_, block, zc_is_second(block));
}
Map GlowPass::zd() {
  return latent(block_output_, glow_.shape().blocks - 1, !glow_.shape().zd_first);
}
Map GlowPass::dzc(int block) {
  return latent(block_gradient_, block, zc_is_second(block));
}
Map GlowPass::dzd() {
  return latent(block_gradient_, glow_.shape().blocks - 1, !glow_.shape().zd_first);
}

void GlowPass::backward(kernels::Stream& stream, double log_det_gradient, Array<float> raw) {
  kernels::check(!block_gradient_.empty(), "GlowPass::backward", "a pass made for training");
  kernels::check(raw.size == glow_.raw_gradient_size(), "GlowPass::backward", "a raw gradient of the model's size");
  const size_t steps = static_cast<size_t>(glow_.shape().steps);
  coupling_shares_.clear();
  mix_shares_.clear();
  int64_t shares_at = 0;
  const auto take_shares = [&](int64_t floats) {
    const Array<float> shares = shares_.slice(shares_at, floats);
    shares_at += floats;
    return shares;
  };
  for (size_t index = maps_.size(); index-- > 0;) {
    const Glow::Step& step = glow_.steps_[index];
    const kernels::TraceRange range(stream, step.name.c_str());
    const StepMaps& maps = maps_[index];
    const Glow::StepParameters into = glow_.parameters_of(step, raw);
    const size_t b = static_cast<size_t>(step.block);
    const Map gradient = block_gradient_[b].samples(0, active_);
    const Map scratch = block_scratch_[b].samples(0, active_);
    const Array<float> coupling_shares =
        take_shares(kernels::coupling_share_floats(glow_.device(), step.shape, active_));
    const kernels::CouplingShares coupling{.shape = step.shape,
                                           .n = active_,
                                           .shares = coupling_shares,
                                           .gradients = glow_.coupling_views<kernels::CouplingGradients>(raw, step)};
    const kernels::ActnormInvconvBuffers mixed = mixed_maps(step.shape, active_);
    const Array<float> mix_shares = take_shares(kernels::actnorm_invconv_share_floats(glow_.device(), mixed));
    const kernels::ActnormInvconvShares mix{.maps = mixed,
                                            .shares = mix_shares,
                                            .parameters = glow_.actnorm(step),
                                            .weight = glow_.weight(step),
                                            .gradients = {into.actnorm_bias, into.actnorm_log_scale},
                                            .dweight = raw.slice(step.dweight_offset, step.inverse.size())};
    kernels::coupling_backward(stream, {.shape = step.shape,
                                        .x = maps.invconv_out.samples(0, active_),
                                        .dy = gradient,
                                        .packed = step.packed.view(),
                                        .saved = maps.saved,
                                        .log_det_gradient = log_det_gradient,
                                        .dx = scratch,
                                        .gradients = coupling.gradients,
                                        .workspace = workspace_.view(),
                                        .shares = coupling_shares});
    kernels::actnorm_invconv_backward(stream, {.normalised = maps.actnorm_out.samples(0, active_),
                                               .dy = scratch,
                                               .parameters = mix.parameters,
                                               .weight = mix.weight,
                                               .dx = gradient,
                                               .gradients = mix.gradients,
                                               .dweight = mix.dweight,
                                               .workspace = gradient,
                                               .shares = mix_shares});
    if (coupling.shares.size > 0) {
      coupling_shares_.push_back(coupling);
    }
    if (mix.shares.size > 0) {
      mix_shares_.push_back(mix);
    }
    if (index % steps == 0 && b > 0) {
      kernels::unsqueeze(stream, {.y = gradient, .x = kernels::split(block_gradient_[b - 1].samples(0, active_)).kept});
    }
  }
  if (!coupling_shares_.empty()) {
    kernels::coupling_add_shares(stream, {.steps = coupling_shares_});
  }
  if (!mix_shares_.empty()) {
    kernels::actnorm_invconv_add_shares(stream, {.layers = mix_shares_});
  }
}

kernels::ConstMap GlowPass::input_gradient(kernels::Stream& stream) {
  kernels::check(!block_gradient_.empty(), "GlowPass::input_gradient", "a pass made for training");
  const GlowShape& shape = glow_.shape();
  const Map x = kernels::make_map(block_scratch_[0].data, active_, 1, shape.height, shape.width, glow_.device());
  kernels::unsqueeze(stream, {.y = block_gradient_[0].samples(0, active_), .x = x});
  return x;
}

std::vector<double> GlowPass::log_gains(kernels::Stream& stream, int64_t index) {
  kernels::check(!block_gradient_.empty(), "GlowPass::log_gains", "a pass made for training");
  const Glow::Step& step = glow_.steps_[static_cast<size_t>(index)];
  if (step.shape.kind == kernels::CouplingKind::additive) {
    return {};
  }
  const Map mixed = maps_[static_cast<size_t>(index)].invconv_out.samples(0, 1);
  const Map probe = block_scratch_[static_cast<size_t>(step.block)].samples(0, 1);
  const Array<float> elements{probe.data, mixed.c * mixed.pixels(), probe.device};
  std::vector<float> x = kernels::to_host(stream, Array<float>{mixed.data, elements.size, mixed.device});
  const auto changed = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
  const auto through = [&](float x_b) {
    std::fill(changed, x.end(), x_b);
    kernels::upload<float>(stream, x, elements);
    kernels::coupling_forward(stream, {.shape = step.shape,
                                       .x = probe,
                                       .packed = step.packed.view(),
                                       .y = probe,
                                       .log_det = latent_scratch_.view(),
                                       .saved = {},
                                       .workspace = workspace_.view()});
    return kernels::to_host(stream, elements);
  };
  const std::vector<float> at_0 = through(0.0F), at_1 = through(1.0F);
  std::vector<double> gains;
  for (size_t i = x.size() / 2; i < x.size(); ++i) {
    // A gain may be below what the difference resolves.
    constexpr double least = 1e-30;
    gains.push_back(std::log(std::max(static_cast<double>(at_1[i]) - at_0[i], least)));
  }
  return gains;
}

void GlowPass::inverse(kernels::Stream& stream, int64_t m) {
  kernels::check(m <= n_, "GlowPass::inverse", "at most as many windows as the pass was made for");
  active_ = m;
  const size_t steps = static_cast<size_t>(glow_.shape().steps);
  for (size_t index = maps_.size(); index-- > 0;) {
    const Glow::Step& step = glow_.steps_[index];
    const size_t b = static_cast<size_t>(step.block);
    const Map state = block_output_[b].samples(0, m);
    const Map mixed = maps_[index].invconv_out.samples(0, m);
    const Map normalised = maps_[index].actnorm_out.samples(0, m);
    kernels::coupling_inverse(
        stream,
        {.shape = step.shape, .y = state, .packed = step.packed.view(), .x = mixed, .workspace = workspace_.view()});
    kernels::invconv_apply(stream, {.x = mixed, .weight = step.inverse.view(), .y = normalised});
    kernels::actnorm_inverse(stream, {.y = normalised, .parameters = glow_.actnorm(step), .x = state});
    if (index % steps != 0) {
      continue;
    }
    kernels::unsqueeze(
        stream,
        {.y = state, .x = b > 0 ? kernels::split(block_output_[b - 1].samples(0, m)).kept : input_.samples(0, m)});
  }
}

std::string GlowPass::first_non_finite(kernels::Stream& stream, kernels::ConstMap x) {
  const auto all_finite = [](const auto& values) {
    return std::all_of(values.begin(), values.end(), [](auto value) { return std::isfinite(value); });
  };
  const auto finite = [&](kernels::ConstMap map) {
    for (int64_t i = 0; i < map.n; ++i) {
      const Array<const float> sample{map.sample(i), map.c * map.pixels(), map.device};
      if (!all_finite(kernels::to_host(stream, sample))) {
        return false;
      }
    }
    return true;
  };
  if (!finite(x)) {
    return "input";
  }
  const std::vector<double> invconv_log_det = kernels::to_host(stream, glow_.invconv_log_det_.view());
  active_ = x.n;
  kernels::zero(stream, log_det_.slice(0, active_));
  const size_t steps = static_cast<size_t>(glow_.shape().steps);
  kernels::ConstMap kept = x;
  for (size_t index = 0; index < maps_.size(); ++index) {
    const Glow::Step& step = glow_.steps_[index];
    const Map state = block_output_[static_cast<size_t>(step.block)].samples(0, active_);
    if (index % steps == 0) {
      kernels::squeeze(stream, {.x = kept, .y = state});
    }
    forward_step(stream, index);
    if (!finite(maps_[index].actnorm_out.samples(0, active_))) {
      return step.name + ".actnorm";
    }
    if (!finite(maps_[index].invconv_out.samples(0, active_)) || !std::isfinite(invconv_log_det[index])) {
      return step.name + ".invconv";
    }
    if (!finite(state) || !all_finite(kernels::to_host(stream, coupling_log_det()))) {
      return step.name + ".coupling";
    }
    kept = kernels::split(state).kept;
  }
  return "";
}

}  // namespace evenflow::flow
