// One launch for many lanes is as many launches alone, bit by bit, for every operation of a flow's training step.
#include "kernels/lanes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <span>
#include <string>

#include "kernels/actnorm.h"
#include "kernels/actnorm_invconv.h"
#include "kernels/adam.h"
#include "kernels/augment.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/coupling.h"
#include "kernels/gather.h"
#include "kernels/gaussian.h"
#include "kernels/graph.h"
#include "kernels/invconv.h"
#include "kernels/invconv_weight.h"
#include "kernels/latent.h"
#include "kernels/linear.h"
#include "kernels/log_det.h"
#include "kernels/random_order.h"
#include "kernels/reduce.h"
#include "kernels/squeeze.h"
#include "kernels/train_step.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::tests {
namespace {

using kernels::Array;
using kernels::Map;
using kernels::Stream;

constexpr int64_t lane_count = 3, samples = 3;

/// Deals out a lane's buffers, in the order of the calls; either fills a host's image of them with values of the lane's
/// own or says where they lie.
class Dealer {
 public:
  Dealer(std::vector<unsigned char>& image, uint64_t seed) : image_(&image), rng_(seed) {}
  Dealer(unsigned char* memory, kernels::Device device) : memory_(memory), device_(device) {}

  template <class T>
  Array<T> take(int64_t count, const std::function<T(Rng&, int64_t)>& value) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    const int64_t at = at_;
    at_ += kernels::LaneLayout::padded(static_cast<size_t>(bytes));
    if (image_ == nullptr) {
      return {reinterpret_cast<T*>(memory_ + at), count, device_};
    }
    image_->resize(static_cast<size_t>(at_), 0x5A);
    for (int64_t i = 0; i < count; ++i) {
      const T v = value(rng_, i);
      std::memcpy(image_->data() + at + i * static_cast<int64_t>(sizeof(T)), &v, sizeof v);
    }
    return {nullptr, count, device_};
  }
  Array<float> floats(int64_t count, double scale = 1) {
    return take<float>(count, [scale](Rng& rng, int64_t) {
      return static_cast<float>(std::uniform_real_distribution(-scale, scale)(rng));
    });
  }
  Array<double> doubles(int64_t count, double low = -1, double high = 1) {
    return take<double>(count, [=](Rng& rng, int64_t) { return std::uniform_real_distribution(low, high)(rng); });
  }
  Array<int64_t> integers(int64_t count, int64_t below) {
    return take<int64_t>(
        count, [below](Rng& rng, int64_t) { return std::uniform_int_distribution<int64_t>(0, below - 1)(rng); });
  }
  Map map(int64_t c, int64_t h, int64_t w) {
    const Array<float> all = floats(samples * c * h * w);
    return kernels::make_map(all.data, samples, c, h, w, device_);
  }
  kernels::Device device() const { return device_; }

 private:
  std::vector<unsigned char>* image_ = nullptr;
  Rng rng_;
  unsigned char* memory_ = nullptr;
  kernels::Device device_{};
  int64_t at_ = 0;
};

/// Takes its buffers and, given a stream, runs.
using LaneOperation = std::function<void(Dealer&, Stream*)>;

struct LaneCase {
  std::string operation;
  LaneOperation run;
  std::string name() const { return operation; }
};
std::ostream& operator<<(std::ostream& out, const LaneCase& lane_case) {
  return out << lane_case.operation;
}

class Lanes : public OpTest<LaneCase> {
 protected:
  void begin(const std::vector<std::vector<unsigned char>>& images) {
    for (size_t lane = 0; lane < images.size(); ++lane) {
      kernels::upload<unsigned char>(stream_, images[lane],
                                     memory_->slice(static_cast<int64_t>(lane) * stride_, stride_));
    }
  }
  std::unique_ptr<kernels::Buffer<unsigned char>> memory_;
  int64_t stride_ = 0;
};

