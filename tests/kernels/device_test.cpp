// Devices, buffers and views, and what the operations say about arguments that do not fit.
#include "kernels/device.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/actnorm.h"
#include "kernels/adam.h"
#include "kernels/augment.h"
#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/coupling.h"
#include "kernels/gather.h"
#include "kernels/gaussian.h"
#include "kernels/invconv.h"
#include "kernels/invconv_weight.h"
#include "kernels/log_det.h"
#include "kernels/reduce.h"
#include "kernels/squeeze.h"
#include "tests/kernels/shapes.h"
#include "tests/support/backends.h"

namespace evenflow::kernels {
namespace {

using testing::HasSubstr;

template <class Error>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool cuda_is_usable() {
  try {
    return parse_device("cuda:0").type == DeviceType::cuda;
  } catch (const DeviceError&) {
    return false;
  }
}

TEST(Device, ParsesWhatIsThere) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_EQ(to_string(Device{}), "cpu");
  EXPECT_EQ(to_string(Device{DeviceType::cuda, 3}), "cuda:3");
  EXPECT_EQ(parse_device("auto").type, cuda_is_usable() ? DeviceType::cuda : DeviceType::cpu);
  EXPECT_THAT(describe(Device{}), testing::StartsWith("CPU "));
  EXPECT_THAT(describe(Device{}), HasSubstr("cores"));
}

TEST(Device, RefusesWhatItDoesNotKnowAndSaysWhatItKnows) {
  for (const char* text : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda0", "cuda: 0",
                           "cuda:99999999999999"}) {
    const std::string message = message_of<DeviceError>([&] { parse_device(text); });
    EXPECT_THAT(message, HasSubstr("unknown device '" + std::string(text) + "'")) << text;
    EXPECT_THAT(message, HasSubstr("auto, cpu or cuda:N")) << text;
  }
}

TEST(Device, SaysWhyCudaCannotBeUsedAndTheCure) {
  if (cuda_is_usable()) {
    EXPECT_THAT(message_of<DeviceError>([] { parse_device("cuda:4096"); }), HasSubstr("no cuda:4096"));
    return;
  }
  const auto is_one_of_the_three =
      testing::AnyOf(HasSubstr("built without CUDA"), HasSubstr("no NVIDIA driver"), HasSubstr("no usable device"));
  for (const char* text : {"cuda", "cuda:0", "cuda:1"}) {
    const std::string message = message_of<DeviceError>([&] { parse_device(text); });
    EXPECT_THAT(message, is_one_of_the_three) << text;
    EXPECT_THAT(message, HasSubstr("--device cpu")) << text;
  }
  // Asked again, it says the same again.
  EXPECT_THAT(message_of<DeviceError>([] { Buffer<float>(8, {DeviceType::cuda, 0}); }), is_one_of_the_three);
}

TEST(Buffer, IsAlignedZeroedAndMoves) {
  for (const int64_t size : {1, 31, 32, 33, 37, 100003}) {
    Buffer<float> buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(buffer[i], 0.0F);
    }
    buffer[size - 1] = 5.0F;
    const float* data = buffer.data();
    Buffer<float> moved = std::move(buffer);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(moved.size(), size);
    Buffer<float> assigned(3);
    assigned = std::move(moved);
    EXPECT_EQ(assigned.data(), data);
    EXPECT_EQ(assigned.view().size, size);
    EXPECT_EQ(assigned.slice(size - 1, 1)[0], 5.0F);
  }
  const Buffer<double> empty;
  EXPECT_EQ(empty.size(), 0);
  EXPECT_EQ(empty.data(), nullptr);
  EXPECT_EQ(Buffer<double>(0).data(), nullptr);
}

TEST(Buffer, NamesTheSizeThatHasNoRoom) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator ends the program instead of failing";
#endif
  const int64_t bytes = int64_t{1} << 50;
  const std::string message = message_of<DeviceError>([&] { Buffer<int8_t>{bytes}; });
  EXPECT_THAT(message, HasSubstr(std::to_string(bytes)));
  EXPECT_THAT(message, HasSubstr("out of memory"));
}

TEST(View, SlicesChannelsSamplesAndSplits) {
  Buffer<float> data(3 * 100);
  for (int64_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<float>(i);
  }
  const Map x{data.data(), 3, 5, 2, 3, 100, {}};
  EXPECT_EQ(x.pixels(), 6);
  EXPECT_EQ(x.size(), 90);
  EXPECT_EQ(x.sample(2)[0], 200.0F);
  const Map channels = x.channels(1, 2);
  EXPECT_EQ(channels.c, 2);
  EXPECT_EQ(channels.sample(1)[0], 106.0F);
  const Map samples = x.samples(1, 2);
  EXPECT_EQ(samples.n, 2);
  EXPECT_EQ(samples.sample(1)[5], 205.0F);
  const auto halves = split(ConstMap(x));
  EXPECT_EQ(halves.kept.c, 2);
  EXPECT_EQ(halves.factored.c, 3);
  EXPECT_EQ(halves.factored.sample(0)[0], 12.0F);
  EXPECT_TRUE(same_shape(x, make_map(data.data(), 3, 5, 2, 3)));
  EXPECT_FALSE(same_shape(x, x.channels(0, 4)));
}

