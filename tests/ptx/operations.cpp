// Arithmetic as the PTX ISA (9.0) has it. What it leaves open is chosen here: the approximations are the exact value,
// rounded; a tile product adds its terms one after the other in float32, as tests/emulation does.
#include "tests/ptx/operations.h"

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <type_traits>

#include "tests/ptx/interpreter.h"
#include "tests/ptx/memory.h"
#include "tests/ptx/tile_products.h"

namespace evenflow::ptx {
namespace {

template <class T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, float>) {
    return Kind::f32;
  } else if constexpr (std::is_same_v<T, double>) {
    return Kind::f64;
  } else {
    return sizeof(T) == 2 ? Kind::b16 : sizeof(T) == 4 ? Kind::b32 : Kind::b64;
  }
}

/// Arithmetic in float32 makes one NaN.
template <class T>
T one_nan(T x) {
  if constexpr (std::is_same_v<T, float>) {
    return x != x ? std::bit_cast<float>(0x7fffffffU) : x;
  } else {
    return x;
  }
}

template <class D, class A, class F>
void run_unary(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<D>(in.operands[0]);
  const auto* a = warp.at<A>(in.operands[1]);
  for_lanes(mask, [=](int i) { d[i] = F{}(a[i]); });
}
template <class D, class A, class B, class F>
void run_binary(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<D>(in.operands[0]);
  const auto* a = warp.at<A>(in.operands[1]);
  const auto* b = warp.at<B>(in.operands[2]);
  for_lanes(mask, [=](int i) { d[i] = F{}(a[i], b[i]); });
}
template <class D, class A, class C, class F>
void run_ternary(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<D>(in.operands[0]);
  const auto* a = warp.at<A>(in.operands[1]);
  const auto* b = warp.at<A>(in.operands[2]);
  const auto* c = warp.at<C>(in.operands[3]);
  for_lanes(mask, [=](int i) { d[i] = F{}(a[i], b[i], c[i]); });
}

template <class D, class A = D, class F>
Form unary(F) {
  return {run_unary<D, A, F>, {kind_of<D>(), kind_of<A>()}};
}
template <class D, class A = D, class B = A, class F>
Form binary(F) {
  return {run_binary<D, A, B, F>, {kind_of<D>(), kind_of<A>(), kind_of<B>()}};
}
template <class D, class A = D, class C = D, class F>
Form ternary(F) {
  return {run_ternary<D, A, C, F>, {kind_of<D>(), kind_of<A>(), kind_of<A>(), kind_of<C>()}};
}

/// With another rounding than to nearest.
template <class T, int kRounding, class F>
void run_rounded(Warp& warp, const Instruction& in, uint32_t mask) {
  std::fesetround(kRounding);
  auto* d = warp.at<T>(in.operands[0]);
  const auto* a = warp.at<T>(in.operands[1]);
  const auto* b = warp.at<T>(in.operands[2]);
  const auto* c = warp.at<T>(in.operands[in.count - 1]);
  for (; mask != 0; mask &= mask - 1) {
    const int i = std::countr_zero(mask);
    volatile T x = a[i], y = b[i], z = c[i];  // nothing is computed before the rounding is set
    volatile T result = F{}(x, y, z);
    d[i] = one_nan(static_cast<T>(result));
  }
  std::fesetround(FE_TONEAREST);
}

template <class T, class F>
void run_comparison(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<uint32_t>(in.operands[0]);
  const auto* a = warp.at<T>(in.operands[1]);
  const auto* b = warp.at<T>(in.operands[2]);
  uint32_t bits = 0;
  for (int i = 0; i < warp_lanes; ++i) {
    bits |= static_cast<uint32_t>(F{}(a[i], b[i])) << i;
  }
  *d = (*d & ~mask) | (bits & mask);
}
template <class T, class F>
Form comparison(F) {
  return {run_comparison<T, F>, {Kind::predicate, kind_of<T>(), kind_of<T>()}};
}