TEST_P(Lanes, OneLaunchForAllIsEachAloneBitByBit) {
  std::vector<std::vector<unsigned char>> images(lane_count);
  for (size_t lane = 0; lane < images.size(); ++lane) {
    Dealer fill(images[lane], 7 + lane);
    shape().run(fill, nullptr);
  }
  stride_ = static_cast<int64_t>(images[0].size());
  memory_ = std::make_unique<kernels::Buffer<unsigned char>>(lane_count * stride_, device());

  begin(images);
  for (int64_t lane = 0; lane < lane_count; ++lane) {
    Dealer alone(memory_->data() + lane * stride_, device());
    shape().run(alone, &stream_);
  }
  const std::vector<unsigned char> expected = kernels::to_host(stream_, memory_->view());

  begin(images);
  {
    const kernels::LanesServed served(stream_, {.count = lane_count, .stride = stride_, .memory = memory_->data()});
    Dealer first(memory_->data(), device());
    shape().run(first, &stream_);
    stream_.synchronise();
  }
  const std::vector<unsigned char> actual = kernels::to_host(stream_, memory_->view());
  for (int64_t lane = 0; lane < lane_count; ++lane) {
    const auto of = [&](const std::vector<unsigned char>& all) {
      return std::span(all).subspan(lane * stride_, stride_);
    };
    EXPECT_NE(std::memcmp(of(expected).data(), images[static_cast<size_t>(lane)].data(), of(expected).size()), 0)
        << "nothing was computed";
    EXPECT_EQ(std::memcmp(of(actual).data(), of(expected).data(), of(expected).size()), 0) << "lane " << lane;
  }

  // As many nodes in a graph.
  const auto nodes = [&](const kernels::Lanes& lanes) {
    const kernels::LanesServed served(stream_, lanes);
    return kernels::Graph(stream_,
                          [&] {
                            Dealer first(memory_->data(), device());
                            shape().run(first, &stream_);
                          })
        .nodes();
  };
  EXPECT_EQ(nodes({.count = lane_count, .stride = stride_, .memory = memory_->data()}), nodes({}));
}

// ---- the operations

kernels::PluParameters plu(Dealer& deal, int64_t c) {
  return {.permutation = deal.take<int32_t>(c, [c](Rng&, int64_t i) { return static_cast<int32_t>((i + 1) % c); }),
          .lower = deal.floats(c * c),
          .upper = deal.floats(c * c),
          .log_s = deal.floats(c, 0.1),
          .sign = deal.take<int8_t>(c, [](Rng& rng, int64_t) { return static_cast<int8_t>(rng() % 2 == 0 ? 1 : -1); })};
}