// Every operation names itself and what it got. The buffers are large enough for any wrong shape below.
class ShapeErrors : public testing::Test {
 protected:
  Map map(int64_t n, int64_t c, int64_t h, int64_t w) { return make_map(floats_.data(), n, c, h, w); }
  Map other(int64_t n, int64_t c, int64_t h, int64_t w) { return make_map(others_.data(), n, c, h, w); }
  Array<float> floats(int64_t count) { return floats_.slice(0, count); }
  Array<double> doubles(int64_t count) { return doubles_.slice(0, count); }
  CouplingParameters parameters(const CouplingShape& s) {
    return {floats(s.hidden * s.channels / 2 * 9), floats(s.hidden),   floats(s.hidden * s.hidden), floats(s.hidden),
            floats(s.channels * s.hidden * 9),     floats(s.channels), floats(s.channels)};
  }
  CouplingGradients gradients(const CouplingShape& s) {
    return {floats(s.hidden * s.channels / 2 * 9), floats(s.hidden),   floats(s.hidden * s.hidden), floats(s.hidden),
            floats(s.channels * s.hidden * 9),     floats(s.channels), floats(s.channels)};
  }
  void expect(const std::string& operation, const std::string& detail, const std::function<void()>& call) {
    const std::string message = message_of<ShapeError>(call);
    EXPECT_THAT(message, testing::StartsWith(operation + ":"));
    EXPECT_THAT(message, HasSubstr(detail)) << operation;
  }

  Stream stream_;
  Buffer<float> floats_{1 << 16}, others_{1 << 16};
  Buffer<double> doubles_{64};
  Buffer<int32_t> permutation_{4};
  Buffer<int8_t> sign_{4};
};

TEST_F(ShapeErrors, Squeeze) {
  expect("squeeze", "[1, 1, 3, 4]", [&] { squeeze(stream_, {.x = map(1, 1, 3, 4), .y = other(1, 4, 1, 2)}); });
  expect("squeeze", "[1, 4, 2, 3]", [&] { squeeze(stream_, {.x = map(1, 1, 4, 4), .y = other(1, 4, 2, 3)}); });
  expect("unsqueeze", "[2, 4, 2, 2]", [&] { unsqueeze(stream_, {.y = map(2, 4, 2, 2), .x = other(1, 1, 4, 4)}); });
}

TEST_F(ShapeErrors, Actnorm) {
  const ActnormParameters good{floats(3), floats(3)};
  const ActnormParameters bad{floats(3), floats(2)};
  const ActnormGradients few{floats(2), floats(3)};
  expect("actnorm_forward", "[1, 3, 2, 5]",
         [&] { actnorm_forward(stream_, {.x = map(1, 3, 2, 2), .parameters = good, .y = other(1, 3, 2, 5)}); });
  expect("actnorm_forward", "log_scale",
         [&] { actnorm_forward(stream_, {.x = map(1, 3, 2, 2), .parameters = bad, .y = other(1, 3, 2, 2)}); });
  expect("actnorm_inverse", "log_scale",
         [&] { actnorm_inverse(stream_, {.y = map(1, 3, 2, 2), .parameters = bad, .x = other(1, 3, 2, 2)}); });
  expect("actnorm_backward", "bias", [&] {
    actnorm_backward(
        stream_,
        {.y = map(1, 3, 2, 2), .dy = other(1, 3, 2, 2), .parameters = good, .dx = other(1, 3, 2, 2), .gradients = few});
  });
  expect("actnorm_initialise", "bias",
         [&] { actnorm_initialise(stream_, {.x = map(1, 3, 2, 2), .bias = floats(4), .log_scale = floats(3)}); });
  expect("actnorm_initialise", "pixel",
         [&] { actnorm_initialise(stream_, {.x = map(0, 3, 2, 2), .bias = floats(3), .log_scale = floats(3)}); });
  const LogDetTerm term{floats(3), 4};
  expect("constant_log_det", "total", [&] {
    constant_log_det(stream_, {.steps = tests::only(term), .invconv_log_det = doubles(1), .total = doubles(2)});
  });
  expect("constant_log_det", "invconv_log_det", [&] {
    constant_log_det(stream_, {.steps = tests::only(term), .invconv_log_det = doubles(2), .total = doubles(1)});
  });
}

