// What operations count of themselves.
#include "kernels/cost.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "kernels/actnorm.h"
#include "kernels/actnorm_invconv.h"
#include "kernels/buffer.h"
#include "kernels/copy.h"
#include "kernels/coupling.h"
#include "kernels/gaussian.h"
#include "kernels/invconv.h"
#include "kernels/reduce.h"
#include "kernels/squeeze.h"
#include "kernels/trace.h"

namespace evenflow::kernels {
namespace {

// The model of the paper: its blocks, five steps each.
const CouplingShape blocks[] = {{.channels = 4, .hidden = 32, .height = 64, .width = 32},
                                {.channels = 8, .hidden = 32, .height = 32, .width = 16},
                                {.channels = 16, .hidden = 32, .height = 16, .width = 8}};
constexpr int steps = 5;

Map map_of(const CouplingShape& s, float* data = nullptr) {
  return make_map(data, 1, s.channels, s.height, s.width);
}

CouplingShape additive(CouplingShape s) {
  s.kind = CouplingKind::additive;
  return s;
}

/// What a coupling does element by element beside its products.
double flop_of_elements(const CouplingShape& s, double per_element) {
  const int64_t changed = s.channels / 2 * s.height * s.width;
  return per_element * static_cast<double>(changed);
}

TEST(Cost, ThePapersModelTakesNinetyMegaflopForward) {
  double flop = 0;
  for (const CouplingShape& s : blocks) {
    const CouplingForward coupling{
        .shape = s, .x = map_of(s), .packed = {}, .y = {}, .log_det = {}, .saved = {}, .workspace = {}};
    const InvconvApply invconv{.x = map_of(s), .weight = {}, .y = {}};
    flop += steps * (cost(coupling).flop - flop_of_elements(s, 8) + cost(invconv).flop);
  }
  // By hand: 2 x 5 x (2048 (2752 + 16) + 512 (4480 + 64) + 128 (7936 + 256)).
  EXPECT_EQ(flop, 90439680);
}

TEST(Cost, AnAdditiveCouplingHasHalfOfTheLastProductAndNoLogDet) {
  for (const CouplingShape& s : blocks) {
    const auto forward = [&](const CouplingShape& shape) {
      return cost(CouplingForward{
          .shape = shape, .x = map_of(s), .packed = {}, .y = {}, .log_det = {}, .saved = {}, .workspace = {}});
    };
    const auto saved_flop = static_cast<double>(s.height * s.width * s.channels * s.hidden * 9);
    EXPECT_EQ(forward(s).flop - forward(additive(s)).flop, saved_flop + flop_of_elements(s, 8 - 2));
    EXPECT_EQ(forward(s).bytes - forward(additive(s)).bytes, 2 * 8);
  }
}

TEST(Cost, ABackwardIsTwoForwards) {
  const Map x = map_of(blocks[1]);
  const InvconvApply forward{.x = x, .weight = {}, .y = x};
  const InvconvBackward backward{.x = x, .dy = x, .weight = {}, .dx = x, .dweight = {}};
  EXPECT_EQ(cost(backward).flop, 2 * cost(forward).flop);
}

class FlopByName final : public Tracer {
 public:
  void begin(const char* name, const Cost& cost) override {
    path_.push_back(name);
    if (path_.size() == 2) {
      parts[path_[0]] += cost.flop;
    }
    if (path_.size() == 1) {
      whole[path_[0]] += cost.flop;
    }
  }
  void end() noexcept override { path_.pop_back(); }
  std::map<std::string, double> whole, parts;

 private:
  std::vector<std::string> path_;
};

// The CPU's convolutions, strip by strip, with padding between the rows: they count the map's pixels alone.
TEST(Cost, PartsOfTheCouplingAddUpToIt) {
  for (const CouplingShape& s :
       {blocks[0], blocks[2], CouplingShape{.channels = 6, .hidden = 5, .height = 37, .width = 7}, additive(blocks[0]),
        additive({.channels = 6, .hidden = 5, .height = 37, .width = 7})}) {
    Stream stream;
    const int64_t floats = s.channels * s.height * s.width;
    const Buffer<float> x(floats), y(floats), dx(floats), packed(coupling_packed_floats({}, s)),
        saved(coupling_saved_floats({}, s)), workspace(coupling_workspace_floats({}, s, 1)), weights(1 << 16);
    const Buffer<double> log_det(1);
    const CouplingGradients gradients{weights.slice(0, s.hidden * s.channels / 2 * 9),
                                      weights.slice(0, s.hidden),
                                      weights.slice(0, s.hidden * s.hidden),
                                      weights.slice(0, s.hidden),
                                      weights.slice(0, s.outputs() * s.hidden * 9),
                                      weights.slice(0, s.outputs()),
                                      weights.slice(0, s.outputs())};
    FlopByName heard;
    stream.set_tracer(&heard);
    coupling_forward(stream, {.shape = s,
                              .x = map_of(s, x.data()),
                              .packed = packed.view(),
                              .y = map_of(s, y.data()),
                              .log_det = log_det.view(),
                              .saved = saved.view(),
                              .workspace = workspace.view()});
    coupling_backward(stream, {.shape = s,
                               .x = map_of(s, x.data()),
                               .dy = map_of(s, y.data()),
                               .packed = packed.view(),
                               .saved = saved.view(),
                               .log_det_gradient = 0,
                               .dx = map_of(s, dx.data()),
                               .gradients = gradients,
                               .workspace = workspace.view()});
    const double per_element = s.kind == CouplingKind::additive ? 2 : 8;
    for (const auto& [name, passes] : {std::pair("coupling_forward", 1), std::pair("coupling_backward", 2)}) {
      EXPECT_EQ(heard.parts.at(name), heard.whole.at(name) - flop_of_elements(s, passes * per_element)) << name;
    }
  }
}

TEST(Cost, BytesAreWhatGoesInAndOut) {
  const Map fine = make_map<float>(nullptr, 3, 1, 16, 8), coarse = make_map<float>(nullptr, 3, 4, 8, 4);
  const double map = 3 * 16 * 8 * 4;
  EXPECT_EQ(cost(Squeeze{.x = fine, .y = coarse}).bytes, 2 * map);
  EXPECT_EQ(cost(ActnormBackward{.y = coarse, .dy = coarse, .parameters = {}, .dx = coarse, .gradients = {}}).bytes,
            3 * map + 6 * 4 * 4);
  EXPECT_EQ(
      cost(ActnormInvconvForward{.x = coarse, .parameters = {}, .weight = {}, .normalised = coarse, .y = coarse}).bytes,
      3 * map + (2 + 4) * 4 * 4);
  EXPECT_EQ(cost(ActnormInvconvBackward{.normalised = coarse,
                                        .dy = coarse,
                                        .parameters = {},
                                        .weight = {},
                                        .dx = coarse,
                                        .gradients = {},
                                        .dweight = {},
                                        .workspace = coarse})
                .bytes,
            3 * map + (6 + 3 * 4) * 4 * 4);
  EXPECT_EQ(cost(GaussianSquares{.z = coarse, .squares = {}}).bytes, map + 2 * 8 * 3);
  EXPECT_EQ(cost(GaussianBackward{.z = coarse, .shift = {}, .scale = 1, .dz = coarse}).bytes, 2 * map + 8 * 3);
  EXPECT_EQ(cost(SquaredNorm{.x = {nullptr, 1000, {}}, .out = {}}).bytes, 4000);
}

}  // namespace
}  // namespace evenflow::kernels