std::vector<LaneCase> lane_flow_cases() {
  std::vector<LaneCase> out;
  out.push_back({"zero", [](Dealer& deal, Stream* stream) {
                   deal.floats(5);
                   const Array<float> zeroed = deal.floats(70);
                   if (stream != nullptr) {
                     kernels::zero(*stream, zeroed);
                   }
                 }});
  out.push_back({"squeeze", [](Dealer& deal, Stream* stream) {
                   const Map x = deal.map(2, 4, 6), y = deal.map(8, 2, 3);
                   if (stream != nullptr) {
                     kernels::squeeze(*stream, {.x = x, .y = y});
                   }
                 }});
  out.push_back({"unsqueeze", [](Dealer& deal, Stream* stream) {
                   const Map x = deal.map(2, 4, 6), y = deal.map(8, 2, 3);
                   if (stream != nullptr) {
                     kernels::unsqueeze(*stream, {.y = y, .x = x});
                   }
                 }});
  for (const int64_t width : {3, 8}) {  // planes of whole packs, and others
    const std::string suffix = "_width" + std::to_string(width);
    out.push_back({"actnorm_forward" + suffix, [width](Dealer& deal, Stream* stream) {
                     const Map x = deal.map(4, 5, width), y = deal.map(4, 5, width);
                     const kernels::ActnormParameters p{deal.floats(4), deal.floats(4)};
                     if (stream != nullptr) {
                       kernels::actnorm_forward(*stream, {.x = x, .parameters = p, .y = y});
                     }
                   }});
    out.push_back({"actnorm_backward" + suffix, [width](Dealer& deal, Stream* stream) {
                     const Map y = deal.map(4, 5, width), dy = deal.map(4, 5, width), dx = deal.map(4, 5, width);
                     const kernels::ActnormParameters p{deal.floats(4), deal.floats(4)};
                     const kernels::ActnormGradients d{deal.floats(4), deal.floats(4)};
                     if (stream != nullptr) {
                       kernels::actnorm_backward(*stream,
                                                 {.y = y, .dy = dy, .parameters = p, .dx = dx, .gradients = d});
                     }
                   }});
    out.push_back({"gaussian" + suffix, [width](Dealer& deal, Stream* stream) {
                     const Map z = deal.map(4, 5, width), dz = deal.map(4, 5, width);
                     const Array<double> sum = deal.doubles(samples), centred = deal.doubles(samples),
                                         squares = deal.doubles(samples);
                     if (stream != nullptr) {
                       kernels::gaussian_moments(*stream, {.z = z, .sum = sum, .centred_squares = centred});
                       kernels::gaussian_squares(*stream, {.z = z, .squares = squares});
                       kernels::gaussian_backward(*stream, {.z = z, .shift = sum, .scale = 0.5, .dz = dz});
                     }
                   }});
    for (const int64_t c : {4, 16, 6, 70}) {
      out.push_back({"invconv_c" + std::to_string(c) + suffix, [c, width](Dealer& deal, Stream* stream) {
                       const Map x = deal.map(c, 5, width), y = deal.map(c, 5, width), dx = deal.map(c, 5, width);
                       const Array<float> weight = deal.floats(c * c), dweight = deal.floats(c * c);
                       if (stream != nullptr) {
                         kernels::invconv_apply(*stream, {.x = x, .weight = weight, .y = y});
                         kernels::invconv_backward(*stream,
                                                   {.x = x, .dy = y, .weight = weight, .dx = dx, .dweight = dweight});
                       }
                     }});
      out.push_back({"actnorm_invconv_c" + std::to_string(c) + suffix, [c, width](Dealer& deal, Stream* stream) {
                       const Map x = deal.map(c, 5, width), normalised = deal.map(c, 5, width),
                                 y = deal.map(c, 5, width), dx = deal.map(c, 5, width),
                                 workspace = deal.map(c, 5, width);
                       const kernels::ActnormParameters p{deal.floats(c), deal.floats(c)};
                       const kernels::ActnormGradients d{deal.floats(c), deal.floats(c)};
                       const Array<float> weight = deal.floats(c * c), dweight = deal.floats(c * c);
                       const kernels::ActnormInvconvBuffers maps{.n = x.n, .channels = c, .pixels = x.pixels()};
                       const Array<float> shares =
                           deal.floats(kernels::actnorm_invconv_share_floats({kernels::DeviceType::cuda, 0}, maps));
                       if (stream != nullptr) {
                         kernels::actnorm_invconv_forward(
                             *stream, {.x = x, .parameters = p, .weight = weight, .normalised = normalised, .y = y});
                         kernels::actnorm_invconv_backward(*stream, {.normalised = normalised,
                                                                     .dy = y,
                                                                     .parameters = p,
                                                                     .weight = weight,
                                                                     .dx = dx,
                                                                     .gradients = d,
                                                                     .dweight = dweight,
                                                                     .workspace = workspace,
                                                                     .shares = shares});
                         const kernels::ActnormInvconvShares left{.maps = maps,
                                                                  .shares = shares,
                                                                  .parameters = p,
                                                                  .weight = weight,
                                                                  .gradients = d,
                                                                  .dweight = dweight};
                         kernels::actnorm_invconv_add_shares(*stream, {.layers = only(left)});
                       }
                     }});
    }
  }
  for (const int64_t c : {4, 66}) {  // matrices in shared memory, and in the stream's scratch memory
    out.push_back({"invconv_plu_c" + std::to_string(c), [c](Dealer& deal, Stream* stream) {
                     const kernels::PluParameters p = plu(deal, c);
                     const kernels::PluAssembly step{p, deal.floats(c * c), deal.floats(c * c)};
                     const Array<double> log_det = deal.doubles(1);
                     const kernels::PluBackward back{
                         p, deal.floats(c * c), 0.5, {deal.floats(c * c), deal.floats(c * c), deal.floats(c)}};
                     if (stream != nullptr) {
                       kernels::invconv_assemble_plu(*stream, {.steps = only(step), .log_det = log_det});
                       kernels::invconv_plu_backward(*stream, {.steps = only(back)});
                     }
                   }});
    out.push_back({"invconv_dense_c" + std::to_string(c), [c](Dealer& deal, Stream* stream) {
                     const Array<float> weight = deal.floats(c * c), inverse = deal.floats(c * c);
                     const kernels::DenseAssembly step{weight, inverse};
                     const Array<double> log_det = deal.doubles(1);
                     const kernels::DenseBackward back{inverse, deal.floats(c * c), 0.5, deal.floats(c * c)};
                     if (stream != nullptr) {
                       kernels::invconv_assemble_dense(*stream, {.steps = only(step), .log_det = log_det});
                       kernels::invconv_dense_backward(*stream, {.steps = only(back)});
                     }
                   }});
  }
  out.push_back({"log_det", [](Dealer& deal, Stream* stream) {
                   const std::vector<kernels::LogDetTerm> terms = {{deal.floats(4), 6}, {deal.floats(40), 3}};
                   const Array<double> log_det = deal.doubles(2), total = deal.doubles(1);
                   const std::vector<kernels::LogDetGradient> back = {{0.5, deal.floats(4)}, {0.25, deal.floats(40)}};
                   if (stream != nullptr) {
                     kernels::constant_log_det(*stream, {.steps = terms, .invconv_log_det = log_det, .total = total});
                     kernels::actnorm_log_det_backward(*stream, {.steps = back});
                   }
                 }});
  return out;
}

