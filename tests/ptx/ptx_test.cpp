// The interpreter of PTX: small texts against known answers, and that it refuses what a GPU would not forgive.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/check.h"
#include "kernels/copy.h"
#include "kernels/subtract.h"
#include "tests/emulation/mma_figures.h"
#include "tests/ptx/interpreter.h"
#include "tests/ptx/module.h"
#include "tests/ptx/runner.h"

namespace evenflow::ptx {
namespace {

namespace fs = std::filesystem;

/// A kernel of one pointer, whose text has %out and %lane, for 32 threads.
std::string text_of(const std::string& registers, const std::string& body) {
  return ".version 9.0\n.target sm_90\n.address_size 64\n"
         ".extern .shared .align 16 .b8 memory[];\n"
         ".visible .entry test(\n\t.param .u64 test_param_0\n)\n{\n"
         "\t.reg .pred %p<9>;\n\t.reg .b16 %rs<9>;\n\t.reg .b32 %r<99>;\n\t.reg .f32 %f<9>;\n\t.reg .b64 %rd<9>;\n"
         "\t.reg .f64 %fd<9>;\n\t.reg .b64 %out;\n\t.reg .b32 %lane;\n" +
         registers +
         "\tld.param.u64 %rd0, [test_param_0];\n\tcvta.to.global.u64 %rd0, %rd0;\n\tgriddepcontrol.wait;\n"
         "\tmov.u32 %lane, %tid.x;\n\tmul.wide.u32 %rd1, %lane, 4;\n\tadd.s64 %out, %rd0, %rd1;\n" +
         body + "\tret;\n}\n";
}

struct Launch {
  unsigned threads = 32;
  unsigned blocks = 1;
  size_t shared_bytes = 0;
};

/// What the kernel leaves in its memory, which begins as 0, 1, 2, ...
template <class T = uint32_t>
std::vector<T> run_text(const std::string& body, Launch launch = {}, const std::string& registers = "") {
  Module module("test.ptx", text_of(registers, body));
  std::vector<T> memory(static_cast<size_t>(launch.threads) * launch.blocks);
  std::iota(memory.begin(), memory.end(), T{});
  DeviceMemory device({{reinterpret_cast<unsigned char*>(memory.data()), memory.size() * sizeof(T)}});
  const auto* data = memory.data();
  std::array<std::byte, sizeof data> parameters{};
  std::memcpy(parameters.data(), &data, sizeof data);
  run(module.kernel("test"),
      {.grid = {launch.blocks, 1, 1}, .block = {launch.threads, 1, 1}, .shared_bytes = launch.shared_bytes}, parameters,
      device);
  return memory;
}

std::string fault_of(const std::string& body, Launch launch = {}) {
  try {
    run_text(body, launch);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

using testing::HasSubstr;

TEST(Ptx, ArithmeticHasTheIsaAnswers) {
  struct Case {
    std::string body;
    uint32_t expected;
  };
  const std::vector<Case> cases{
      {"mov.u32 %r1, 7; mad.lo.s32 %r0, %r1, -3, 5;", static_cast<uint32_t>(-16)},
      {"mul.hi.s32 %r0, -2, 3;", 0xffffffffU},
      {"mul.hi.u32 %r0, -2, 3;", 2},
      {"shl.b32 %r0, 1, 32;", 0},
      {"shr.s32 %r0, -8, 40;", 0xffffffffU},
      {"shr.u32 %r0, -8, 28;", 15},
      {"bfi.b32 %r0, 5, -1, 4, 8;", 0xfffff05fU},
      {"clz.b64 %r0, 1;", 63},
      {"div.s32 %r0, -7, 2;", static_cast<uint32_t>(-3)},
      {"rem.s32 %r0, -7, 2;", static_cast<uint32_t>(-1)},
      {"div.s32 %r0, -2147483648, -1;", 0x80000000U},
      {"add.cc.u32 %r1, -1, 1; addc.u32 %r0, 5, 0;", 6},
      {"sub.cc.u32 %r1, 0, 1; subc.u32 %r0, 5, 0;", 4},
      {"mad.lo.cc.u32 %r1, -1, 2, 3; madc.hi.u32 %r0, -1, 2, 7;", 9},
      {"fma.rn.f32 %f0, 0f3F800001, 0f3F800001, 0fBF800002; mov.b32 %r0, %f0;", 0x28800000U},  // 2^-46
      {"fma.rm.f32 %f0, 0f3F800001, 0f3F800001, 0f00000000; mov.b32 %r0, %f0;", 0x3F800002U},
      {"add.rz.f32 %f0, 0f3F800000, 0fB2800000; mov.b32 %r0, %f0;", 0x3F7FFFFFU},
      {"sqrt.rn.f32 %f0, 0fBF800000; mov.b32 %r0, %f0;", 0x7fffffffU},
      {"min.f32 %f0, 0f7FC00000, 0f40000000; mov.b32 %r0, %f0;", 0x40000000U},
      {"max.f32 %f0, 0f80000000, 0f00000000; mov.b32 %r0, %f0;", 0},
      {"copysign.f32 %f0, 0f80000000, 0f40000000; mov.b32 %r0, %f0;", 0xC0000000U},
      {"cvt.sat.f32.f32 %f0, 0f7FC00000; mov.b32 %r0, %f0;", 0},
      {"cvt.rzi.s32.f32 %r0, 0f7F800000;", 0x7fffffffU},
      {"cvt.rzi.s32.f32 %r0, 0f7FC00000;", 0},
      {"cvt.rzi.s32.f32 %r0, 0fC0200000;", static_cast<uint32_t>(-2)},
      {"cvt.rni.s32.f64 %r0, 0d4004000000000000;", 2},
      {"cvt.rn.bf16x2.f32 %r0, 0f3F808000, 0f3F818000;", 0x3F803F82U},  // ties to even, the first is the upper half
      {"ex2.approx.ftz.f32 %f0, 0f40400000; mov.b32 %r0, %f0;", 0x41000000U},
      {"rcp.approx.ftz.f32 %f0, 0f00000001; mov.b32 %r0, %f0;", 0x7f800000U},
      {"mov.b64 %rd2, 81985529216486895; mov.b64 {%r1, %r0}, %rd2;", 0x01234567U},
      {"setp.geu.f32 %p1, 0f7FC00000, 0f00000000; selp.u32 %r0, 1, 0, %p1;", 1},
      {"setp.ne.f32 %p1, 0f7FC00000, 0f00000000; selp.u32 %r0, 1, 0, %p1;", 0},
      {"{.reg .pred p; mov.u32 %r0, 1; testp.finite.f32 p, 0f7F800000; @!p add.u32 %r0, %r0, 1;}", 2},
  };
  for (const auto& [body, expected] : cases) {
    EXPECT_EQ(run_text("\t" + body + "\tst.global.u32 [%out], %r0;\n")[5], expected) << body;
  }
}

TEST(Ptx, WhatIsNotKnownIsRefusedWithItsLine) {
  EXPECT_THAT(fault_of("\tfrobnicate.f32 %f0, %f1;\n"),
              HasSubstr("test.ptx:23: the opcode frobnicate.f32 is not known"));
  EXPECT_THAT(fault_of("\tsin.approx.f32 %f0, %f1;\n"), HasSubstr("sin.approx.f32 is not known"));
  EXPECT_THAT(fault_of("\tld.global.ca.f32 %f0, [%out];\n"), HasSubstr("ld.global.ca.f32 is not known"));
  EXPECT_THAT(fault_of("\tadd.s32 %r0, %rd0, 1;\n"), HasSubstr("%rd0 is of another width"));
  EXPECT_THAT(fault_of("\tadd.s32 %r0, %nonsense, 1;\n"), HasSubstr("%nonsense is not known"));
  EXPECT_THAT(fault_of("\tadd.f32 %f0, %f1, 1;\n"), HasSubstr("the operand 1 is not known"));
  EXPECT_THAT(fault_of("\tbra nowhere;\n"), HasSubstr("no label nowhere"));
  EXPECT_THROW(Module("test.ptx", ".tex .u64 texture;\n"), DecodeError);
}

TEST(Ptx, FaultsOfMemoryNameTheThread) {
  EXPECT_THAT(fault_of("\tld.global.v2.f32 {%f0, %f1}, [%out];\n"),
              HasSubstr("thread (1, 0, 0), test.ptx:23: an access of 8 bytes is not aligned"));
  EXPECT_THAT(fault_of("\tst.global.u32 [%out+4], %r0;\n"), HasSubstr("thread (31, 0, 0)"));
  EXPECT_THAT(fault_of("\tst.global.u32 [%out+4], %r0;\n"), HasSubstr("nobody's device memory"));
  EXPECT_THAT(fault_of("\tst.global.u32 [%out], %r0;\n\tld.global.nc.u32 %r1, [%out];\n"),
              HasSubstr("was written by this launch"));
  const std::string shared = "\tmov.u32 %r1, memory;\n\tmad.lo.s32 %r2, %lane, 4, %r1;\n";
  EXPECT_THAT(fault_of(shared + "\tst.shared.u32 [%r2], %lane;\n", {.shared_bytes = 124}),
              HasSubstr("byte 124 of 124 bytes of shared memory"));
  EXPECT_THAT(fault_of(shared + "\tld.shared.u32 %r3, [%r2];\n", {.shared_bytes = 128}),
              HasSubstr("shared memory that nothing has written is read"));
  EXPECT_THAT(fault_of("\tdiv.s32 %r0, 1, %lane;\n"), HasSubstr("thread (0, 0, 0), test.ptx:23: a division by zero"));
}

TEST(Ptx, DeviceMemoryIsNotTouchedBeforeTheKernelBeforeIsDone) {
  std::string text = text_of("", "\tst.global.u32 [%out], %lane;\n");
  text.replace(text.find("\tgriddepcontrol.wait;"), 21, "");
  Module module("test.ptx", text);
  std::array<uint32_t, 32> memory{};
  DeviceMemory device({{reinterpret_cast<unsigned char*>(memory.data()), sizeof memory}});
  const auto* data = memory.data();
  std::array<std::byte, sizeof data> parameters{};
  std::memcpy(parameters.data(), &data, sizeof data);
  EXPECT_THROW(run(module.kernel("test"), {.block = {32, 1, 1}}, parameters, device), Fault);
}

// Lanes below 8 take one way, those below 16 another, the rest a loop of as many turns as their number; then all meet.
TEST(Ptx, LanesThatPartMeetAgain) {
  const std::vector<uint32_t> result = run_text(R"(
	mov.u32 %r0, 0;
	setp.lt.u32 %p1, %lane, 8;
	@%p1 bra $low;
	setp.lt.u32 %p2, %lane, 16;
	@%p2 bra $middle;
	mov.u32 %r1, %lane;
$loop:
	add.s32 %r0, %r0, 1;
	sub.s32 %r1, %r1, 1;
	setp.ne.s32 %p3, %r1, 0;
	@%p3 bra $loop;
	bra.uni $meet;
$low:
	mov.u32 %r0, 100;
	bra.uni $meet;
$middle:
	mov.u32 %r0, 200;
$meet:
	shfl.sync.bfly.b32 %r2|%p4, %r0, 16, 31, -1;
	st.global.u32 [%out], %r2;
)");
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t from = lane ^ 16U;
    EXPECT_EQ(result[lane], from < 8 ? 100 : from < 16 ? 200 : from) << lane;
  }
}

TEST(Ptx, LanesThatEndAreNotWaitedForByOthers) {
  const std::vector<uint32_t> result = run_text(R"(
	setp.ge.u32 %p1, %lane, 3;
	@%p1 ret;
	mov.u32 %r0, 77;
	st.global.u32 [%out], %r0;
)");
  EXPECT_EQ(result[2], 77U);
  EXPECT_EQ(result[3], 3U);
}

TEST(Ptx, BarriersAndShufflesWantAllThatTheyAreFor) {
  const std::string half = "\tsetp.lt.u32 %p1, %lane, 16;\n\t@!%p1 bra $past;\n";
  EXPECT_THAT(fault_of(half + "\tbar.sync 0;\n$past:\n"), HasSubstr("not all threads of a warp come to the barrier"));
  EXPECT_THAT(fault_of(half + "\tshfl.sync.bfly.b32 %r2|%p4, %r0, 1, 31, -1;\n$past:\n"),
              HasSubstr("a shuffle of other lanes"));
  EXPECT_THAT(fault_of("\tsetp.lt.u32 %p1, %lane, 32;\n\t@!%p1 bra $past;\n\tbar.sync 0;\n$past:\n", {.threads = 64}),
              HasSubstr("waits for threads that have ended"));
  EXPECT_THAT(fault_of("\tshr.u32 %r1, %lane, 5;\n\tadd.s32 %r1, %r1, 1;\n\tbar.sync %r1, 64;\n", {.threads = 64}),
              HasSubstr("waits for threads that wait elsewhere"));
}

// Each warp reads what the other wrote: the block reverses itself through shared memory; then pairs of warps do.
TEST(Ptx, BarriersOrderWarps) {
  const std::string reverse =
      "\tmov.u32 %r1, memory;\n\tmad.lo.s32 %r2, %lane, 4, %r1;\n\tst.shared.u32 [%r2], %lane;\n";
  const std::vector<uint32_t> block =
      run_text(reverse +
                   "\tbar.sync 0;\n\tsub.s32 %r3, 127, %lane;\n\tmad.lo.s32 %r4, %r3, 4, %r1;\n"
                   "\tld.shared.u32 %r5, [%r4];\n\tst.global.u32 [%out], %r5;\n",
               {.threads = 128, .shared_bytes = 512});
  const std::vector<uint32_t> pairs =
      run_text(reverse +
                   "\tshr.u32 %r6, %lane, 6;\n\tadd.s32 %r6, %r6, 1;\n\tbar.sync %r6, 64;\n\txor.b32 %r3, %lane, 63;\n"
                   "\tmad.lo.s32 %r4, %r3, 4, %r1;\n\tld.shared.u32 %r5, [%r4];\n\tst.global.u32 [%out], %r5;\n",
               {.threads = 128, .shared_bytes = 512});
  for (uint32_t i = 0; i < 128; ++i) {
    EXPECT_EQ(block[i], 127 - i);
    EXPECT_EQ(pairs[i], i ^ 63U);
  }
}

TEST(Ptx, CopiesArriveWhenTheyWereWaitedFor) {
  const std::string begin =
      "\tmov.u32 %r1, memory;\n\tmad.lo.s32 %r2, %lane, 16, %r1;\n\tmul.wide.u32 %rd2, %lane, 16;\n"
      "\tadd.s64 %rd3, %rd0, %rd2;\n\tsetp.ge.u32 %p1, %lane, 8;\n\t@%p1 ret;\n"
      "\tcp.async.cg.shared.global [%r2], [%rd3], 16;\n\tcp.async.commit_group;\n";
  const std::string end = "\tld.shared.u32 %r3, [%r2+8];\n\tst.global.u32 [%out], %r3;\n";
  EXPECT_EQ(run_text(begin + "\tcp.async.wait_group 0;\n" + end, {.shared_bytes = 128})[3], 14U);
  EXPECT_THAT(fault_of(begin + "\tcp.async.wait_group 1;\n" + end, {.shared_bytes = 128}),
              HasSubstr("nothing has written"));
  EXPECT_THAT(fault_of(begin, {.shared_bytes = 128}), HasSubstr("has not waited for"));
}

TEST(Ptx, TheLastBlockToArriveIsOne) {
  const std::vector<uint32_t> result = run_text(R"(
	setp.ne.u32 %p1, %lane, 0;
	@%p1 ret;
	atom.acq_rel.gpu.global.inc.u32 %r1, [%rd0], 3;
	mov.u32 %r2, %ctaid.x;
	mul.wide.u32 %rd2, %r2, 4;
	add.s64 %rd3, %rd0, %rd2;
	st.global.u32 [%rd3+16], %r1;
)",
                                                {.threads = 32, .blocks = 4});
  EXPECT_EQ(result[0], 0U);  // wound back by the last
  EXPECT_EQ((std::vector<uint32_t>{result.begin() + 4, result.begin() + 8}), (std::vector<uint32_t>{0, 1, 2, 3}));
}

// A function's parameters and its local memory are its caller's lanes' own.
TEST(Ptx, FunctionsAreCalled) {
  std::string text = text_of("", R"(
	{
	.param .b64 param0;
	cvt.u64.u32 %rd2, %lane;
	st.param.b64 [param0+0], %rd2;
	.param .align 8 .b8 retval0[16];
	call.uni (retval0),
	twice,
	(
	param0
	);
	ld.param.b32 %r3, [retval0+8];
	}
	st.global.u32 [%out], %r3;
)");
  text.insert(text.find(".visible"), R"(
.func (.param .align 8 .b8 func_retval0[16]) twice(
	.param .b64 twice_param_0
)
{
	.local .align 8 .b8 depot[16];
	.reg .b64 %SPL;
	.reg .b64 %rd<4>;
	.reg .b32 %r<4>;
	mov.u64 %SPL, depot;
	ld.param.b64 %rd1, [twice_param_0];
	st.local.u64 [%SPL+8], %rd1;
	ld.local.u64 %rd2, [%SPL+8];
	add.s64 %rd3, %rd1, %rd2;
	cvt.u32.u64 %r1, %rd3;
	setp.gt.u32 %p1, %r1, 40;
	@%p1 bra $end;
	st.param.b32 [func_retval0+8], %r1;
	ret;
$end:
	st.param.b32 [func_retval0+8], 0;
	ret;
}
)");
  text.replace(text.find(".reg .b64 %SPL"), 14, ".reg .b64 %SPL;\n\t.reg .pred %p<2>");
  Module module("test.ptx", text);
  std::array<uint32_t, 32> memory{};
  DeviceMemory device({{reinterpret_cast<unsigned char*>(memory.data()), sizeof memory}});
  const auto* data = memory.data();
  std::array<std::byte, sizeof data> parameters{};
  std::memcpy(parameters.data(), &data, sizeof data);
  run(module.kernel("test"), {.block = {32, 1, 1}}, parameters, device);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(memory[lane], lane <= 20 ? 2 * lane : 0);
  }
}

/// Where a lane has element i of a fragment, by the ISA's tables: row and column.
struct At {
  int row, column;
};
constexpr At a_tf32(int lane, int i) {
  return {lane / 4 + (i % 2 == 1 ? 8 : 0), lane % 4 + (i >= 2 ? 4 : 0)};
}
constexpr At b_tf32(int lane, int i) {
  return {lane % 4 + 4 * i, lane / 4};
}
constexpr At a_bf16(int lane, int i) {  // i of 8, two to a register
  const bool below = (i >= 2 && i < 4) || i >= 6;
  return {lane / 4 + (below ? 8 : 0), lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)};
}
constexpr At b_bf16(int lane, int i) {  // of 4
  return {lane % 4 * 2 + i % 2 + (i >= 2 ? 8 : 0), lane / 4};
}
constexpr At c_f32(int lane, int i) {
  return {lane / 4 + (i >= 2 ? 8 : 0), lane % 4 * 2 + i % 2};
}

