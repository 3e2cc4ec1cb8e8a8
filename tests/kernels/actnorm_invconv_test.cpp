#include "kernels/actnorm_invconv.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/check.h"
#include "kernels/invconv.h"
#include "tests/emulation/block_order.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using reference::Maps;
using reference::Vector;

/// Everything that both directions take, on a device; gradients that hold something already.
struct Layer {
  Layer(const MapShape& s, kernels::Device device)
      : shape(s),
        rng(71),
        bias(random_floats(rng, s.c), device),
        log_scale(random_floats(rng, s.c, 0.7), device),
        weight(narrow(random_vector(rng, s.c * s.c)), device),
        before_bias(random_vector(rng, s.c)),
        before_scale(random_vector(rng, s.c)),
        before_weight(random_vector(rng, s.c * s.c)),
        dbias(narrow(before_bias), device),
        dlog_scale(narrow(before_scale), device),
        dweight(narrow(before_weight), device) {}

  kernels::ActnormParameters parameters() const { return {bias.view(), log_scale.view()}; }
  kernels::ActnormGradients gradients() const { return {dbias.view(), dlog_scale.view()}; }
  GuardedMap map(kernels::Device device) const { return {shape.n, shape.c, shape.h, shape.w, shape.around, device}; }

  MapShape shape;
  Rng rng;
  GuardedBuffer<float> bias, log_scale, weight;
  Vector before_bias, before_scale, before_weight;
  GuardedBuffer<float> dbias, dlog_scale, dweight;
};

std::vector<MapShape> mixed_shapes() {
  std::vector<MapShape> out = map_shapes();
  // What has kernels of its own: packs, none, more pixels than a round of blocks takes, rows that end within a warp.
  for (const MapShape& s : std::vector<MapShape>{{3, 4, 5, 7, strided},
                                                 {2, 4, 40, 36, strided_packs},
                                                 {3, 8, 7, 3, strided},
                                                 {5, 8, 6, 6, dense},
                                                 {3, 16, 9, 5, strided},
                                                 {130, 16, 16, 9, dense},
                                                 {3, 32, 4, 3, dense}}) {
    out.push_back(s);
  }
  return out;
}

using ActnormInvconv = OpTest<MapShape>;

TEST_P(ActnormInvconv, ForwardHasTheBitsOfBothAlone) {
  Layer layer(shape(), device());
  const GuardedMap x(shape().random(layer.rng, 3.0), shape().around, device());
  const GuardedMap normalised = layer.map(device()), y = layer.map(device());
  const GuardedMap expected_normalised = layer.map(device()), expected_y = layer.map(device());
  kernels::actnorm_forward(stream_, {.x = x.view(), .parameters = layer.parameters(), .y = expected_normalised.view()});
  kernels::invconv_apply(stream_,
                         {.x = expected_normalised.view(), .weight = layer.weight.view(), .y = expected_y.view()});
  const auto forward = [&](const GuardedMap& to) {
    kernels::actnorm_invconv_forward(stream_, {.x = x.view(),
                                               .parameters = layer.parameters(),
                                               .weight = layer.weight.view(),
                                               .normalised = to.view(),
                                               .y = y.view()});
    stream_.synchronise();
    EXPECT_EQ(to.values().values, expected_normalised.values().values);
    EXPECT_EQ(y.values().values, expected_y.values().values);
  };
  forward(normalised);
  forward(x);  // in place
}

class ActnormInvconvGradients : public OpTest<MapShape> {
 protected:
  void expect_gradients(bool left_in_shares);
};