std::vector<LaneCase> lane_coupling_cases() {
  std::vector<LaneCase> out;
  using kernels::CouplingKind;
  for (const auto& [kind, name] : {std::pair(CouplingKind::sigmoid, "sigmoid"),
                                   {CouplingKind::tanh, "tanh"},
                                   {CouplingKind::additive, "additive"}}) {
    for (const auto precision : {kernels::Precision::tf32, kernels::Precision::bf16}) {
      const kernels::CouplingShape s{.channels = 4,
                                     .hidden = 16,
                                     .height = 6,
                                     .width = 4,
                                     .kind = kind,
                                     .path = kernels::CouplingPath::fused,
                                     .precision = precision};
      const std::string title =
          std::string("coupling_") + name + (precision == kernels::Precision::tf32 ? "_tf32" : "_bf16");
      out.push_back({title, [s](Dealer& deal, Stream* stream) {
                       const int64_t half = s.channels / 2, f = s.hidden, o = s.outputs();
                       const auto tensors = [&] {
                         return kernels::CouplingGradients{
                             deal.floats(f * half * 9), deal.floats(f), deal.floats(f * f), deal.floats(f),
                             deal.floats(o * f * 9),    deal.floats(o), deal.floats(o, 0.1)};
                       };
                       const kernels::CouplingGradients p = tensors(), d = tensors();
                       const kernels::Device on{kernels::DeviceType::cuda, 0};
                       const Array<float> packed = deal.floats(kernels::coupling_packed_floats(on, s)),
                                          saved = deal.floats(samples * kernels::coupling_saved_floats(on, s)),
                                          workspace = deal.floats(kernels::coupling_workspace_floats(on, s, samples)),
                                          shares = deal.floats(kernels::coupling_share_floats(on, s, samples));
                       const Map x = deal.map(4, 6, 4), y = deal.map(4, 6, 4);
                       const Array<double> log_det = deal.doubles(samples);
                       if (stream == nullptr) {
                         return;
                       }
                       const kernels::PackedCoupling step{s,
                                                          {p.conv1_weight, p.conv1_bias, p.conv2_weight, p.conv2_bias,
                                                           p.conv3_weight, p.conv3_bias, p.log_gain},
                                                          packed};
                       kernels::coupling_pack(*stream, {.steps = only(step)});
                       kernels::coupling_forward(*stream, {.shape = s,
                                                           .x = x,
                                                           .packed = packed,
                                                           .y = y,
                                                           .log_det = log_det,
                                                           .saved = saved,
                                                           .workspace = workspace});
                       kernels::coupling_backward(*stream, {.shape = s,
                                                            .x = x,
                                                            .dy = y,
                                                            .packed = packed,
                                                            .saved = saved,
                                                            .log_det_gradient = 0.5,
                                                            .dx = y,
                                                            .gradients = d,
                                                            .workspace = workspace,
                                                            .shares = shares});
                       const kernels::CouplingShares left{.shape = s, .n = samples, .shares = shares, .gradients = d};
                       kernels::coupling_add_shares(*stream, {.steps = only(left)});
                     }});
    }
  }
  return out;
}

