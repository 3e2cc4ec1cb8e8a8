// Operations on maps other than the coupling: squeeze, actnorm, invertible 1x1, Gaussian terms.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/actnorm.h"
#include "kernels/gaussian.h"
#include "kernels/invconv.h"
#include "kernels/invconv_weight.h"
#include "kernels/log_det.h"
#include "kernels/squeeze.h"
#include "tests/bench/coupling_case.h"
#include "tests/bench/kernels_bench.h"

namespace evenflow::bench {
namespace {

constexpr double bound = 1e-5;

struct MapCase {
  explicit MapCase(const BlockShape& b)
      : shape(b), x64(1, b.channels, b.height, b.width), dy64(x64), x(b.size()), y(b.size()), dy(b.size()) {
    x64.values = dyadic(b.size(), 64, 32, 11);
    dy64.values = dyadic(b.size(), 64, 32, 12);
    x = narrowed(x64.values);
    dy = narrowed(dy64.values);
  }
  kernels::Map map(const kernels::Buffer<float>& buffer) const {
    return kernels::make_map(buffer.data(), 1, shape.channels, shape.height, shape.width);
  }
  BlockShape shape;
  reference::Maps x64, dy64;
  kernels::Buffer<float> x, y, dy;
  kernels::Stream stream;
};

struct SqueezeCase : MapCase {
  using MapCase::MapCase;
  kernels::Map fine() const {
    return kernels::make_map(y.data(), 1, shape.channels / 4, shape.height * 2, shape.width * 2);
  }
  void squeeze() { kernels::squeeze(stream, {.x = fine(), .y = map(dy)}); }
  void unsqueeze() { kernels::unsqueeze(stream, {.y = map(x), .x = fine()}); }
  void verify() {
    unsqueeze();
    require_close(y, reference::unsqueeze(x64).values, 0, "unsqueeze");
    squeeze();
    require_close(dy, x64.values, 0, "squeeze");
  }
};

struct ActnormCase : MapCase {
  explicit ActnormCase(const BlockShape& b)
      : MapCase(b),
        bias64(dyadic(b.channels, 16, 32, 13)),
        log_scale64(dyadic(b.channels, 16, 32, 14)),
        bias(narrowed(bias64)),
        log_scale(narrowed(log_scale64)),
        dbias(b.channels),
        dlog_scale(b.channels),
        dx(b.size()) {}
  void forward() {
    kernels::actnorm_forward(stream, {.x = map(x), .parameters = {bias.view(), log_scale.view()}, .y = map(y)});
  }
  void inverse() {
    kernels::actnorm_inverse(stream, {.y = map(y), .parameters = {bias.view(), log_scale.view()}, .x = map(dx)});
  }
  void backward() {
    kernels::actnorm_backward(stream, {.y = map(y),
                                       .dy = map(dy),
                                       .parameters = {bias.view(), log_scale.view()},
                                       .dx = map(dx),
                                       .gradients = {dbias.view(), dlog_scale.view()}});
  }
  void log_det() {
    const kernels::LogDetTerm term = {log_scale.view(), shape.height * shape.width};
    kernels::constant_log_det(stream,
                              {.steps = {&term, 1}, .invconv_log_det = invconv_log_det.view(), .total = sum.view()});
  }
  void log_det_backward() {
    const kernels::LogDetGradient term = {0.5, dlog_scale.view()};
    kernels::actnorm_log_det_backward(stream, {.steps = {&term, 1}});
  }
  void initialise() {
    kernels::actnorm_initialise(stream, {.x = map(x), .bias = dbias.view(), .log_scale = dlog_scale.view()});
  }
  void verify() {
    initialise();
    const reference::ActnormInitial initial = reference::actnorm_initialise(x64);
    require_close(dbias, initial.bias, 1e-4, "actnorm_initialise's bias");
    require_close(dlog_scale, initial.log_scale, 1e-4, "actnorm_initialise's log_scale");
    invconv_log_det[0] = 0.25;
    log_det();
    const double pixels = static_cast<double>(shape.height * shape.width);
    const double total = pixels * std::accumulate(log_scale64.begin(), log_scale64.end(), invconv_log_det[0]);
    require_close(std::vector<double>{sum[0] + pixels}, {total + pixels}, bound, "constant_log_det");
    std::fill_n(dlog_scale.data(), dlog_scale.size(), 0.0F);
    log_det_backward();
    require_close(dlog_scale, std::vector<double>(log_scale64.size(), 0.5), bound, "actnorm_log_det_backward");
    forward();
    require_close(y, reference::actnorm_forward(x64, bias64, log_scale64).values, bound, "actnorm_forward");
    inverse();
    require_close(dx, x64.values, bound, "actnorm_inverse");
    std::fill_n(dbias.data(), dbias.size(), 0.0F);
    std::fill_n(dlog_scale.data(), dlog_scale.size(), 0.0F);
    backward();
    const reference::ActnormBackward expected = reference::actnorm_backward(x64, dy64, bias64, log_scale64);
    require_close(dx, expected.dx.values, bound, "actnorm_backward's dx");
    require_close(dbias, expected.dbias, 1e-4, "actnorm_backward's dbias");
    require_close(dlog_scale, expected.dlog_scale, 1e-4, "actnorm_backward's dlog_scale");
  }
  std::vector<double> bias64, log_scale64;
  kernels::Buffer<double> sum{1}, invconv_log_det{1};
  kernels::Buffer<float> bias, log_scale, dbias, dlog_scale, dx;
};

struct InvconvCase : MapCase {
  explicit InvconvCase(const BlockShape& b)
      : MapCase(b),
        permutation(b.channels),
        sign(b.channels),
        weight(b.channels * b.channels),
        inverse(weight.size()),
        dweight(weight.size()),
        dlower(weight.size()),
        dupper(weight.size()),
        dlog_s(b.channels),
        dx(b.size()) {
    const int64_t c = b.channels;
    plu.lower = dyadic(c * c, 8, 32, 15);
    plu.upper = dyadic(c * c, 8, 32, 16);
    plu.log_s = dyadic(c, 8, 32, 17);
    for (int64_t i = 0; i < c; ++i) {
      plu.permutation.push_back(static_cast<int32_t>((i + 1) % c));
      plu.sign.push_back(i % 3 == 0 ? int8_t{-1} : int8_t{1});
      permutation[i] = plu.permutation.back();
      sign[i] = plu.sign.back();
    }
    lower = narrowed(plu.lower);
    upper = narrowed(plu.upper);
    log_s = narrowed(plu.log_s);
    assemble();
  }
  kernels::PluParameters parameters() const {
    return {permutation.view(), lower.view(), upper.view(), log_s.view(), sign.view()};
  }
  void assemble() {
    const kernels::PluAssembly step = {parameters(), weight.view(), inverse.view()};
    kernels::invconv_assemble_plu(stream, {.steps = {&step, 1}, .log_det = log_det.view()});
  }
  void assemble_dense() {
    const kernels::DenseAssembly step = {weight.view(), inverse.view()};
    kernels::invconv_assemble_dense(stream, {.steps = {&step, 1}, .log_det = log_det.view()});
  }
  void apply() { kernels::invconv_apply(stream, {.x = map(x), .weight = weight.view(), .y = map(y)}); }
  void backward() {
    kernels::invconv_backward(
        stream, {.x = map(x), .dy = map(dy), .weight = weight.view(), .dx = map(dx), .dweight = dweight.view()});
  }
  void chain() {
    const kernels::PluBackward step = {
        parameters(), dweight.view(), -0.5, {dlower.view(), dupper.view(), dlog_s.view()}};
    kernels::invconv_plu_backward(stream, {.steps = {&step, 1}});
  }
  void chain_dense() {
    const kernels::DenseBackward step = {inverse.view(), dweight.view(), -0.5, dupper.view()};
    kernels::invconv_dense_backward(stream, {.steps = {&step, 1}});
  }
  void verify() {
    const int64_t c = shape.channels;
    const reference::Vector weight64 = reference::plu_weight(plu);
    const reference::Inverse inverse64 = reference::invert(weight64, c);
    assemble();
    require_close(weight, weight64, bound, "invconv_assemble_plu's weight");
    require_close(inverse, inverse64.inverse, bound, "invconv_assemble_plu's inverse");
    assemble_dense();
    require_close(inverse, inverse64.inverse, 1e-4, "invconv_assemble_dense's inverse");
    apply();
    require_close(y, reference::invconv_apply(x64, weight64).values, bound, "invconv_apply");
    std::fill_n(dweight.data(), dweight.size(), 0.0F);
    backward();
    const reference::InvconvBackward expected = reference::invconv_backward(x64, dy64, weight64);
    require_close(dx, expected.dx.values, bound, "invconv_backward's dx");
    require_close(dweight, expected.dweight, 1e-4, "invconv_backward's dweight");
    chain();
    const reference::PluBackward factors = reference::plu_backward(plu, expected.dweight, -0.5);
    require_close(dlower, factors.dlower, 1e-4, "invconv_plu_backward's lower");
    require_close(dupper, factors.dupper, 1e-4, "invconv_plu_backward's upper");
    require_close(dlog_s, factors.dlog_s, 1e-4, "invconv_plu_backward's log_s");
    std::fill_n(dupper.data(), dupper.size(), 0.0F);
    chain_dense();
    require_close(dupper, reference::dense_backward(weight64, c, expected.dweight, -0.5), 1e-4,
                  "invconv_dense_backward");
  }
  reference::Plu plu;
  kernels::Buffer<int32_t> permutation;
  kernels::Buffer<int8_t> sign;
  kernels::Buffer<float> lower, upper, log_s, weight, inverse, dweight, dlower, dupper, dlog_s, dx;
  kernels::Buffer<double> log_det{1};
};

struct GaussianCase : MapCase {
  using MapCase::MapCase;
  void moments() {
    kernels::gaussian_moments(stream, {.z = map(x), .sum = sum.view(), .centred_squares = centred.view()});
  }
  void backward() {
    kernels::gaussian_backward(stream, {.z = map(x), .shift = shift.view(), .scale = 0.25, .dz = map(y)});
  }
  void verify() {
    sum[0] = centred[0] = 0;
    shift[0] = 0.5;
    moments();
    const reference::Moments expected = reference::gaussian_moments(x64);
    const double size = static_cast<double>(shape.size());
    require_close(std::vector<double>{sum[0] / size + 1}, {expected.sum[0] / size + 1}, bound, "the sum of z");
    require_close(std::vector<double>{centred[0]}, expected.centred_squares, bound, "the centred squares of z");
    backward();
    std::vector<double> dz = x64.values;
    for (double& z : dz) {
      z = 0.25 * (z - 0.5);
    }
    require_close(y, dz, bound, "gaussian_backward");
  }
  kernels::Buffer<double> sum{1}, centred{1}, shift{1};
};

}  // namespace

void register_maps() {
  for (const BlockShape& b : paper_blocks) {
    const auto name = [&b](const char* operation) { return fmt::format("{}/{}", operation, b.name()); };
    const double map = static_cast<double>(b.size()) * sizeof(float), c = static_cast<double>(b.channels);
    const double flop = 2 * c * static_cast<double>(b.size());
    register_timed<SqueezeCase>(
        name("squeeze"), 0, 2 * map, [](SqueezeCase& s) { s.squeeze(); }, b);
    register_timed<SqueezeCase>(
        name("unsqueeze"), 0, 2 * map, [](SqueezeCase& s) { s.unsqueeze(); }, b);
    register_timed<ActnormCase>(
        name("actnorm_forward"), 0, 2 * map, [](ActnormCase& a) { a.forward(); }, b);
    register_timed<ActnormCase>(
        name("actnorm_inverse"), 0, 2 * map, [](ActnormCase& a) { a.inverse(); }, b);
    register_timed<ActnormCase>(
        name("actnorm_backward"), 0, 3 * map, [](ActnormCase& a) { a.backward(); }, b);
    register_timed<ActnormCase>(
        name("actnorm_initialise"), 0, map, [](ActnormCase& a) { a.initialise(); }, b);
    register_timed<ActnormCase>(
        name("constant_log_det"), 0, 0, [](ActnormCase& a) { a.log_det(); }, b);
    register_timed<ActnormCase>(
        name("actnorm_log_det_backward"), 0, 0, [](ActnormCase& a) { a.log_det_backward(); }, b);
    register_timed<InvconvCase>(
        name("invconv_apply"), flop, 2 * map, [](InvconvCase& i) { i.apply(); }, b);
    register_timed<InvconvCase>(
        name("invconv_backward"), 2 * flop, 3 * map, [](InvconvCase& i) { i.backward(); }, b);
    register_timed<InvconvCase>(
        name("invconv_assemble_plu"), 0, 0, [](InvconvCase& i) { i.assemble(); }, b);
    register_timed<InvconvCase>(
        name("invconv_assemble_dense"), 0, 0, [](InvconvCase& i) { i.assemble_dense(); }, b);
    register_timed<InvconvCase>(
        name("invconv_plu_backward"), 0, 0, [](InvconvCase& i) { i.chain(); }, b);
    register_timed<InvconvCase>(
        name("invconv_dense_backward"), 0, 0, [](InvconvCase& i) { i.chain_dense(); }, b);
    register_timed<GaussianCase>(
        name("gaussian_moments"), 0, map, [](GaussianCase& g) { g.moments(); }, b);
    register_timed<GaussianCase>(
        name("gaussian_backward"), 0, 2 * map, [](GaussianCase& g) { g.backward(); }, b);
  }
}

}  // namespace evenflow::bench
