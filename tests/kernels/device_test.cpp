// Devices, buffers and views, and what the operations say about arguments that do not fit.
#include "kernels/device.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/adam.h"
#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/flow_ops.h"
#include "kernels/gather.h"
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
    for (int64_t i = 0; i < size; ++i) ASSERT_EQ(buffer[i], 0.0F);
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
  for (int64_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i);
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
  expect("squeeze", "[1, 1, 3, 4]", [&] { squeeze(stream_, map(1, 1, 3, 4), other(1, 4, 1, 2)); });
  expect("squeeze", "[1, 4, 2, 3]", [&] { squeeze(stream_, map(1, 1, 4, 4), other(1, 4, 2, 3)); });
  expect("unsqueeze", "[2, 4, 2, 2]", [&] { unsqueeze(stream_, map(2, 4, 2, 2), other(1, 1, 4, 4)); });
}

TEST_F(ShapeErrors, Actnorm) {
  const ActnormParameters good{floats(3), floats(3)};
  const ActnormParameters bad{floats(3), floats(2)};
  const ActnormGradients few{floats(2), floats(3)};
  expect("actnorm_forward", "[1, 3, 2, 5]",
         [&] { actnorm_forward(stream_, map(1, 3, 2, 2), good, other(1, 3, 2, 5)); });
  expect("actnorm_forward", "log_scale", [&] { actnorm_forward(stream_, map(1, 3, 2, 2), bad, other(1, 3, 2, 2)); });
  expect("actnorm_inverse", "log_scale", [&] { actnorm_inverse(stream_, map(1, 3, 2, 2), bad, other(1, 3, 2, 2)); });
  expect("actnorm_backward", "bias",
         [&] { actnorm_backward(stream_, map(1, 3, 2, 2), other(1, 3, 2, 2), good, other(1, 3, 2, 2), few); });
  expect("actnorm_initialise", "bias", [&] { actnorm_initialise(stream_, map(1, 3, 2, 2), floats(4), floats(3)); });
  expect("actnorm_initialise", "pixel", [&] { actnorm_initialise(stream_, map(0, 3, 2, 2), floats(3), floats(3)); });
  const LogDetTerm term{floats(3), 4};
  expect("constant_log_det", "total", [&] { constant_log_det(stream_, tests::only(term), doubles(1), doubles(2)); });
  expect("constant_log_det", "invconv_log_det",
         [&] { constant_log_det(stream_, tests::only(term), doubles(2), doubles(1)); });
}