void ActnormInvconvGradients::expect_gradients(bool left_in_shares) {
  const MapShape& s = shape();
  Layer layer(s, device());
  const Maps x = s.random(layer.rng), dy = s.random(layer.rng);
  const GuardedMap normalised(x, s.around, device()), in(dy, s.around, device());
  const GuardedMap dx = layer.map(device()), workspace = layer.map(device()), between = layer.map(device());
  const GuardedMap expected_dx = layer.map(device());
  const GuardedBuffer<float> alone(std::vector<float>(static_cast<size_t>(s.c * s.c)), device());
  const GuardedBuffer<float> unused_bias(s.c, device()), unused_scale(s.c, device());
  kernels::invconv_backward(stream_, {.x = normalised.view(),
                                      .dy = in.view(),
                                      .weight = layer.weight.view(),
                                      .dx = between.view(),
                                      .dweight = alone.view()});
  kernels::actnorm_backward(stream_, {.y = normalised.view(),
                                      .dy = between.view(),
                                      .parameters = layer.parameters(),
                                      .dx = expected_dx.view(),
                                      .gradients = {unused_bias.view(), unused_scale.view()}});
  const kernels::ActnormInvconvBuffers maps{.n = s.n, .channels = s.c, .pixels = s.pixels()};
  const GuardedBuffer<float> shares(left_in_shares ? kernels::actnorm_invconv_share_floats(device(), maps) : 0,
                                    device());
  const auto backward = [&](const GuardedMap& to) {
    kernels::actnorm_invconv_backward(stream_, {.normalised = normalised.view(),
                                                .dy = in.view(),
                                                .parameters = layer.parameters(),
                                                .weight = layer.weight.view(),
                                                .dx = to.view(),
                                                .gradients = layer.gradients(),
                                                .dweight = layer.dweight.view(),
                                                .workspace = workspace.view(),
                                                .shares = shares.view()});
    if (shares.size() > 0) {
      const kernels::ActnormInvconvShares left{.maps = maps,
                                               .shares = shares.view(),
                                               .parameters = layer.parameters(),
                                               .weight = layer.weight.view(),
                                               .gradients = layer.gradients(),
                                               .dweight = layer.dweight.view()};
      kernels::actnorm_invconv_add_shares(stream_, {.layers = only(left)});
    }
    stream_.synchronise();
    EXPECT_EQ(to.values().values, expected_dx.values().values);
  };
  backward(dx);

  // Against float64: sums over pixels of dy x^T, of t = W^T dy and of t x.
  const Vector weight = layer.weight.values(), log_scale = layer.log_scale.values();
  const reference::InvconvBackward mixed = reference::invconv_backward(x, dy, weight);
  const reference::InvconvBackward magnitude =
      reference::invconv_backward(reference::absolute(x), reference::absolute(dy), reference::absolute(weight));
  const double eps_of_sums = eps32 * (8 + 2 * std::sqrt(s.c) + 2 * std::sqrt(s.n * s.pixels()));
  Vector dweight = mixed.dweight, weight_bound = sum_bounds(s.n * s.pixels(), magnitude.dweight);
  expect_close(alone.values(), dweight, weight_bound, "d weight of the convolution alone");
  for (size_t i = 0; i < dweight.size(); ++i) {
    dweight[i] += layer.before_weight[i];
    weight_bound[i] += static_cast<double>(s.n) * eps32 * std::abs(layer.before_weight[i]);
  }
  expect_close(layer.dweight.values(), dweight, weight_bound, "d weight");
  Vector dbias = layer.before_bias, dscale = layer.before_scale, bias_bound, scale_bound;
  for (int64_t c = 0; c < s.c; ++c) {
    const auto at = static_cast<size_t>(c);
    double sum_t = 0, sum_tx = 0;
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = 0; i < s.pixels(); ++i) {
        const double t = mixed.dx.plane(n, c)[i], size = magnitude.dx.plane(n, c)[i], value = x.plane(n, c)[i];
        dbias[at] += t * std::exp(log_scale[at]);
        dscale[at] += t * value;
        sum_t += size * std::exp(log_scale[at]);
        sum_tx += size * std::abs(value);
      }
    }
    bias_bound.push_back(eps_of_sums * sum_t + eps32 * std::abs(layer.before_bias[at]));
    scale_bound.push_back(eps_of_sums * sum_tx + eps32 * std::abs(layer.before_scale[at]));
  }
  expect_close(layer.dbias.values(), dbias, bias_bound, "d bias");
  expect_close(layer.dlog_scale.values(), dscale, scale_bound, "d log_scale");

  backward(in);  // in place
}

TEST_P(ActnormInvconvGradients, HaveTheBitsOfBothAloneAndAreWithinTheirBounds) {
  expect_gradients(false);
}
TEST_P(ActnormInvconvGradients, AreTheSameOfSharesAddedLater) {
  expect_gradients(true);
}

using ActnormInvconvBlocks = OpTest<MapShape>;

TEST_P(ActnormInvconvBlocks, NoBitDependsOnWhichIsLast) {
  const MapShape& s = shape();
  std::vector<std::vector<Vector>> results;
  for (const bool last_first : {false, true, false}) {  // a real GPU makes orders of its own
    Layer layer(s, device());
    const GuardedMap x(s.random(layer.rng), s.around, device()), dy(s.random(layer.rng), s.around, device());
    const GuardedMap dx = layer.map(device()), workspace = layer.map(device());
    emulation::run_last_block_first(last_first);
    kernels::actnorm_invconv_backward(stream_, {.normalised = x.view(),
                                                .dy = dy.view(),
                                                .parameters = layer.parameters(),
                                                .weight = layer.weight.view(),
                                                .dx = dx.view(),
                                                .gradients = layer.gradients(),
                                                .dweight = layer.dweight.view(),
                                                .workspace = workspace.view()});
    kernels::actnorm_backward(stream_, {.y = x.view(),
                                        .dy = dy.view(),
                                        .parameters = layer.parameters(),
                                        .dx = dx.view(),
                                        .gradients = layer.gradients()});
    stream_.synchronise();
    emulation::run_last_block_first(false);
    results.push_back({dx.values().values, layer.dweight.values(), layer.dbias.values(), layer.dlog_scale.values()});
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ActnormInvconv, on_every_backend(mixed_shapes()), case_name<MapShape>);
INSTANTIATE_TEST_SUITE_P(Shapes, ActnormInvconvGradients, on_every_backend(mixed_shapes()), case_name<MapShape>);

/// A second map of eight channels without packs.
INSTANTIATE_TEST_SUITE_P(SmallMaps, ActnormInvconvGradients, on_ptx<MapShape>({{1, 8, 3, 5, dense}}),
                         case_name<MapShape>);

INSTANTIATE_TEST_SUITE_P(Shapes, ActnormInvconvBlocks, on_every_gpu(mixed_shapes()), case_name<MapShape>);

TEST(ActnormInvconvErrors, NameTheArgument) {
  kernels::Stream stream;
  const kernels::Buffer<float> memory(100);
  const kernels::Map x = kernels::make_map(memory.data(), 1, 4, 2, 2),
                     y = kernels::make_map(memory.data() + 16, 1, 4, 2, 2);
  const auto refused = [&](const kernels::ActnormInvconvForward& task) {
    try {
      kernels::actnorm_invconv_forward(stream, task);
    } catch (const kernels::ShapeError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const kernels::Array<float> four = memory.view().slice(40, 4), weight = memory.view().slice(50, 16);
  EXPECT_EQ(refused({.x = x, .parameters = {four, four}, .weight = weight, .normalised = x, .y = y}), "");
  EXPECT_NE(refused({.x = x, .parameters = {four, four}, .weight = four, .normalised = x, .y = y}).find("weight"),
            std::string::npos);
  EXPECT_NE(refused({.x = x, .parameters = {four, four}, .weight = weight, .normalised = y, .y = y}).find("its own"),
            std::string::npos);
}

}  // namespace
}  // namespace evenflow::tests
