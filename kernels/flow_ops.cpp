#include "kernels/flow_ops.h"

#include <string>

#include "kernels/backend.h"
#include "kernels/check.h"
#include "kernels/trace.h"

namespace evenflow::kernels {
namespace {

template <class T>
std::string text(const MapView<T>& m) {
  return "[" + std::to_string(m.n) + ", " + std::to_string(m.c) + ", " + std::to_string(m.h) + ", " +
         std::to_string(m.w) + "]";
}

template <class A, class B>
void check_same(const char* operation, const MapView<A>& a, const MapView<B>& b) {
  if (!same_shape(a, b)) throw ShapeError(std::string(operation) + ": shapes differ, " + text(a) + " and " + text(b));
}

template <class T>
void check_size(const char* operation, const char* what, const Array<T>& a, int64_t size) {
  if (a.size != size) {
    throw ShapeError(std::string(operation) + ": " + what + " has " + std::to_string(a.size) + " elements, expected " +
                     std::to_string(size));
  }
}

template <class T>
void check_at_least(const char* operation, const char* what, const Array<T>& a, int64_t size) {
  if (a.size < size) {
    throw ShapeError(std::string(operation) + ": " + what + " has room for " + std::to_string(a.size) +
                     ", needed are " + std::to_string(size));
  }
}

void check_squeeze(const char* operation, ConstMap fine, ConstMap coarse) {
  if (fine.h % 2 != 0 || fine.w % 2 != 0 || coarse.n != fine.n || coarse.c != 4 * fine.c || coarse.h != fine.h / 2 ||
      coarse.w != fine.w / 2) {
    throw ShapeError(std::string(operation) + ": expected [n, c, h, w] with even h, w and [n, 4c, h/2, w/2], got " +
                     text(fine) + " and " + text(coarse));
  }
}

template <class P>
void check_actnorm(const char* operation, ConstMap x, const P& p) {
  check_size(operation, "bias", p.bias, x.c);
  check_size(operation, "log_scale", p.log_scale, x.c);
}

int64_t check_plu(const char* operation, const PluParameters& p) {
  const int64_t c = p.log_s.size;
  check_size(operation, "permutation", p.permutation, c);
  check_size(operation, "lower", p.lower, c * c);
  check_size(operation, "upper", p.upper, c * c);
  check_size(operation, "sign", p.sign, c);
  return c;
}

int64_t square_side(const char* operation, int64_t size) {
  int64_t c = 0;
  while (c * c < size) ++c;
  if (c * c != size)
    throw ShapeError(std::string(operation) + ": a weight of " + std::to_string(size) + " is not square");
  return c;
}

void check_coupling_shape(const char* operation, const CouplingShape& s) {
  if (s.channels < 2 || s.channels % 2 != 0 || s.hidden < 1 || s.height < 1 || s.width < 1) {
    throw ShapeError(std::string(operation) +
                     ": expected an even number of channels and positive sizes, got channels " +
                     std::to_string(s.channels) + ", hidden " + std::to_string(s.hidden) + ", " +
                     std::to_string(s.height) + " x " + std::to_string(s.width));
  }
}

template <class P>
void check_coupling_parameters(const char* operation, const CouplingShape& s, const P& p) {
  const int64_t half = s.channels / 2;
  check_size(operation, "conv1.weight", p.conv1_weight, s.hidden * half * 9);
  check_size(operation, "conv1.bias", p.conv1_bias, s.hidden);
  check_size(operation, "conv2.weight", p.conv2_weight, s.hidden * s.hidden);
  check_size(operation, "conv2.bias", p.conv2_bias, s.hidden);
  check_size(operation, "conv3.weight", p.conv3_weight, s.channels * s.hidden * 9);
  check_size(operation, "conv3.bias", p.conv3_bias, s.channels);
  check_size(operation, "log_gain", p.log_gain, s.channels);
}

void check_coupling_map(const char* operation, const CouplingShape& s, ConstMap x) {
  if (x.c != s.channels || x.h != s.height || x.w != s.width) {
    throw ShapeError(std::string(operation) + ": expected maps of " + std::to_string(s.channels) + " channels, " +
                     std::to_string(s.height) + " x " + std::to_string(s.width) + ", got " + text(x));
  }
}

}  // namespace

void squeeze(Stream& stream, ConstMap x, Map y) {
  check_squeeze("squeeze", x, y);
  const TraceRange range(stream, "squeeze");
  backend_of(stream.device()).squeeze(stream, x, y);
}

void unsqueeze(Stream& stream, ConstMap y, Map x) {
  check_squeeze("unsqueeze", x, y);
  const TraceRange range(stream, "unsqueeze");
  backend_of(stream.device()).unsqueeze(stream, y, x);
}

void actnorm_forward(Stream& stream, ConstMap x, const ActnormParameters& p, Map y) {
  check_same("actnorm_forward", x, y);
  check_actnorm("actnorm_forward", x, p);
  const TraceRange range(stream, "actnorm_forward");
  backend_of(stream.device()).actnorm_forward(stream, x, p, y);
}

void actnorm_inverse(Stream& stream, ConstMap y, const ActnormParameters& p, Map x) {
  check_same("actnorm_inverse", y, x);
  check_actnorm("actnorm_inverse", y, p);
  const TraceRange range(stream, "actnorm_inverse");
  backend_of(stream.device()).actnorm_inverse(stream, y, p, x);
}

void actnorm_backward(Stream& stream, ConstMap y, ConstMap dy, const ActnormParameters& p, Map dx,
                      const ActnormGradients& d) {
  check_same("actnorm_backward", y, dy);
  check_same("actnorm_backward", y, dx);
  check_actnorm("actnorm_backward", y, p);
  check_actnorm("actnorm_backward", y, d);
  const TraceRange range(stream, "actnorm_backward");
  backend_of(stream.device()).actnorm_backward(stream, y, dy, p, dx, d);
}

void actnorm_initialise(Stream& stream, ConstMap x, Array<float> bias, Array<float> log_scale) {
  check_size("actnorm_initialise", "bias", bias, x.c);
  check_size("actnorm_initialise", "log_scale", log_scale, x.c);
  check(x.n * x.pixels() > 0, "actnorm_initialise", "at least one pixel");
  const TraceRange range(stream, "actnorm_initialise");
  backend_of(stream.device()).actnorm_initialise(stream, x, bias, log_scale);
}

void constant_log_det(Stream& stream, std::span<const LogDetTerm> terms, Array<const double> invconv_log_det,
                      Array<double> total) {
  check_size("constant_log_det", "invconv_log_det", invconv_log_det, static_cast<int64_t>(terms.size()));
  check_size("constant_log_det", "total", total, 1);
  const TraceRange range(stream, "constant_log_det");
  backend_of(stream.device()).constant_log_det(stream, terms, invconv_log_det, total);
}

void actnorm_log_det_backward(Stream& stream, std::span<const LogDetGradient> terms) {
  const TraceRange range(stream, "actnorm_log_det_backward");
  backend_of(stream.device()).actnorm_log_det_backward(stream, terms);
}

void invconv_assemble_plu(Stream& stream, std::span<const PluAssembly> steps, Array<double> log_det) {
  check_size("invconv_assemble_plu", "log_det", log_det, static_cast<int64_t>(steps.size()));
  for (const PluAssembly& step : steps) {
    const int64_t c = check_plu("invconv_assemble_plu", step.p);
    check_size("invconv_assemble_plu", "weight", step.weight, c * c);
    check_size("invconv_assemble_plu", "inverse", step.inverse, c * c);
  }
  const TraceRange range(stream, "invconv_assemble_plu");
  backend_of(stream.device()).invconv_assemble_plu(stream, steps, log_det);
}

void invconv_assemble_dense(Stream& stream, std::span<const DenseAssembly> steps, Array<double> log_det) {
  check_size("invconv_assemble_dense", "log_det", log_det, static_cast<int64_t>(steps.size()));
  for (const DenseAssembly& step : steps) {
    square_side("invconv_assemble_dense", step.weight.size);
    check_size("invconv_assemble_dense", "inverse", step.inverse, step.weight.size);
  }
  const TraceRange range(stream, "invconv_assemble_dense");
  backend_of(stream.device()).invconv_assemble_dense(stream, steps, log_det);
}

void invconv_plu_backward(Stream& stream, std::span<const PluBackward> steps) {
  for (const PluBackward& step : steps) {
    const int64_t c = check_plu("invconv_plu_backward", step.p);
    check_size("invconv_plu_backward", "dweight", step.dweight, c * c);
    check_size("invconv_plu_backward", "d lower", step.d.lower, c * c);
    check_size("invconv_plu_backward", "d upper", step.d.upper, c * c);
    check_size("invconv_plu_backward", "d log_s", step.d.log_s, c);
  }
  const TraceRange range(stream, "invconv_plu_backward");
  backend_of(stream.device()).invconv_plu_backward(stream, steps);
}

void invconv_dense_backward(Stream& stream, std::span<const DenseBackward> steps) {
  for (const DenseBackward& step : steps) {
    square_side("invconv_dense_backward", step.inverse.size);
    check_size("invconv_dense_backward", "dweight", step.dweight, step.inverse.size);
    check_size("invconv_dense_backward", "d", step.d, step.inverse.size);
  }
  const TraceRange range(stream, "invconv_dense_backward");
  backend_of(stream.device()).invconv_dense_backward(stream, steps);
}

void invconv_apply(Stream& stream, ConstMap x, Array<const float> weight, Map y) {
  check_same("invconv_apply", x, y);
  check_size("invconv_apply", "weight", weight, x.c * x.c);
  check(x.data != y.data, "invconv_apply", "an output that is not its input");
  const TraceRange range(stream, "invconv_apply");
  backend_of(stream.device()).invconv_apply(stream, x, weight, y);
}

void invconv_backward(Stream& stream, ConstMap x, ConstMap dy, Array<const float> weight, Map dx,
                      Array<float> dweight) {
  check_same("invconv_backward", x, dy);
  check_same("invconv_backward", x, dx);
  check_size("invconv_backward", "weight", weight, x.c * x.c);
  check_size("invconv_backward", "dweight", dweight, x.c * x.c);
  check(dy.data != dx.data, "invconv_backward", "a dx that is not dy");
  const TraceRange range(stream, "invconv_backward");
  backend_of(stream.device()).invconv_backward(stream, x, dy, weight, dx, dweight);
}

int64_t coupling_packed_floats(Device device, const CouplingShape& shape) {
  check_coupling_shape("coupling_packed_floats", shape);
  return backend_of(device).coupling_packed_floats(shape);
}

int64_t coupling_saved_floats(Device device, const CouplingShape& shape) {
  check_coupling_shape("coupling_saved_floats", shape);
  return backend_of(device).coupling_saved_floats(shape);
}

int64_t coupling_workspace_floats(Device device, const CouplingShape& shape, int64_t n) {
  check_coupling_shape("coupling_workspace_floats", shape);
  return backend_of(device).coupling_workspace_floats(shape, n);
}

void coupling_pack(Stream& stream, std::span<const CouplingPack> steps) {
  for (const CouplingPack& step : steps) {
    check_coupling_shape("coupling_pack", step.shape);
    check_coupling_parameters("coupling_pack", step.shape, step.p);
    check_size("coupling_pack", "packed", step.packed, coupling_packed_floats(stream.device(), step.shape));
  }
  const TraceRange range(stream, "coupling_pack");
  backend_of(stream.device()).coupling_pack(stream, steps);
}

void coupling_forward(Stream& stream, const CouplingShape& shape, ConstMap x, Array<const float> packed, Map y,
                      Array<double> log_det, Array<float> saved, Array<float> workspace) {
  check_coupling_map("coupling_forward", shape, x);
  check_same("coupling_forward", x, y);
  check_size("coupling_forward", "packed", packed, coupling_packed_floats(stream.device(), shape));
  check_at_least("coupling_forward", "log_det", log_det, x.n);
  if (saved.size != 0) {
    check_at_least("coupling_forward", "saved", saved, x.n * coupling_saved_floats(stream.device(), shape));
  }
  check_at_least("coupling_forward", "workspace", workspace, coupling_workspace_floats(stream.device(), shape, x.n));
  const TraceRange range(stream, "coupling_forward");
  backend_of(stream.device()).coupling_forward(stream, shape, x, packed, y, log_det, saved, workspace);
}

void coupling_inverse(Stream& stream, const CouplingShape& shape, ConstMap y, Array<const float> packed, Map x,
                      Array<float> workspace) {
  check_coupling_map("coupling_inverse", shape, y);
  check_same("coupling_inverse", y, x);
  check_size("coupling_inverse", "packed", packed, coupling_packed_floats(stream.device(), shape));
  check_at_least("coupling_inverse", "workspace", workspace, coupling_workspace_floats(stream.device(), shape, y.n));
  const TraceRange range(stream, "coupling_inverse");
  backend_of(stream.device()).coupling_inverse(stream, shape, y, packed, x, workspace);
}

void coupling_backward(Stream& stream, const CouplingShape& shape, ConstMap x, ConstMap dy, Array<const float> packed,
                       Array<const float> saved, double log_det_gradient, Map dx, const CouplingGradients& d,
                       Array<float> workspace) {
  check_coupling_map("coupling_backward", shape, x);
  check_same("coupling_backward", x, dy);
  check_same("coupling_backward", x, dx);
  check_coupling_parameters("coupling_backward", shape, d);
  check_size("coupling_backward", "packed", packed, coupling_packed_floats(stream.device(), shape));
  check_at_least("coupling_backward", "saved", saved, x.n * coupling_saved_floats(stream.device(), shape));
  check_at_least("coupling_backward", "workspace", workspace, coupling_workspace_floats(stream.device(), shape, x.n));
  const TraceRange range(stream, "coupling_backward");
  backend_of(stream.device())
      .coupling_backward(stream, shape, x, dy, packed, saved, log_det_gradient, dx, d, workspace);
}

void gaussian_moments(Stream& stream, ConstMap z, Array<double> sum, Array<double> centred_squares) {
  check_at_least("gaussian_moments", "sum", sum, z.n);
  check_at_least("gaussian_moments", "centred_squares", centred_squares, z.n);
  const TraceRange range(stream, "gaussian_moments");
  backend_of(stream.device()).gaussian_moments(stream, z, sum, centred_squares);
}

void gaussian_squares(Stream& stream, ConstMap z, Array<double> squares) {
  check_at_least("gaussian_squares", "squares", squares, z.n);
  const TraceRange range(stream, "gaussian_squares");
  backend_of(stream.device()).gaussian_squares(stream, z, squares);
}

void gaussian_backward(Stream& stream, ConstMap z, Array<const double> shift, double scale, Map dz) {
  check_same("gaussian_backward", z, dz);
  check_at_least("gaussian_backward", "shift", shift, z.n);
  const TraceRange range(stream, "gaussian_backward");
  backend_of(stream.device()).gaussian_backward(stream, z, shift, scale, dz);
}

}  // namespace evenflow::kernels