TEST_F(ShapeErrors, Invconv) {
  const PluParameters p{permutation_.view(), floats(16), floats(16), floats(4), sign_.view()};
  PluParameters bad = p;
  bad.lower = floats(15);
  const auto assemble_plu = [&](const PluAssembly& step, int64_t log_dets) {
    invconv_assemble_plu(stream_, tests::only(step), doubles(log_dets));
  };
  expect("invconv_assemble_plu", "lower", [&] { assemble_plu({bad, floats(16), floats(16)}, 1); });
  expect("invconv_assemble_plu", "inverse", [&] { assemble_plu({p, floats(16), floats(9)}, 1); });
  expect("invconv_assemble_plu", "log_det", [&] { assemble_plu({p, floats(16), floats(16)}, 2); });
  expect("invconv_assemble_dense", "not square", [&] {
    invconv_assemble_dense(stream_, tests::only(DenseAssembly{floats(15), floats(15)}), doubles(1));
  });
  expect("invconv_plu_backward", "upper", [&] {
    invconv_plu_backward(stream_, tests::only(PluBackward{p, floats(16), 1.0, {floats(16), floats(4), floats(4)}}));
  });
  expect("invconv_dense_backward", "dweight", [&] {
    invconv_dense_backward(stream_, tests::only(DenseBackward{floats(16), floats(9), 1.0, floats(16)}));
  });
  expect("invconv_apply", "weight", [&] { invconv_apply(stream_, map(1, 4, 2, 2), floats(9), other(1, 4, 2, 2)); });
  expect("invconv_apply", "not its input",
         [&] { invconv_apply(stream_, map(1, 4, 2, 2), others_.slice(0, 16), map(1, 4, 2, 2)); });
  expect("invconv_backward", "not dy", [&] {
    invconv_backward(stream_, map(1, 4, 2, 2), other(1, 4, 2, 2), floats(16), other(1, 4, 2, 2), floats(16));
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
    coupling_pack(stream_, tests::only(CouplingPack{good, p, packed.view()}));
  });
  expect("coupling_pack", "packed", [&] {
    const CouplingPack step{good, parameters(good), packed.slice(0, packed.size() - 1)};
    coupling_pack(stream_, tests::only(step));
  });
  const Map x = map(1, 4, 2, 2);
  const Map y = other(1, 4, 2, 2);
  const auto forward = [&](const Map& in, int64_t log_dets, int64_t kept, int64_t scratch) {
    coupling_forward(stream_, good, in, packed.view(), y, doubles(log_dets), saved.slice(0, kept),
                     workspace.slice(0, scratch));
  };
  expect("coupling_forward", "[1, 4, 2, 3]", [&] { forward(map(1, 4, 2, 3), 1, saved.size(), workspace.size()); });
  expect("coupling_forward", "[2, 4, 2, 2]", [&] { forward(map(2, 4, 2, 2), 2, saved.size(), workspace.size()); });
  expect("coupling_forward", "log_det", [&] { forward(x, 0, saved.size(), workspace.size()); });
  expect("coupling_forward", "saved", [&] { forward(x, 1, saved.size() - 1, workspace.size()); });
  expect("coupling_forward", "workspace", [&] { forward(x, 1, saved.size(), workspace.size() - 1); });
  expect("coupling_inverse", "workspace",
         [&] { coupling_inverse(stream_, good, x, packed.view(), y, workspace.slice(0, 1)); });
  CouplingGradients d = gradients(good);
  d.log_gain = floats(2);
  expect("coupling_backward", "log_gain",
         [&] { coupling_backward(stream_, good, x, y, packed.view(), saved.view(), 1.0, y, d, workspace.view()); });
  expect("coupling_backward", "saved",
         [&] { coupling_backward(stream_, good, x, y, packed.view(), {}, 1.0, y, gradients(good), workspace.view()); });
}

TEST_F(ShapeErrors, TheRest) {
  expect("gaussian_moments", "sum", [&] { gaussian_moments(stream_, map(3, 1, 2, 2), doubles(2), doubles(3)); });
  expect("gaussian_backward", "shift",
         [&] { gaussian_backward(stream_, map(3, 1, 2, 2), doubles(2), 1.0, other(3, 1, 2, 2)); });
  expect("adam_update", "one size", [&] { adam_update(stream_, {}, floats(3), floats(3), floats(2), floats(3)); });
  expect("adam_update", "counts from 1",
         [&] { adam_update(stream_, {.step = 0}, floats(3), floats(3), floats(3), floats(3)); });
  expect("sum_rows", "stride", [&] { sum_rows(stream_, floats(5), 2, 3, others_.slice(0, 3)); });
  expect("sum_rows", "apart", [&] { sum_rows(stream_, floats(7), 2, 2, others_.slice(0, 3)); });
  expect("squared_norm", "one element", [&] { squared_norm(stream_, floats(7), doubles(2)); });
  const Buffer<int64_t> start(1);
  expect("gather_windows", "one start per window",
         [&] { gather_windows(stream_, floats(64), start.view(), floats(4), floats(4), other(2, 1, 4, 3)); });
  expect("gather_windows", "band",
         [&] { gather_windows(stream_, floats(64), start.view(), floats(3), floats(4), other(1, 1, 4, 3)); });
}

}  // namespace
}  // namespace evenflow::kernels