template <class F>
void run_logic(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<uint32_t>(in.operands[0]);
  const uint32_t bits = F{}(*warp.at<uint32_t>(in.operands[1]), *warp.at<uint32_t>(in.operands[in.count - 1]));
  *d = (*d & ~mask) | (bits & mask);
}
template <class F>
Form logic(int operands, F) {
  return {run_logic<F>, std::vector<Kind>(static_cast<size_t>(operands), Kind::predicate)};
}

template <class T>
void select(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<T>(in.operands[0]);
  const auto* a = warp.at<T>(in.operands[1]);
  const auto* b = warp.at<T>(in.operands[2]);
  const uint32_t which = *warp.at<uint32_t>(in.operands[3]);
  for_lanes(mask, [=](int i) { d[i] = (which >> i & 1U) != 0 ? a[i] : b[i]; });
}

template <class T, bool kRemainder>
void divide(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<T>(in.operands[0]);
  const auto* a = warp.at<T>(in.operands[1]);
  const auto* b = warp.at<T>(in.operands[2]);
  for_lanes(mask, [&](int i) {
    if (b[i] == 0) {
      warp.fail(in, i, "a division by zero");
    }
    const bool wraps = std::is_signed_v<T> && b[i] == static_cast<T>(-1);
    const auto negated = static_cast<T>(std::make_unsigned_t<T>{0} - static_cast<std::make_unsigned_t<T>>(a[i]));
    if constexpr (kRemainder) {
      d[i] = wraps ? 0 : static_cast<T>(a[i] % b[i]);
    } else {
      d[i] = wraps ? negated : static_cast<T>(a[i] / b[i]);
    }
  });
}

/// Values beyond the type become its ends, NaN becomes what the ISA says.
template <class D, class A>
D to_integer(A x) {
  if (x != x) {
    return sizeof(D) == 4 && sizeof(A) == 4 ? D{0} : static_cast<D>(D{1} << (8 * sizeof(D) - 1));
  }
  constexpr auto least = std::numeric_limits<D>::min(), most = std::numeric_limits<D>::max();
  if (x >= -static_cast<A>(least)) {  // 2^31 or 2^63, exactly
    return most;
  }
  return x <= static_cast<A>(least) ? least : static_cast<D>(x);
}

float flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x;
}

/// To bf16, to nearest, ties to even.
uint32_t bf16_bits(float x) {
  constexpr unsigned dropped = 16;
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) {
    return 0x7fff;
  }
  return (bits + ((1U << (dropped - 1)) - 1) + (bits >> dropped & 1U)) >> dropped;
}

/// d, and the carry of a sum of up to 64 bits.
template <class F>
void run_carrying(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<uint32_t>(in.operands[0]);
  const auto* a = warp.at<uint32_t>(in.operands[1]);
  const auto* b = warp.at<uint32_t>(in.operands[2]);
  const auto* c = warp.at<uint32_t>(in.operands[in.count - 1]);
  for_lanes(mask, [&](int i) {
    const uint64_t carried = warp.carry >> i & 1U;
    const uint64_t sum = F{}(uint64_t{a[i]}, uint64_t{b[i]}, uint64_t{c[i]}, carried);
    d[i] = static_cast<uint32_t>(sum);
    if (F::sets) {
      warp.carry = (warp.carry & ~(1U << i)) | static_cast<uint32_t>(sum >> 32 & 1U) << i;
    }
  });
}
template <bool kUses, bool kSets>
struct Sum {
  static constexpr bool sets = kSets;
  uint64_t operator()(uint64_t a, uint64_t b, uint64_t, uint64_t carry) const { return a + b + (kUses ? carry : 0); }
};
template <bool kUses, bool kSets>  // CC.CF is what was borrowed
struct Difference {
  static constexpr bool sets = kSets;
  uint64_t operator()(uint64_t a, uint64_t b, uint64_t, uint64_t carry) const { return a - b - (kUses ? carry : 0); }
};
template <bool kHigh, bool kUses, bool kSets>
struct ProductSum {
  static constexpr bool sets = kSets;
  uint64_t operator()(uint64_t a, uint64_t b, uint64_t c, uint64_t carry) const {
    return (kHigh ? a * b >> 32 : (a * b & 0xffffffffU)) + c + (kUses ? carry : 0);
  }
};