static_assert(tests::mma_figures::shows(tests::mma_figures::a_tf32, 4, a_tf32));
static_assert(tests::mma_figures::shows(tests::mma_figures::b_tf32, 2, b_tf32));
static_assert(tests::mma_figures::shows(tests::mma_figures::a_bf16, 8, a_bf16));
static_assert(tests::mma_figures::shows(tests::mma_figures::b_bf16, 4, b_bf16));
static_assert(tests::mma_figures::shows(tests::mma_figures::sums, 4, c_f32));

/// One product of small integers, which every order of summation gives exactly.
void expect_tile_product(int depth, const std::string& opcode, At (*a_at)(int, int), At (*b_at)(int, int), int packed) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> digit(-9, 9);
  std::array<std::array<float, 16>, 16> a{}, b{}, c{};
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      a[i][j] = static_cast<float>(digit(random));
      b[i][j] = static_cast<float>(digit(random));
      c[i][j] = static_cast<float>(digit(random));
    }
  }
  std::vector<uint32_t> memory(32 * 10);  // by lane: registers of a, of b, of c
  for (int lane = 0; lane < 32; ++lane) {
    uint32_t* mine = &memory[static_cast<size_t>(lane) * 10];
    const auto put = [&](int at, int i, float value) {
      const uint32_t bits = std::bit_cast<uint32_t>(value);
      mine[at + i / packed] |= packed == 1 ? bits : i % 2 == 0 ? bits >> 16 : bits & 0xffff0000U;
    };
    for (int i = 0; i < 4 * packed; ++i) {
      put(0, i, a[a_at(lane, i).row][a_at(lane, i).column]);
    }
    for (int i = 0; i < 2 * packed; ++i) {
      put(4, i, b[b_at(lane, i).row][b_at(lane, i).column]);
    }
    for (int i = 0; i < 4; ++i) {
      mine[6 + i] = std::bit_cast<uint32_t>(c[c_f32(lane, i).row][c_f32(lane, i).column]);
    }
    mine[0] |= packed == 1 ? 0x1234U : 0;  // below tf32's bits: dropped
  }
  std::string body = "\tmul.wide.u32 %rd2, %lane, 40;\n\tadd.s64 %rd3, %rd0, %rd2;\n";
  for (int i = 0; i < 10; ++i) {
    body += "\tld.global.u32 %r" + std::to_string(i) + ", [%rd3+" + std::to_string(4 * i) + "];\n";
  }
  for (int i = 0; i < 4; ++i) {
    body += "\tmov.b32 %f" + std::to_string(i) + ", %r" + std::to_string(6 + i) + ";\n";
  }
  body += "\t" + opcode + " {%f0, %f1, %f2, %f3}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%f0, %f1, %f2, %f3};\n";
  for (int i = 0; i < 4; ++i) {
    body += "\tst.global.f32 [%rd3+" + std::to_string(24 + 4 * i) + "], %f" + std::to_string(i) + ";\n";
  }
  Module module("test.ptx", text_of("", body));
  DeviceMemory device({{reinterpret_cast<unsigned char*>(memory.data()), 4 * memory.size()}});
  const auto* data = memory.data();
  std::array<std::byte, sizeof data> parameters{};
  std::memcpy(parameters.data(), &data, sizeof data);
  run(module.kernel("test"), {.block = {32, 1, 1}}, parameters, device);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const auto [row, column] = c_f32(lane, i);
      float expected = c[row][column];
      for (int k = 0; k < depth; ++k) {
        expected += a[row][k] * b[k][column];
      }
      EXPECT_EQ(std::bit_cast<float>(memory[static_cast<size_t>(lane) * 10 + 6 + i]), expected) << lane << " " << i;
    }
  }
}

