#include "kernels/linear.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/operations.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace evenflow::kernels::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All three products go over panels of the input's width, so that what every row of x meets stays in the second-level
// cache, and hold a block of kRows by kColumns results in registers.
constexpr int64_t panel = 2048;
constexpr int64_t block_rows = 4;
constexpr int64_t block_columns = 4;

template <int64_t kCount>
using Count = std::integral_constant<int64_t, kCount>;

/// Calls work(first, Count<>) for blocks of kBlock and then one by one.
template <int64_t kBlock, class Work>
void in_blocks(int64_t count, const Work& work) {
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    work(i, Count<kBlock>{});
  }
  for (; i < count; ++i) {
    work(i, Count<1>{});
  }
}

/// y[r][c] += sum over k in [0, count) of x[r][k] w[c][k].
template <int64_t kRows, int64_t kColumns>
void add_dots(const float* x, const float* w, int64_t stride, int64_t count, float* y, int64_t y_stride) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kColumns];
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kColumns; ++c) {
      sum[r][c] = hn::Zero(d);
    }
  }
  int64_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    V left[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      left[r] = hn::LoadU(d, x + r * stride + k);
    }
    for (int64_t c = 0; c < kColumns; ++c) {
      const V right = hn::LoadU(d, w + c * stride + k);
      for (int64_t r = 0; r < kRows; ++r) {
        sum[r][c] = hn::MulAdd(left[r], right, sum[r][c]);
      }
    }
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kColumns; ++c) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[r][c]));
      for (int64_t rest = k; rest < count; ++rest) {
        total += x[r * stride + rest] * w[c * stride + rest];
      }
      y[r * y_stride + c] += total;
    }
  }
}

/// y [rows, columns] += x w^T over `inner` values, x [rows, inner], w [columns, inner].
void add_product_transposed(const float* x, const float* w, int64_t rows, int64_t columns, int64_t inner, float* y) {
  for (int64_t from = 0; from < inner; from += panel) {
    const int64_t count = HWY_MIN(panel, inner - from);
    in_blocks<block_columns>(columns, [&](int64_t c, auto of_columns) {
      in_blocks<block_rows>(rows, [&](int64_t r, auto of_rows) {
        add_dots<of_rows.value, of_columns.value>(x + r * inner + from, w + c * inner + from, inner, count,
                                                  y + r * columns + c, columns);
      });
    });
  }
}

/// out[r][k] (+)= sum over i in [0, inner) of a[r * row_step + i * inner_step] b[i * stride + k], k in [0, count).
template <int64_t kRows>
void combine_rows(const float* a, int64_t row_step, int64_t inner_step, int64_t inner, const float* b, int64_t stride,
                  int64_t count, bool add, float* out) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t k = 0;
  for (; k + 2 * lanes <= count; k += 2 * lanes) {
    V first[kRows], second[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      first[r] = add ? hn::LoadU(d, out + r * stride + k) : hn::Zero(d);
      second[r] = add ? hn::LoadU(d, out + r * stride + k + lanes) : hn::Zero(d);
    }
    for (int64_t i = 0; i < inner; ++i) {
      const V left = hn::LoadU(d, b + i * stride + k), right = hn::LoadU(d, b + i * stride + k + lanes);
      for (int64_t r = 0; r < kRows; ++r) {
        const V weight = hn::Set(d, a[r * row_step + i * inner_step]);
        first[r] = hn::MulAdd(weight, left, first[r]);
        second[r] = hn::MulAdd(weight, right, second[r]);
      }
    }
    for (int64_t r = 0; r < kRows; ++r) {
      hn::StoreU(first[r], d, out + r * stride + k);
      hn::StoreU(second[r], d, out + r * stride + k + lanes);
    }
  }
  for (; k < count; ++k) {
    for (int64_t r = 0; r < kRows; ++r) {
      float sum = add ? out[r * stride + k] : 0.0F;
      for (int64_t i = 0; i < inner; ++i) {
        sum += a[r * row_step + i * inner_step] * b[i * stride + k];
      }
      out[r * stride + k] = sum;
    }
  }
}

/// out [rows, width] (+)= A b, b [inner, width]; A's element (r, i) is a[r * row_step + i * inner_step].
void product(const float* a, int64_t row_step, int64_t inner_step, const float* b, int64_t rows, int64_t inner,
             int64_t width, bool add, float* out) {
  constexpr int64_t narrow = panel / 2;
  for (int64_t from = 0; from < width; from += narrow) {
    const int64_t count = HWY_MIN(narrow, width - from);
    in_blocks<block_rows>(rows, [&](int64_t r, auto of_rows) {
      combine_rows<of_rows.value>(a + r * row_step, row_step, inner_step, inner, b + from, width, count, add,
                                  out + r * width + from);
    });
  }
}

}  // namespace evenflow::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenflow::kernels::cpu {
HWY_EXPORT(add_product_transposed);
HWY_EXPORT(product);

void run(Stream&, const LinearForward& task) {
  const LinearShape& s = task.shape;
  const Array<float>& y = task.y;
  for (int64_t i = 0; i < s.n; ++i) {
    std::copy_n(task.bias.data, s.out, y.data + i * s.out);
  }
  HWY_DYNAMIC_DISPATCH(add_product_transposed)(task.x.data, task.weight.data, s.n, s.out, s.in, y.data);
  if (!s.relu) {
    return;
  }
  for (int64_t i = 0; i < y.size; ++i) {
    y[i] = y[i] < 0.0F ? 0.0F : y[i];  // NaN stays
  }
}

void run(Stream&, const LinearBackward& task) {
  const LinearShape& s = task.shape;
  const Array<float>& dy = task.dy;
  if (s.relu) {
    for (int64_t i = 0; i < dy.size; ++i) {
      dy[i] = task.y[i] <= 0.0F ? 0.0F : dy[i];
    }
  }
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t o = 0; o < s.out; ++o) {
      task.gradients.bias[o] += dy[i * s.out + o];
    }
  }
  HWY_DYNAMIC_DISPATCH(product)(dy.data, 1, s.out, task.x.data, s.out, s.n, s.in, true, task.gradients.weight.data);
  if (task.dx.size > 0) {
    HWY_DYNAMIC_DISPATCH(product)(dy.data, s.out, 1, task.weight.data, s.n, s.out, s.in, false, task.dx.data);
  }
}

}  // namespace evenflow::kernels::cpu
#endif