enum class Way { butterfly, index, down, up };

template <Way kWay>
void shuffle(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<uint32_t>(in.operands[0]);
  auto* in_range = warp.at<uint32_t>(in.operands[1]);
  const auto* a = warp.at<uint32_t>(in.operands[2]);
  const auto* b = warp.at<uint32_t>(in.operands[3]);
  const auto* c = warp.at<uint32_t>(in.operands[4]);
  const auto* members = warp.at<uint32_t>(in.operands[5]);
  uint32_t values[warp_lanes];
  std::copy(a, a + warp_lanes, values);
  for_lanes(mask, [&](int i) {
    if (members[i] != mask) {
      warp.fail(in, i, "a shuffle of other lanes than those that come to it together");
    }
    const auto lane = static_cast<uint32_t>(i);
    const uint32_t segment = c[i] >> 8 & 31U, clamp = c[i] & 31U, by = b[i] & 31U;
    const uint32_t least = lane & segment, most = least | (clamp & ~segment);
    uint32_t from = 0;
    bool inside = false;
    switch (kWay) {
      case Way::butterfly:
        from = lane ^ by, inside = from <= most;
        break;
      case Way::index:
        from = least | (by & ~segment), inside = from <= most;
        break;
      case Way::down:
        from = lane + by, inside = from <= most;
        break;
      case Way::up:
        from = lane - by, inside = static_cast<int32_t>(from) >= static_cast<int32_t>(most);
        break;
    }
    from = inside ? from : lane;
    if ((mask >> from & 1U) == 0) {
      warp.fail(in, i, "a shuffle from a lane that does not take part");
    }
    d[i] = values[from];
    *in_range = (*in_range & ~(1U << i)) | static_cast<uint32_t>(inside) << i;
  });
}
template <Way kWay>
Form shuffle_form() {
  return {shuffle<kWay>, {Kind::b32, Kind::predicate, Kind::b32, Kind::b32, Kind::b32, Kind::b32}};
}

void wait_for_warp(Warp& warp, const Instruction& in, uint32_t mask) {
  const auto* members = warp.at<uint32_t>(in.operands[0]);
  for_lanes(mask, [&](int i) {
    if ((members[i] & warp.live) != mask) {
      warp.fail(in, i, "waits for other lanes of the warp than those that come here together");
    }
  });
}

/// bar.sync id {, threads}: all of a warp's lanes come together, and the id is theirs in common.
void wait_for_block(Warp& warp, const Instruction& in, uint32_t mask) {
  const auto* ids = warp.at<uint32_t>(in.operands[0]);
  for_lanes(mask, [&](int i) {
    if (mask != warp.lanes() || ids[i] != ids[std::countr_zero(mask)]) {
      warp.fail(in, i, "not all threads of a warp come to the barrier together");
    }
  });
  constexpr uint32_t barriers = 16;
  if (ids[0] >= barriers) {
    warp.fail(in, 0, "a barrier beyond the sixteen that there are");
  }
  warp.barrier = static_cast<int>(ids[0]);
  warp.barrier_threads = in.count > 1 ? *warp.at<uint32_t>(in.operands[1]) : warp.block.threads;
  if (in.count > 1 && warp.barrier_threads % warp_lanes != 0) {
    warp.fail(in, 0, "a barrier for parts of a warp");
  }
}

void wait_for_kernel_before(Warp& warp, const Instruction&, uint32_t mask) {
  warp.awaited |= mask;
}
void nothing(Warp&, const Instruction&, uint32_t) {}