std::vector<LaneCase> lane_step_cases() {
  std::vector<LaneCase> out;
  out.push_back({"latent_loss", [](Dealer& deal, Stream* stream) {
                   const Array<double> of_unknown = deal.doubles(samples);
                   const kernels::LatentLoss task{
                       .zc_elements = 20,
                       .group_elements = 5,
                       .groups = deal.take<kernels::LatentGroup>(
                           2,
                           [](Rng& rng, int64_t) {
                             return kernels::LatentGroup{1.0 + 1e-10 * double(rng()), 2, 3, 4};
                           }),
                       .zc_squares = deal.doubles(samples),
                       .zd_sum = deal.doubles(2 * samples),
                       .zd_centred = deal.doubles(2 * samples, 0, 1),
                       .coupling_log_det = deal.doubles(samples),
                       .constant_log_det = deal.doubles(1),
                       .v = deal.doubles(2 * samples),
                       .nll = deal.doubles(samples),
                       .shift = deal.doubles(2 * samples)};
                   if (stream != nullptr) {
                     kernels::latent_loss(*stream, task);
                     kernels::LatentLoss unknown = task;
                     unknown.v = {};
                     unknown.nll = of_unknown;
                     kernels::latent_loss(*stream, unknown);
                   }
                 }});
  for (const int64_t size : {35, 1024}) {
    out.push_back({"guarded_update_" + std::to_string(size), [size](Dealer& deal, Stream* stream) {
                     kernels::GuardedUpdate task;
                     task.state = deal.take<kernels::StepState>(1, [](Rng& rng, int64_t) {
                       return kernels::StepState{
                           .position = static_cast<int64_t>(rng() % 2), .adam_step = 3, .clip_norm = 1.5};
                     });
                     task.learning_rate = deal.doubles(4, 0.1, 0.2);
                     task.nll = deal.doubles(samples);
                     const Array<double> norm = deal.doubles(1);
                     task.squared_norm = norm;
                     task.gradient = deal.floats(size);
                     task.parameter = deal.floats(size);
                     task.m = deal.floats(size);
                     task.v = deal.take<float>(size, [](Rng& rng, int64_t) { return float(rng() % 1000); });
                     task.good_parameter = deal.floats(size);
                     task.good_m = deal.floats(size);
                     task.good_v = deal.floats(size);
                     task.loss = deal.doubles(4);
                     task.norm = deal.doubles(4);
                     if (stream != nullptr) {
                       kernels::squared_norm(*stream, {.x = task.gradient, .out = norm});
                       kernels::guarded_update(*stream, task);
                     }
                   }});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Flow, Lanes, on_every_gpu<LaneCase>(lane_flow_cases()), case_name<LaneCase>);
INSTANTIATE_TEST_SUITE_P(Couplings, Lanes, on_every_gpu<LaneCase>(lane_coupling_cases()), case_name<LaneCase>);
INSTANTIATE_TEST_SUITE_P(Step, Lanes, on_every_gpu<LaneCase>(lane_step_cases()), case_name<LaneCase>);

// ---- beside shared memory, and what is refused

struct LanesAtAll {
  static std::string name() { return "lanes"; }
};
class LanesOnce : public OpTest<LanesAtAll> {
 protected:
  kernels::LaneLayout layout_of(std::initializer_list<size_t> sizes) const {
    kernels::LaneLayout layout;
    for (const size_t bytes : sizes) {
      layout.add(bytes);
    }
    return layout;
  }
};
INSTANTIATE_TEST_SUITE_P(Gpus, LanesOnce, on_every_gpu<LanesAtAll>({{}}), case_name<LanesAtAll>);

// A lane's batch is selected from its own table, changed by its own numbers, and gathered from shared frames.
TEST_P(LanesOnce, ABatchIsGatheredFromSharedFrames) {
  constexpr int64_t bands = 33, frames = 40, windows = 8;
  Rng rng(3);
  const GuardedBuffer<float> all(random_floats(rng, (windows + frames) * bands), device());
  enum class Changed { no, warped, moved };
  for (const Changed changed : {Changed::no, Changed::warped, Changed::moved}) {
    const auto step = [&](Dealer& deal, Stream* stream) {
      const Array<kernels::StepState> state = deal.take<kernels::StepState>(
          1, [](Rng& random, int64_t) { return kernels::StepState{.position = static_cast<int64_t>(random() % 2)}; });
      const Array<int64_t> order = deal.integers(windows, windows), batch_start = deal.integers(samples, windows);
      const Array<int64_t> start = deal.integers(windows, windows);
      const Array<double> v = deal.doubles(windows, 10, 90);
      const Array<double> batch_v = deal.doubles(samples), moved = deal.doubles(samples);
      const Array<kernels::WindowChange> changes =
          deal.take<kernels::WindowChange>(samples, [](Rng&, int64_t) { return kernels::WindowChange(); });
      const Array<kernels::LaneDraws> draws = deal.take<kernels::LaneDraws>(1, [&](Rng& random, int64_t) {
        return kernels::LaneDraws{.augmentation = {.speed = double(1 + random() % 9),
                                                   .speed_probability = 1,
                                                   .noise = 0.1 * double(random() % 9),
                                                   .mask_bands = 3,
                                                   .mask_frames = 2},
                                  .seed = random(),
                                  .speed_column = 0,
                                  .point_column = changed == Changed::moved ? 1 : -1};
      });
      const Array<kernels::PointMoves> points = deal.take<kernels::PointMoves>(1, [](Rng& random, int64_t) {
        return kernels::PointMoves{0, int32_t(1 + random() % 3)};
      });
      const Array<kernels::SpeedMove> moves = deal.take<kernels::SpeedMove>(3, [](Rng& random, int64_t) {
        return kernels::SpeedMove{double(random() % 9), 0.5, 0, 2};
      });
      const Array<float> factor = deal.floats(3 * bands), offset = deal.floats(3 * bands),
                         error = deal.floats(2 * bands);
      const Array<double> of_points = deal.take<double>(2 * samples, [](Rng&, int64_t) { return 0.0; });
      const Array<float> statistics = deal.floats(2 * bands), window = deal.floats(samples * bands * frames);
      if (stream == nullptr) {
        return;
      }
      kernels::select_batch(*stream, {.state = state,
                                      .order = order,
                                      .start = start,
                                      .v = v,
                                      .stride = samples,
                                      .batch_start = batch_start,
                                      .batch_v = batch_v});
      kernels::GatherWindows task{.frames = all.view(),
                                  .start = batch_start,
                                  .mean = statistics.slice(0, bands),
                                  .inverse_std = statistics.slice(bands, bands),
                                  .x = kernels::make_map(window.data, samples, 1, bands, frames, device())};
      if (changed != Changed::no) {
        kernels::draw_changes(*stream, {.augmentation = {},
                                        .step = {&state.data->adam_step, 1, device()},
                                        .values = changed == Changed::moved ? of_points : batch_v,
                                        .bands = bands,
                                        .frames = frames,
                                        .changes = changes,
                                        .v = moved,
                                        .points = points,
                                        .moves = moves,
                                        .of_lane = draws});
        task.changes = changes;
        task.moves = {factor, offset, error};
        task.mels_per_band = 20;
      }
      kernels::gather_windows(*stream, task);
    };
    std::vector<unsigned char> images[lane_count];
    for (size_t lane = 0; lane < lane_count; ++lane) {
      Dealer fill(images[lane], 11 + lane);
      step(fill, nullptr);
    }
    const auto stride = static_cast<int64_t>(images[0].size());
    const kernels::Buffer<unsigned char> memory(lane_count * stride, device());
    const auto results = [&](bool together) {
      for (size_t lane = 0; lane < lane_count; ++lane) {
        kernels::upload<unsigned char>(stream_, images[lane],
                                       memory.slice(static_cast<int64_t>(lane) * stride, stride));
      }
      const kernels::Lanes lanes{.count = lane_count, .stride = stride, .memory = memory.data()};
      for (int64_t lane = 0; lane < (together ? 1 : lane_count); ++lane) {
        const kernels::LanesServed served(stream_, together ? lanes : kernels::Lanes());
        Dealer deal(memory.data() + lane * stride, device());
        step(deal, &stream_);
        stream_.synchronise();
      }
      return kernels::to_host(stream_, memory.view());
    };
    const std::vector<unsigned char> alone = results(false), together = results(true);
    EXPECT_EQ(together, alone) << static_cast<int>(changed);
  }
}

TEST_P(LanesOnce, WhatServesOneModelIsRefused) {
  kernels::LaneMemory memory(device(), 2, layout_of({256, 256}));
  const kernels::MemoryScope scope(memory, 0);
  const kernels::Buffer<float> a(64, device()), b(64, device());
  const kernels::LanesServed served(stream_, memory.serve(0, 2));
  const auto text_of = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const kernels::DeviceError& error) {
      return error.what();
    }
    return "";
  };
  const std::string refused = "an operation that serves one model was asked to serve 2 lanes";
  EXPECT_EQ(text_of([&] {
              kernels::adam_update(
                  stream_, {.settings = {}, .gradient = a.view(), .parameter = b.view(), .m = b.view(), .v = b.view()});
            }),
            refused);
  const kernels::Map map = kernels::make_map(a.data(), 1, 4, 4, 4, device());
  EXPECT_EQ(text_of([&] {
              kernels::actnorm_initialise(stream_, {.x = map, .bias = b.slice(0, 4), .log_scale = b.slice(4, 4)});
            }),
            refused);
  const kernels::CouplingShape layered{.channels = 4, .hidden = 2, .height = 4, .width = 4};
  EXPECT_FALSE(kernels::coupling_serves_lanes(device(), layered));
  EXPECT_THROW(kernels::copy(stream_, a.view(), b.view()), kernels::ShapeError);
}