TEST_F(ShapeErrors, Invconv) {
  const PluParameters p{permutation_.view(), floats(16), floats(16), floats(4), sign_.view()};
  PluParameters bad = p;
  bad.lower = floats(15);
  const auto assemble_plu = [&](const PluAssembly& step, int64_t log_dets) {
    invconv_assemble_plu(stream_, {.steps = tests::only(step), .log_det = doubles(log_dets)});
  };
  expect("invconv_assemble_plu", "lower", [&] { assemble_plu({bad, floats(16), floats(16)}, 1); });
  expect("invconv_assemble_plu", "inverse", [&] { assemble_plu({p, floats(16), floats(9)}, 1); });
  expect("invconv_assemble_plu", "log_det", [&] { assemble_plu({p, floats(16), floats(16)}, 2); });
  expect("invconv_assemble_dense", "not square", [&] {
    invconv_assemble_dense(stream_,
                           {.steps = tests::only(DenseAssembly{floats(15), floats(15)}), .log_det = doubles(1)});
  });
  expect("invconv_plu_backward", "upper", [&] {
    invconv_plu_backward(stream_,
                         {.steps = tests::only(PluBackward{p, floats(16), 1.0, {floats(16), floats(4), floats(4)}})});
  });
  expect("invconv_dense_backward", "dweight", [&] {
    invconv_dense_backward(stream_, {.steps = tests::only(DenseBackward{floats(16), floats(9), 1.0, floats(16)})});
  });
  expect("invconv_apply", "weight",
         [&] { invconv_apply(stream_, {.x = map(1, 4, 2, 2), .weight = floats(9), .y = other(1, 4, 2, 2)}); });
  expect("invconv_apply", "not its input",
         [&] { invconv_apply(stream_, {.x = map(1, 4, 2, 2), .weight = others_.slice(0, 16), .y = map(1, 4, 2, 2)}); });
  expect("invconv_backward", "not dy", [&] {
    invconv_backward(stream_, {.x = map(1, 4, 2, 2),
                               .dy = other(1, 4, 2, 2),
                               .weight = floats(16),
                               .dx = other(1, 4, 2, 2),
                               .dweight = floats(16)});
  });
}

TEST_F(ShapeErrors, Coupling) {
  const CouplingShape good{.channels = 4, .hidden = 3, .height = 2, .width = 2};
  CouplingShape odd = good;
  odd.channels = 3;
  expect("coupling_packed_floats", "even number of channels", [&] { coupling_packed_floats({}, odd); });
  expect("coupling_saved_floats", "channels 3", [&] { coupling_saved_floats({}, odd); });
  CouplingShape empty = good;
  empty.hidden = 0;
  expect("coupling_workspace_floats", "hidden 0", [&] { coupling_workspace_floats({}, empty, 1); });

  const Buffer<float> packed(coupling_packed_floats({}, good));
  const Buffer<float> saved(coupling_saved_floats({}, good));
  const Buffer<float> workspace(coupling_workspace_floats({}, good, 1));
  CouplingParameters p = parameters(good);
  p.conv2_bias = floats(2);
  expect("coupling_pack", "conv2.bias", [&] {
    coupling_pack(stream_, {.steps = tests::only(PackedCoupling{good, p, packed.view()})});
  });
  expect("coupling_pack", "packed", [&] {
    const PackedCoupling step{good, parameters(good), packed.slice(0, packed.size() - 1)};
    coupling_pack(stream_, {.steps = tests::only(step)});
  });
  const Map x = map(1, 4, 2, 2);
  const Map y = other(1, 4, 2, 2);
  const auto forward = [&](const Map& in, int64_t log_dets, int64_t kept, int64_t scratch) {
    coupling_forward(stream_, {.shape = good,
                               .x = in,
                               .packed = packed.view(),
                               .y = y,
                               .log_det = doubles(log_dets),
                               .saved = saved.slice(0, kept),
                               .workspace = workspace.slice(0, scratch)});
  };
  expect("coupling_forward", "[1, 4, 2, 3]", [&] { forward(map(1, 4, 2, 3), 1, saved.size(), workspace.size()); });
  expect("coupling_forward", "[2, 4, 2, 2]", [&] { forward(map(2, 4, 2, 2), 2, saved.size(), workspace.size()); });
  expect("coupling_forward", "log_det", [&] { forward(x, 0, saved.size(), workspace.size()); });
  expect("coupling_forward", "saved", [&] { forward(x, 1, saved.size() - 1, workspace.size()); });
  expect("coupling_forward", "workspace", [&] { forward(x, 1, saved.size(), workspace.size() - 1); });
  expect("coupling_inverse", "workspace", [&] {
    coupling_inverse(stream_,
                     {.shape = good, .y = x, .packed = packed.view(), .x = y, .workspace = workspace.slice(0, 1)});
  });
  CouplingGradients d = gradients(good);
  d.log_gain = floats(2);
  expect("coupling_backward", "log_gain", [&] {
    coupling_backward(stream_, {.shape = good,
                                .x = x,
                                .dy = y,
                                .packed = packed.view(),
                                .saved = saved.view(),
                                .log_det_gradient = 1.0,
                                .dx = y,
                                .gradients = d,
                                .workspace = workspace.view()});
  });
  expect("coupling_backward", "saved", [&] {
    coupling_backward(stream_, {.shape = good,
                                .x = x,
                                .dy = y,
                                .packed = packed.view(),
                                .saved = {},
                                .log_det_gradient = 1.0,
                                .dx = y,
                                .gradients = gradients(good),
                                .workspace = workspace.view()});
  });
}