template <class Whole, class Half>
void halves(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* low = warp.at<Half>(in.operands[0]);
  auto* high = warp.at<Half>(in.operands[1]);
  const auto* whole = warp.at<Whole>(in.operands[2]);
  for_lanes(mask, [=](int i) {
    const Whole value = whole[i];
    low[i] = static_cast<Half>(value);
    high[i] = static_cast<Half>(value >> (8 * sizeof(Half)));
  });
}
template <class Whole, class Half>
void join(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* whole = warp.at<Whole>(in.operands[0]);
  const auto* low = warp.at<Half>(in.operands[1]);
  const auto* high = warp.at<Half>(in.operands[2]);
  for_lanes(mask,
            [=](int i) { whole[i] = static_cast<Whole>(low[i] | static_cast<Whole>(high[i]) << (8 * sizeof(Half))); });
}

void test_finite(Warp& warp, const Instruction& in, uint32_t mask) {
  auto* d = warp.at<uint32_t>(in.operands[0]);
  const auto* a = warp.at<float>(in.operands[1]);
  for_lanes(mask, [=](int i) { *d = (*d & ~(1U << i)) | static_cast<uint32_t>(std::isfinite(a[i])) << i; });
}

using Forms = std::map<std::string, Form, std::less<>>;

void add_moves(Forms& forms) {
  const auto same = [](auto a) { return a; };
  forms["mov.u16"] = unary<uint16_t>(same);
  forms["mov.u32"] = forms["mov.b32"] = unary<uint32_t>(same);
  forms["mov.u64"] = forms["mov.b64"] = unary<uint64_t>(same);
  forms["mov.f32"] = unary<float>(same);
  forms["mov.f64"] = unary<double>(same);
  forms["mov.pred"] = logic(2, [](uint32_t a, uint32_t) { return a; });
  forms["cvta.to.global.u64"] = unary<uint64_t>(same);  // addresses are the host's
  forms["halves of mov.b32"] = {halves<uint32_t, uint16_t>, {}};
  forms["halves of mov.b64"] = {halves<uint64_t, uint32_t>, {}};
  forms["joined mov.b32"] = {join<uint32_t, uint16_t>, {}};
  forms["joined mov.b64"] = {join<uint64_t, uint32_t>, {}};
  for (const char* type : {"b32", "u32", "s32"}) {
    forms[std::string("selp.") + type] = {select<uint32_t>, {Kind::b32, Kind::b32, Kind::b32, Kind::predicate}};
  }
  for (const char* type : {"b64", "u64", "s64"}) {
    forms[std::string("selp.") + type] = {select<uint64_t>, {Kind::b64, Kind::b64, Kind::b64, Kind::predicate}};
  }
  forms["selp.u16"] = forms["selp.b16"] = {select<uint16_t>, {Kind::b16, Kind::b16, Kind::b16, Kind::predicate}};
  forms["selp.f32"] = {select<float>, {Kind::f32, Kind::f32, Kind::f32, Kind::predicate}};
  forms["selp.f64"] = {select<double>, {Kind::f64, Kind::f64, Kind::f64, Kind::predicate}};
}

template <class T>
void add_comparisons(Forms& forms, const std::string& type) {
  forms["setp.eq." + type] = comparison<T>([](T a, T b) { return a == b; });
  forms["setp.ne." + type] = comparison<T>([](T a, T b) { return a < b || a > b; });  // false with NaN
  forms["setp.lt." + type] = comparison<T>([](T a, T b) { return a < b; });
  forms["setp.le." + type] = comparison<T>([](T a, T b) { return a <= b; });
  forms["setp.gt." + type] = comparison<T>([](T a, T b) { return a > b; });
  forms["setp.ge." + type] = comparison<T>([](T a, T b) { return a >= b; });
  if constexpr (std::is_floating_point_v<T>) {  // true with NaN
    forms["setp.equ." + type] = comparison<T>([](T a, T b) { return !(a < b || a > b); });
    forms["setp.neu." + type] = comparison<T>([](T a, T b) { return a != b; });
    forms["setp.ltu." + type] = comparison<T>([](T a, T b) { return !(a >= b); });
    forms["setp.leu." + type] = comparison<T>([](T a, T b) { return !(a > b); });
    forms["setp.gtu." + type] = comparison<T>([](T a, T b) { return !(a <= b); });
    forms["setp.geu." + type] = comparison<T>([](T a, T b) { return !(a < b); });
    forms["setp.nan." + type] = comparison<T>([](T a, T b) { return a != a || b != b; });
    forms["setp.num." + type] = comparison<T>([](T a, T b) { return a == a && b == b; });
  }
}