TEST_P(LanesOnce, ALanesMemoryIsTakenInTheLayoutsOrderAndZeroed) {
  const kernels::LaneLayout layout = layout_of({40, 300});
  EXPECT_EQ(layout.bytes(), 256 + 512);
  kernels::LaneMemory memory(device(), 3, layout);
  EXPECT_EQ(memory.bytes(), 3 * (256 + 512));
  for (int round = 0; round < 2; ++round) {  // the second time, of an owner that is gone
    memory.clear(1);
    const kernels::MemoryScope scope(memory, 1);
    const kernels::Buffer<float> first(10, device()), second(75, device());
    EXPECT_EQ(static_cast<const void*>(first.data()), memory.serve(1, 1).memory);
    EXPECT_EQ(reinterpret_cast<const char*>(second.data()) - reinterpret_cast<const char*>(first.data()), 256);
    EXPECT_EQ(kernels::to_host(stream_, second.view()), std::vector<float>(75, 0.0F));
    kernels::upload<float>(stream_, std::vector<float>(75, 1.0F), second.view());
    EXPECT_THROW(kernels::Buffer<float>(1, device()), kernels::ShapeError);  // no more
    const kernels::MemoryScope beside;
    EXPECT_NO_THROW(kernels::Buffer<float>(1, device()));
  }
  const kernels::MemoryScope scope(memory, 0);
  EXPECT_THROW(kernels::Buffer<float>(11, device()), kernels::ShapeError);  // of another size
}

}  // namespace
}  // namespace evenflow::tests