TEST_F(ShapeErrors, TheRest) {
  expect("gaussian_moments", "sum",
         [&] { gaussian_moments(stream_, {.z = map(3, 1, 2, 2), .sum = doubles(2), .centred_squares = doubles(3)}); });
  expect("gaussian_backward", "shift", [&] {
    gaussian_backward(stream_, {.z = map(3, 1, 2, 2), .shift = doubles(2), .scale = 1.0, .dz = other(3, 1, 2, 2)});
  });
  expect("adam_update", "one size", [&] {
    adam_update(stream_,
                {.settings = {}, .gradient = floats(3), .parameter = floats(3), .m = floats(2), .v = floats(3)});
  });
  expect("adam_update", "counts from 1", [&] {
    adam_update(
        stream_,
        {.settings = {.step = 0}, .gradient = floats(3), .parameter = floats(3), .m = floats(3), .v = floats(3)});
  });
  expect("sum_rows", "stride",
         [&] { sum_rows(stream_, {.in = floats(5), .rows = 2, .row_stride = 3, .out = others_.slice(0, 3)}); });
  expect("sum_rows", "apart",
         [&] { sum_rows(stream_, {.in = floats(7), .rows = 2, .row_stride = 2, .out = others_.slice(0, 3)}); });
  expect("squared_norm", "one element", [&] { squared_norm(stream_, {.x = floats(7), .out = doubles(2)}); });
  const Buffer<int64_t> start(1);
  expect("gather_windows", "one start per window", [&] {
    gather_windows(stream_, {.frames = floats(64),
                             .start = start.view(),
                             .mean = floats(4),
                             .inverse_std = floats(4),
                             .x = other(2, 1, 4, 3)});
  });
  expect("gather_windows", "band", [&] {
    gather_windows(stream_, {.frames = floats(64),
                             .start = start.view(),
                             .mean = floats(3),
                             .inverse_std = floats(4),
                             .x = other(1, 1, 4, 3)});
  });
  const Buffer<WindowChange> changes(2);
  expect("gather_windows", "one change per window", [&] {
    gather_windows(stream_, {.frames = floats(64),
                             .start = start.view(),
                             .mean = floats(4),
                             .inverse_std = floats(4),
                             .x = other(1, 1, 4, 3),
                             .changes = changes.view(),
                             .mels_per_band = 1});
  });
  expect("gather_windows", "whole rows of bands", [&] {
    gather_windows(stream_, {.frames = floats(64),
                             .start = start.view(),
                             .mean = floats(4),
                             .inverse_std = floats(4),
                             .x = other(start.size(), 1, 4, 3),
                             .moves = {floats(8), floats(4), {}}});
  });
}

TEST_F(ShapeErrors, OfDrawnChanges) {
  const Buffer<WindowChange> changes(2);
  const Buffer<int64_t> step(1);
  DrawChanges task;
  task.step = step.view();
  task.values = doubles(4);
  task.v = doubles(2);
  task.bands = 4;
  task.frames = 3;
  task.changes = changes.view();
  expect("draw_changes", "one step", [&] {
    DrawChanges wrong = task;
    wrong.step = {};
    draw_changes(stream_, wrong);
  });
  expect("draw_changes", "no more columns", [&] {
    DrawChanges wrong = task;
    wrong.v = doubles(6);
    draw_changes(stream_, wrong);
  });
  expect("draw_changes", "column", [&] {
    DrawChanges wrong = task;
    wrong.speed_column = 2;
    draw_changes(stream_, wrong);
  });
  expect("draw_changes", "and points", [&] {
    DrawChanges wrong = task;
    wrong.point_column = 1;
    draw_changes(stream_, wrong);
  });
  expect("draw_changes", "no wider", [&] {
    DrawChanges wrong = task;
    wrong.augmentation.mask_bands = 5;
    draw_changes(stream_, wrong);
  });
}

}  // namespace
}  // namespace evenflow::kernels