void add_logic(Forms& forms) {
  forms["and.pred"] = logic(3, [](uint32_t a, uint32_t b) { return a & b; });
  forms["or.pred"] = logic(3, [](uint32_t a, uint32_t b) { return a | b; });
  forms["xor.pred"] = logic(3, [](uint32_t a, uint32_t b) { return a ^ b; });
  forms["not.pred"] = logic(2, [](uint32_t a, uint32_t) { return ~a; });
  const auto both = [](auto a, auto b) { return a & b; };
  const auto either = [](auto a, auto b) { return a | b; };
  const auto differ = [](auto a, auto b) { return a ^ b; };
  const auto opposite = [](auto a) { return ~a; };
  forms["and.b32"] = binary<uint32_t>(both), forms["and.b64"] = binary<uint64_t>(both);
  forms["or.b32"] = binary<uint32_t>(either), forms["or.b64"] = binary<uint64_t>(either);
  forms["xor.b32"] = binary<uint32_t>(differ), forms["xor.b64"] = binary<uint64_t>(differ);
  forms["not.b32"] = unary<uint32_t>(opposite), forms["not.b64"] = unary<uint64_t>(opposite);
  // A shift by the width or more leaves nothing, or the sign.
  const auto left = [](auto a, uint32_t by) { return by < 8 * sizeof a ? static_cast<decltype(a)>(a << by) : 0; };
  const auto right = [](auto a, uint32_t by) {
    constexpr uint32_t most = 8 * sizeof a - 1;
    return by <= most ? a >> by : std::is_signed_v<decltype(a)> ? a >> most : 0;
  };
  forms["shl.b32"] = binary<uint32_t>(left), forms["shl.b64"] = binary<uint64_t, uint64_t, uint32_t>(left);
  forms["shr.u32"] = binary<uint32_t>(right), forms["shr.u64"] = binary<uint64_t, uint64_t, uint32_t>(right);
  forms["shr.s32"] = binary<int32_t, int32_t, uint32_t>(right);
  forms["shr.s64"] = binary<int64_t, int64_t, uint32_t>(right);
  forms["clz.b64"] = unary<uint32_t, uint64_t>([](uint64_t a) { return static_cast<uint32_t>(std::countl_zero(a)); });
  forms["clz.b32"] = unary<uint32_t>([](uint32_t a) { return static_cast<uint32_t>(std::countl_zero(a)); });
  forms["bfi.b32"] = {[](Warp& warp, const Instruction& in, uint32_t mask) {
                        const auto* operands = in.operands.data();
                        for_lanes(mask, [&](int i) {
                          const auto at = [&](int n) { return warp.at<uint32_t>(operands[n])[i]; };
                          const uint32_t place = at(3) & 0xffU, length = at(4) & 0xffU;
                          const uint64_t ones = length < 32 ? (uint64_t{1} << length) - 1 : 0xffffffffU;
                          const uint64_t field = place < 32 ? ones << place : 0;
                          const uint64_t value = place < 32 ? uint64_t{at(1)} << place : 0;
                          warp.at<uint32_t>(operands[0])[i] = static_cast<uint32_t>((at(2) & ~field) | (value & field));
                        });
                      },
                      {Kind::b32, Kind::b32, Kind::b32, Kind::b32, Kind::b32}};
}