TEST(Ptx, TileProductsAreMatrixProducts) {
  expect_tile_product(8, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", a_tf32, b_tf32, 1);
  expect_tile_product(16, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", a_bf16, b_bf16, 2);
}

TEST(Ptx, NamesOfFilesAreCommon) {
  EXPECT_EQ(common_name("_ZN2ab41_GLOBAL__N__bff3f3fd_9_gather_cu_6bcf43586kernelEv"), "_ZN2ab12_GLOBAL__N_16kernelEv");
  EXPECT_EQ(readable_name("_ZN8evenflow7kernels4cuda12_GLOBAL__N_113some_kernel_nILb1EEEvi"), "some_kernel_n<true>");
}

/// The folder of what nvcc made, or why there is none.
class KernelsPtx : public testing::Test {
 protected:
  void SetUp() override {
    if (folder_.empty()) {
      GTEST_SKIP() << EVENFLOW_NO_PTX;
    }
  }
  const fs::path folder_ = EVENFLOW_PTX_FOLDER;
};

TEST_F(KernelsPtx, EveryOpcodeIsKnown) {
  int kernels = 0;
  for (const auto& file : fs::directory_iterator(folder_)) {
    if (file.path().extension() != ".ptx") {
      continue;
    }
    std::ifstream stream(file.path());
    Module module(file.path().filename().string(), {std::istreambuf_iterator<char>(stream), {}});
    for (const std::string& name : module.kernel_names()) {
      EXPECT_NO_THROW(module.kernel(name));
      ++kernels;
    }
  }
  EXPECT_GT(kernels, 100);
}

/// What subtract() says with `from` replaced by `to` in its PTX.
std::string outcome_of_subtract(const fs::path& folder, const std::string& from, const std::string& to) {
  const fs::path copy = fs::path(testing::TempDir()) / ("ptx" + std::to_string(::getpid()));
  fs::create_directories(copy);
  std::ifstream stream(folder / "subtract.ptx");
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  std::ofstream(copy / "subtract.ptx") << text;
  std::string outcome;
  {
    Runner runner(copy, "");
    kernels::use_cuda_backend(&kernels::cuda_backend());
    emulation::run_kernels_by(&runner);
    constexpr kernels::Device device{kernels::DeviceType::cuda, 0};
    constexpr int64_t size = 37;
    kernels::Stream stream_of_device(device);
    const kernels::Buffer<float> a(size, device), b(size, device), out(size, device);
    const std::vector<float> ones(size, 1.0F), threes(size, 3.0F);
    kernels::upload<float>(stream_of_device, threes, a.view());
    kernels::upload<float>(stream_of_device, ones, b.view());
    kernels::subtract(stream_of_device, {.a = a.view(), .b = b.view(), .out = out.view()});
    try {
      stream_of_device.synchronise();
      const std::vector<float> result = kernels::to_host(stream_of_device, out.view());
      outcome = std::all_of(result.begin(), result.end(), [](float x) { return x == 2.0F; }) ? "right" : "wrong";
    } catch (const kernels::DeviceError& error) {
      outcome = error.what();
    }
    emulation::run_kernels_by(nullptr);
  }
  kernels::use_cuda_backend(nullptr);
  fs::remove_all(copy);
  return outcome;
}

TEST_F(KernelsPtx, AWrongInstructionIsFound) {
  EXPECT_EQ(outcome_of_subtract(folder_, "sub.f32", "sub.f32"), "right");
  EXPECT_THAT(outcome_of_subtract(folder_, "sub.f32", "add.f32"), HasSubstr("from the emulation, where 0"));
  EXPECT_THAT(outcome_of_subtract(folder_, "sub.f32", "sub.ftz.f32"), HasSubstr("sub.ftz.f32 is not known"));
}

}  // namespace
}  // namespace evenflow::ptx