template <class T>
void add_integers_of(Forms& forms, const std::string& type) {
  using Bits = std::make_unsigned_t<T>;
  forms["add." + type] = binary<Bits>([](Bits a, Bits b) { return static_cast<Bits>(a + b); });
  forms["sub." + type] = binary<Bits>([](Bits a, Bits b) { return static_cast<Bits>(a - b); });
  forms["mul.lo." + type] = binary<Bits>([](Bits a, Bits b) { return static_cast<Bits>(a * b); });
  forms["mad.lo." + type] = ternary<Bits>([](Bits a, Bits b, Bits c) { return static_cast<Bits>(a * b + c); });
  forms["min." + type] = binary<T>([](T a, T b) { return b < a ? b : a; });
  forms["max." + type] = binary<T>([](T a, T b) { return a < b ? b : a; });
  forms["div." + type] = {divide<T, false>, {kind_of<T>(), kind_of<T>(), kind_of<T>()}};
  forms["rem." + type] = {divide<T, true>, {kind_of<T>(), kind_of<T>(), kind_of<T>()}};
  if constexpr (std::is_signed_v<T>) {
    forms["neg." + type] = unary<Bits>([](Bits a) { return static_cast<Bits>(Bits{0} - a); });
    forms["abs." + type] =
        unary<Bits>([](Bits a) { return static_cast<T>(a) < 0 ? static_cast<Bits>(Bits{0} - a) : a; });
  }
  if constexpr (sizeof(T) == 4) {
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    forms["mul.hi." + type] = binary<T>([](T a, T b) { return static_cast<T>(Wide{a} * Wide{b} >> 32); });
    forms["mul.wide." + type] = binary<Wide, T>([](T a, T b) { return Wide{a} * Wide{b}; });
    forms["mad.wide." + type] = ternary<Wide, T>([](T a, T b, Wide c) {
      return static_cast<Wide>(static_cast<uint64_t>(Wide{a} * Wide{b}) + static_cast<uint64_t>(c));
    });
  }
}

void add_carries(Forms& forms) {
  const std::vector<Kind> three(3, Kind::b32), four(4, Kind::b32);
  forms["add.cc.u32"] = {run_carrying<Sum<false, true>>, three};
  forms["addc.cc.u32"] = {run_carrying<Sum<true, true>>, three};
  forms["addc.u32"] = {run_carrying<Sum<true, false>>, three};
  forms["sub.cc.u32"] = {run_carrying<Difference<false, true>>, three};
  forms["subc.cc.u32"] = {run_carrying<Difference<true, true>>, three};
  forms["subc.u32"] = {run_carrying<Difference<true, false>>, three};
  forms["mad.lo.cc.u32"] = {run_carrying<ProductSum<false, false, true>>, four};
  forms["madc.lo.cc.u32"] = {run_carrying<ProductSum<false, true, true>>, four};
  forms["madc.hi.cc.u32"] = {run_carrying<ProductSum<true, true, true>>, four};
  forms["madc.hi.u32"] = {run_carrying<ProductSum<true, true, false>>, four};
}

template <class T>
void add_floats_of(Forms& forms, const std::string& type) {
  const auto sum = [](T a, T b) { return one_nan(a + b); };
  const auto product = [](T a, T b) { return one_nan(a * b); };
  for (const char* rounding : {"", ".rn"}) {
    forms["add" + std::string(rounding) + "." + type] = binary<T>(sum);
    forms["mul" + std::string(rounding) + "." + type] = binary<T>(product);
    forms["sub" + std::string(rounding) + "." + type] = binary<T>([](T a, T b) { return one_nan(a - b); });
  }
  forms["fma.rn." + type] = ternary<T>([](T a, T b, T c) { return one_nan(std::fma(a, b, c)); });
  forms["div.rn." + type] = binary<T>([](T a, T b) { return one_nan(a / b); });
  forms["rcp.rn." + type] = unary<T>([](T a) { return one_nan(T{1} / a); });
  forms["sqrt.rn." + type] = unary<T>([](T a) { return one_nan(std::sqrt(a)); });
  forms["neg." + type] = unary<T>([](T a) { return -a; });
  forms["abs." + type] = unary<T>([](T a) { return std::fabs(a); });
  forms["copysign." + type] = binary<T>([](T a, T b) { return std::copysign(b, a); });
  // The number, where the other is NaN; -0 is less than +0.
  forms["min." + type] = binary<T>([](T a, T b) {
    return one_nan(a != a ? b : b != b ? a : a < b || (a == b && std::signbit(a)) ? a : b);
  });
  forms["max." + type] = binary<T>([](T a, T b) {
    return one_nan(a != a ? b : b != b ? a : a > b || (a == b && !std::signbit(a)) ? a : b);
  });
}

void add_roundings(Forms& forms) {
  const auto fused = [](float a, float b, float c) { return std::fma(a, b, c); };
  const auto sum = [](float a, float b, float) { return a + b; };
  const std::vector<Kind> three(3, Kind::f32), four(4, Kind::f32);
  forms["fma.rm.f32"] = {run_rounded<float, FE_DOWNWARD, decltype(fused)>, four};
  forms["fma.rz.f32"] = {run_rounded<float, FE_TOWARDZERO, decltype(fused)>, four};
  forms["add.rz.f32"] = {run_rounded<float, FE_TOWARDZERO, decltype(sum)>, three};
  forms["add.rm.f32"] = {run_rounded<float, FE_DOWNWARD, decltype(sum)>, three};
}

void add_approximations(Forms& forms) {
  forms["ex2.approx.ftz.f32"] = unary<float>(
      [](float a) { return one_nan(flushed(static_cast<float>(std::exp2(static_cast<double>(flushed(a)))))); });
  forms["rcp.approx.ftz.f32"] = unary<float>([](float a) { return one_nan(flushed(1.0F / flushed(a))); });
  // The upper half of the result; the lower is zero.
  forms["rcp.approx.ftz.f64"] = unary<double>([](double a) {
    const auto upper = [](double x) { return std::bit_cast<double>(std::bit_cast<uint64_t>(x) >> 32 << 32); };
    const auto flush = [](double x) {
      return std::fabs(x) < std::numeric_limits<double>::min() ? std::copysign(0.0, x) : x;
    };
    return flush(upper(1.0 / flush(upper(a))));
  });
}

void add_conversions(Forms& forms) {
  forms["cvt.s64.s32"] = unary<int64_t, int32_t>([](int32_t a) { return int64_t{a}; });
  forms["cvt.s64.s32 of 64 bits"] = unary<int64_t>([](int64_t a) { return int64_t{static_cast<int32_t>(a)}; });
  forms["cvt.u64.u32"] = unary<uint64_t, uint32_t>([](uint32_t a) { return uint64_t{a}; });
  forms["cvt.u32.u64"] = unary<uint32_t, uint64_t>([](uint64_t a) { return static_cast<uint32_t>(a); });
  forms["cvt.u16.u32"] = unary<uint16_t, uint32_t>([](uint32_t a) { return static_cast<uint16_t>(a); });
  forms["cvt.u32.u16"] = unary<uint32_t, uint16_t>([](uint16_t a) { return uint32_t{a}; });
  forms["cvt.s16.s8"] = unary<int16_t, int16_t>([](int16_t a) { return int16_t{static_cast<int8_t>(a)}; });
  const auto to_float = [](auto a) { return static_cast<float>(a); };
  const auto to_double = [](auto a) { return static_cast<double>(a); };
  forms["cvt.f64.f32"] = unary<double, float>(to_double);
  forms["cvt.rn.f32.f64"] = unary<float, double>([](double a) { return one_nan(static_cast<float>(a)); });
  forms["cvt.rn.f32.s32"] = unary<float, int32_t>(to_float), forms["cvt.rn.f32.u32"] = unary<float, uint32_t>(to_float);
  forms["cvt.rn.f32.s64"] = unary<float, int64_t>(to_float),
  forms["cvt.rn.f64.s64"] = unary<double, int64_t>(to_double);
  forms["cvt.rn.f64.u64"] = unary<double, uint64_t>(to_double);
  forms["cvt.rn.f64.s32"] = unary<double, int32_t>(to_double);
  forms["cvt.rn.f64.s16"] = unary<double, int16_t>(to_double);
  forms["cvt.rzi.s32.f32"] = unary<int32_t, float>([](float a) { return to_integer<int32_t>(a); });
  forms["cvt.rzi.s64.f32"] = unary<int64_t, float>([](float a) { return to_integer<int64_t>(a); });
  forms["cvt.rzi.s32.f64"] = unary<int32_t, double>([](double a) { return to_integer<int32_t>(a); });
  forms["cvt.rzi.s64.f64"] = unary<int64_t, double>([](double a) { return to_integer<int64_t>(a); });
  forms["cvt.rni.s32.f64"] = unary<int32_t, double>([](double a) { return to_integer<int32_t>(std::nearbyint(a)); });
  forms["cvt.rzi.f64.f64"] = unary<double>([](double a) { return std::trunc(a); });
  forms["cvt.sat.f32.f32"] = unary<float>([](float a) { return a > 0 ? a < 1 ? a : 1.0F : 0.0F; });  // NaN: 0
  forms["cvt.rn.bf16x2.f32"] =
      binary<uint32_t, float>([](float high, float low) { return bf16_bits(high) << 16 | bf16_bits(low); });
}

void add_threads(Forms& forms) {
  forms["shfl.sync.bfly.b32"] = shuffle_form<Way::butterfly>();
  forms["shfl.sync.idx.b32"] = shuffle_form<Way::index>();
  forms["shfl.sync.down.b32"] = shuffle_form<Way::down>();
  forms["shfl.sync.up.b32"] = shuffle_form<Way::up>();
  forms["bar.warp.sync"] = {wait_for_warp, {Kind::b32}};
  forms["griddepcontrol.wait"] = {wait_for_kernel_before, {}};
  forms["griddepcontrol.launch_dependents"] = {nothing, {}};
  forms["cp.async.commit_group"] = {commit_copies, {}};
  forms["cp.async.wait_group"] = {wait_copies, {Kind::b32}};
  forms["testp.finite.f32"] = {test_finite, {Kind::predicate, Kind::f32}};
  const auto tile = [](Handler run, size_t inputs) {
    std::vector<Kind> operands(4, Kind::f32);
    operands.insert(operands.end(), inputs, Kind::b32);
    operands.insert(operands.end(), 4, Kind::f32);
    return Form{run, operands};
  };
  forms["mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"] = tile(multiply_tiles_tf32, 6);
  forms["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = tile(multiply_tiles_bf16, 6);
}

Forms all_forms() {
  Forms forms;
  add_moves(forms);
  add_comparisons<float>(forms, "f32");
  add_comparisons<double>(forms, "f64");
  add_comparisons<int16_t>(forms, "s16");
  add_comparisons<uint16_t>(forms, "u16");
  add_comparisons<int32_t>(forms, "s32");
  add_comparisons<uint32_t>(forms, "u32");
  add_comparisons<int64_t>(forms, "s64");
  add_comparisons<uint64_t>(forms, "u64");
  for (const char* width : {"32", "64"}) {
    for (const char* order : {"eq", "ne"}) {
      forms[std::string("setp.") + order + ".b" + width] = forms[std::string("setp.") + order + ".u" + width];
    }
  }
  add_logic(forms);
  add_integers_of<int32_t>(forms, "s32");
  add_integers_of<uint32_t>(forms, "u32");
  add_integers_of<int64_t>(forms, "s64");
  add_integers_of<uint64_t>(forms, "u64");
  add_carries(forms);
  add_floats_of<float>(forms, "f32");
  add_floats_of<double>(forms, "f64");
  add_roundings(forms);
  add_approximations(forms);
  add_conversions(forms);
  add_threads(forms);
  return forms;
}

}  // namespace

const Form* find_form(std::string_view opcode) {
  static const Forms forms = [] {
    Forms all = all_forms();
    all["bar.sync"] = {wait_for_block, {Kind::b32}, Flow::barrier};
    all["bar.sync of some"] = {wait_for_block, {Kind::b32, Kind::b32}, Flow::barrier};
    return all;
  }();
  const auto found = forms.find(opcode);
  return found == forms.end() ? nullptr : &found->second;
}

}  // namespace evenflow::ptx
