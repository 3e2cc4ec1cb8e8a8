#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace evenflow::reference {
namespace {

size_t index(int64_t i) {
  return static_cast<size_t>(i);
}

struct Gain {
  double g, log_g, slope;  // slope: d log g / d s
};

Gain gain_of(Coupling kind, double s) {
  if (kind == Coupling::additive) {
    return {1.0, 0.0, 0.0};
  }
  if (kind == Coupling::sigmoid) {
    const double u = s + 2.0;
    const double log_g = u < 0 ? u - std::log1p(std::exp(u)) : -std::log1p(std::exp(-u));
    return {std::exp(log_g), log_g, 1.0 / (1.0 + std::exp(u))};
  }
  const double t = std::tanh(s / 2.0);
  return {std::exp(2.0 * t), 2.0 * t, 1.0 - t * t};
}

Maps relu(Maps a) {
  for (double& value : a.values) {
    value = std::max(value, 0.0);
  }
  return a;
}

struct ConvBackward {
  Maps dx;
  Vector dweight, dbias;
};

ConvBackward convolve_backward(const Maps& x, const Vector& weight, const Maps& dy, int64_t taps) {
  const int64_t reach = taps / 2;
  ConvBackward out{.dx = Maps(x.n, x.c, x.h, x.w), .dweight = Vector(weight.size()), .dbias = Vector(index(dy.c))};
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t o = 0; o < dy.c; ++o) {
      const double* d = dy.plane(n, o);
      for (int64_t p = 0; p < dy.pixels(); ++p) {
        out.dbias[index(o)] += d[p];
      }
      for (int64_t i = 0; i < x.c; ++i) {
        const double* in = x.plane(n, i);
        double* din = out.dx.plane(n, i);
        for (int64_t ky = 0; ky < taps; ++ky) {
          for (int64_t kx = 0; kx < taps; ++kx) {
            const size_t at = index(((o * x.c + i) * taps + ky) * taps + kx);
            const double w = weight[at];
            double sum = 0;
            for (int64_t y = 0; y < x.h; ++y) {
              const int64_t from_y = y + ky - reach;
              if (from_y < 0 || from_y >= x.h) {
                continue;
              }
              for (int64_t column = 0; column < x.w; ++column) {
                const int64_t from_x = column + kx - reach;
                if (from_x < 0 || from_x >= x.w) {
                  continue;
                }
                const double g = d[y * x.w + column];
                sum += g * in[from_y * x.w + from_x];
                din[from_y * x.w + from_x] += g * w;
              }
            }
            out.dweight[at] += sum;
          }
        }
      }
    }
  }
  return out;
}

Maps gated(Maps d, const Maps& h) {
  for (size_t i = 0; i < d.values.size(); ++i) {
    if (!(h.values[i] > 0)) {
      d.values[i] = 0;
    }
  }
  return d;
}

}  // namespace

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

Vector absolute(const Vector& a) {
  Vector out(a.size());
  std::transform(a.begin(), a.end(), out.begin(), [](double value) { return std::abs(value); });
  return out;
}

Maps absolute(const Maps& a) {
  Maps out = a;
  out.values = absolute(a.values);
  return out;
}

Maps channels(const Maps& x, int64_t first, int64_t count) {
  Maps out(x.n, count, x.h, x.w);
  for (int64_t n = 0; n < x.n; ++n) {
    std::copy_n(x.plane(n, first), count * x.pixels(), out.plane(n, 0));
  }
  return out;
}

Maps squeeze(const Maps& x) {
  Maps y(x.n, 4 * x.c, x.h / 2, x.w / 2);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < x.c; ++c) {
      for (int64_t row = 0; row < x.h; ++row) {
        for (int64_t column = 0; column < x.w; ++column) {
          y(n, 4 * c + 2 * (row % 2) + column % 2, row / 2, column / 2) = x(n, c, row, column);
        }
      }
    }
  }
  return y;
}

Maps unsqueeze(const Maps& y) {
  Maps x(y.n, y.c / 4, 2 * y.h, 2 * y.w);
  for (int64_t n = 0; n < y.n; ++n) {
    for (int64_t c = 0; c < y.c; ++c) {
      for (int64_t row = 0; row < y.h; ++row) {
        for (int64_t column = 0; column < y.w; ++column) {
          x(n, c / 4, 2 * row + c % 4 / 2, 2 * column + c % 2) = y(n, c, row, column);
        }
      }
    }
  }
  return x;
}

Maps actnorm_forward(const Maps& x, const Vector& bias, const Vector& log_scale) {
  Maps y = x;
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < x.c; ++c) {
      for (int64_t p = 0; p < x.pixels(); ++p) {
        y.plane(n, c)[p] = (x.plane(n, c)[p] + bias[index(c)]) * std::exp(log_scale[index(c)]);
      }
    }
  }
  return y;
}

Maps actnorm_inverse(const Maps& y, const Vector& bias, const Vector& log_scale) {
  Maps x = y;
  for (int64_t n = 0; n < y.n; ++n) {
    for (int64_t c = 0; c < y.c; ++c) {
      for (int64_t p = 0; p < y.pixels(); ++p) {
        x.plane(n, c)[p] = y.plane(n, c)[p] * std::exp(-log_scale[index(c)]) - bias[index(c)];
      }
    }
  }
  return x;
}

ActnormBackward actnorm_backward(const Maps& x, const Maps& dy, const Vector& bias, const Vector& log_scale) {
  ActnormBackward out{.dx = dy, .dbias = Vector(bias.size()), .dlog_scale = Vector(bias.size())};
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < x.c; ++c) {
      const double scale = std::exp(log_scale[index(c)]);
      for (int64_t p = 0; p < x.pixels(); ++p) {
        const double g = dy.plane(n, c)[p];
        out.dx.plane(n, c)[p] = g * scale;
        out.dbias[index(c)] += g * scale;
        out.dlog_scale[index(c)] += g * (x.plane(n, c)[p] + bias[index(c)]) * scale;
      }
    }
  }
  return out;
}

ActnormInitial actnorm_initialise(const Maps& x) {
  ActnormInitial out;
  const double count = static_cast<double>(x.n * x.pixels());
  for (int64_t c = 0; c < x.c; ++c) {
    double mean = 0;
    for (int64_t n = 0; n < x.n; ++n) {
      for (int64_t p = 0; p < x.pixels(); ++p) {
        mean += x.plane(n, c)[p] / count;
      }
    }
    double variance = 0;
    for (int64_t n = 0; n < x.n; ++n) {
      for (int64_t p = 0; p < x.pixels(); ++p) {
        variance += (x.plane(n, c)[p] - mean) * (x.plane(n, c)[p] - mean);
      }
    }
    const double std = std::sqrt(variance / count);
    out.bias.push_back(-mean);
    out.log_scale.push_back(-std::log((std < 1e-3 ? 1e-3 : std) + 1e-6));
  }
  return out;
}

Vector multiply(const Vector& a, const Vector& b, int64_t c) {
  Vector out(index(c * c));
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t k = 0; k < c; ++k) {
      for (int64_t j = 0; j < c; ++j) {
        out[index(i * c + j)] += a[index(i * c + k)] * b[index(k * c + j)];
      }
    }
  }
  return out;
}

Vector transpose(const Vector& a, int64_t c) {
  Vector out(a.size());
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      out[index(j * c + i)] = a[index(i * c + j)];
    }
  }
  return out;
}

Inverse invert(const Vector& matrix, int64_t c) {
  Vector a = matrix;
  Vector right(a.size());
  for (int64_t i = 0; i < c; ++i) {
    right[index(i * c + i)] = 1.0;
  }
  std::vector<int64_t> column_of(index(c));
  for (int64_t i = 0; i < c; ++i) {
    column_of[index(i)] = i;
  }
  Inverse out;
  for (int64_t k = 0; k < c; ++k) {
    int64_t row = k;
    int64_t column = k;
    for (int64_t i = k; i < c; ++i) {
      for (int64_t j = k; j < c; ++j) {
        if (std::abs(a[index(i * c + j)]) > std::abs(a[index(row * c + column)])) {
          row = i;
          column = j;
        }
      }
    }
    for (int64_t j = 0; j < c; ++j) {
      std::swap(a[index(k * c + j)], a[index(row * c + j)]);
      std::swap(right[index(k * c + j)], right[index(row * c + j)]);
    }
    for (int64_t i = 0; i < c; ++i) {
      std::swap(a[index(i * c + k)], a[index(i * c + column)]);
    }
    std::swap(column_of[index(k)], column_of[index(column)]);
    const double pivot = a[index(k * c + k)];
    out.log_det += std::log(std::abs(pivot));
    for (int64_t j = 0; j < c; ++j) {
      a[index(k * c + j)] /= pivot;
      right[index(k * c + j)] /= pivot;
    }
    for (int64_t i = 0; i < c; ++i) {
      if (i == k) {
        continue;
      }
      const double factor = a[index(i * c + k)];
      for (int64_t j = 0; j < c; ++j) {
        a[index(i * c + j)] -= factor * a[index(k * c + j)];
        right[index(i * c + j)] -= factor * right[index(k * c + j)];
      }
    }
  }
  out.inverse = Vector(a.size());
  for (int64_t k = 0; k < c; ++k) {
    for (int64_t j = 0; j < c; ++j) {
      out.inverse[index(column_of[index(k)] * c + j)] = right[index(k * c + j)];
    }
  }
  return out;
}

namespace {

Vector unit_lower(const Plu& p) {
  const int64_t c = p.channels();
  Vector out(index(c * c));
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      out[index(i * c + j)] = p.lower[index(i * c + j)];
    }
    out[index(i * c + i)] = 1.0;
  }
  return out;
}

Vector whole_upper(const Plu& p) {
  const int64_t c = p.channels();
  Vector out(index(c * c));
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = i + 1; j < c; ++j) {
      out[index(i * c + j)] = p.upper[index(i * c + j)];
    }
    out[index(i * c + i)] = p.sign[index(i)] * std::exp(p.log_s[index(i)]);
  }
  return out;
}

}  // namespace

Vector plu_weight(const Plu& p) {
  const int64_t c = p.channels();
  const Vector a = multiply(unit_lower(p), whole_upper(p), c);
  Vector out(a.size());
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      out[index(i * c + j)] = a[index(p.permutation[index(i)] * c + j)];
    }
  }
  return out;
}

PluBackward plu_backward(const Plu& p, const Vector& dweight, double log_det_gradient) {
  const int64_t c = p.channels();
  Vector da(dweight.size());
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      da[index(p.permutation[index(i)] * c + j)] += dweight[index(i * c + j)];
    }
  }
  // A = L U: dL = dA U^T, dU = L^T dA.
  const Vector dl = multiply(da, transpose(whole_upper(p), c), c);
  const Vector du = multiply(transpose(unit_lower(p), c), da, c);
  PluBackward out{.dlower = Vector(da.size()), .dupper = Vector(da.size()), .dlog_s = Vector(index(c))};
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      const size_t at = index(i * c + j);
      if (j < i) {
        out.dlower[at] = dl[at];
      }
      if (j > i) {
        out.dupper[at] = du[at];
      }
      if (j == i) {
        out.dlog_s[index(i)] = du[at] * p.sign[index(i)] * std::exp(p.log_s[index(i)]) + log_det_gradient;
      }
    }
  }
  return out;
}

Vector dense_backward(const Vector& weight, int64_t c, const Vector& dweight, double log_det_gradient) {
  const Vector inverse = invert(weight, c).inverse;
  Vector out = dweight;
  for (int64_t i = 0; i < c; ++i) {
    for (int64_t j = 0; j < c; ++j) {
      out[index(i * c + j)] += log_det_gradient * inverse[index(j * c + i)];
    }
  }
  return out;
}

Maps invconv_apply(const Maps& x, const Vector& weight) {
  Maps y(x.n, x.c, x.h, x.w);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t i = 0; i < x.c; ++i) {
      for (int64_t j = 0; j < x.c; ++j) {
        for (int64_t p = 0; p < x.pixels(); ++p) {
          y.plane(n, i)[p] += weight[index(i * x.c + j)] * x.plane(n, j)[p];
        }
      }
    }
  }
  return y;
}

InvconvBackward invconv_backward(const Maps& x, const Maps& dy, const Vector& weight) {
  InvconvBackward out{.dx = Maps(x.n, x.c, x.h, x.w), .dweight = Vector(weight.size())};
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t i = 0; i < x.c; ++i) {
      for (int64_t j = 0; j < x.c; ++j) {
        const size_t at = index(i * x.c + j);
        for (int64_t p = 0; p < x.pixels(); ++p) {
          out.dx.plane(n, j)[p] += weight[at] * dy.plane(n, i)[p];
          out.dweight[at] += dy.plane(n, i)[p] * x.plane(n, j)[p];
        }
      }
    }
  }
  return out;
}

std::vector<Vector*> tensors_of(CouplingWeights& w) {
  return {&w.conv1_weight, &w.conv1_bias, &w.conv2_weight, &w.conv2_bias, &w.conv3_weight, &w.conv3_bias, &w.log_gain};
}

CouplingWeights absolute(const CouplingWeights& weights) {
  CouplingWeights out = weights;
  for (Vector* tensor : tensors_of(out)) {
    *tensor = absolute(*tensor);
  }
  return out;
}

Maps convolve(const Maps& x, const Vector& weight, const Vector& bias, int64_t taps) {
  const int64_t outputs = static_cast<int64_t>(bias.size());
  const int64_t reach = taps / 2;
  Maps y(x.n, outputs, x.h, x.w);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      double* out = y.plane(n, o);
      std::fill_n(out, y.pixels(), bias[index(o)]);
      for (int64_t i = 0; i < x.c; ++i) {
        const double* in = x.plane(n, i);
        for (int64_t ky = 0; ky < taps; ++ky) {
          for (int64_t kx = 0; kx < taps; ++kx) {
            const double w = weight[index(((o * x.c + i) * taps + ky) * taps + kx)];
            for (int64_t row = 0; row < x.h; ++row) {
              const int64_t from_y = row + ky - reach;
              if (from_y < 0 || from_y >= x.h) {
                continue;
              }
              for (int64_t column = 0; column < x.w; ++column) {
                const int64_t from_x = column + kx - reach;
                if (from_x >= 0 && from_x < x.w) {
                  out[row * x.w + column] += w * in[from_y * x.w + from_x];
                }
              }
            }
          }
        }
      }
    }
  }
  return y;
}

CouplingForward coupling_forward(Coupling kind, const CouplingWeights& p, const Maps& x) {
  const int64_t half = x.c / 2;
  CouplingForward f;
  f.h1 = relu(convolve(channels(x, 0, half), p.conv1_weight, p.conv1_bias, 3));
  f.h2 = relu(convolve(f.h1, p.conv2_weight, p.conv2_bias, 1));
  Maps h3 = convolve(f.h2, p.conv3_weight, p.conv3_bias, 3);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < h3.c; ++c) {
      for (int64_t i = 0; i < x.pixels(); ++i) {
        h3.plane(n, c)[i] *= std::exp(3.0 * p.log_gain[index(c)]);
      }
    }
  }
  const int64_t shift_at = p.outputs() - half;
  f.raw = shift_at > 0 ? channels(h3, 0, half) : Maps(x.n, half, x.h, x.w);
  f.shift = channels(h3, shift_at, half);
  f.gain = f.log_gain = f.raw;
  f.y = x;
  f.log_det = Vector(index(x.n));
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < half; ++c) {
      for (int64_t i = 0; i < x.pixels(); ++i) {
        const Gain g = gain_of(kind, f.raw.plane(n, c)[i]);
        f.gain.plane(n, c)[i] = g.g;
        f.log_gain.plane(n, c)[i] = g.log_g;
        f.y.plane(n, half + c)[i] = (x.plane(n, half + c)[i] + f.shift.plane(n, c)[i]) * g.g;
        f.log_det[index(n)] += g.log_g;
      }
    }
  }
  return f;
}

Maps coupling_inverse(Coupling kind, const CouplingWeights& p, const Maps& y) {
  const int64_t half = y.c / 2;
  const CouplingForward f = coupling_forward(kind, p, y);  // only its network counts: it sees y_a = x_a
  Maps x = y;
  for (int64_t n = 0; n < y.n; ++n) {
    for (int64_t c = 0; c < half; ++c) {
      for (int64_t i = 0; i < y.pixels(); ++i) {
        x.plane(n, half + c)[i] = y.plane(n, half + c)[i] / f.gain.plane(n, c)[i] - f.shift.plane(n, c)[i];
      }
    }
  }
  return x;
}

NetworkBackward network_backward(const CouplingWeights& p, const Maps& xa, const Maps& h1, const Maps& h2,
                                 const Maps& dh3) {
  ConvBackward third = convolve_backward(h2, p.conv3_weight, dh3, 3);
  ConvBackward second = convolve_backward(h1, p.conv2_weight, gated(third.dx, h2), 1);
  ConvBackward first = convolve_backward(xa, p.conv1_weight, gated(second.dx, h1), 3);
  NetworkBackward out;
  out.dxa = std::move(first.dx);
  out.d = {.conv1_weight = std::move(first.dweight),
           .conv1_bias = std::move(first.dbias),
           .conv2_weight = std::move(second.dweight),
           .conv2_bias = std::move(second.dbias),
           .conv3_weight = std::move(third.dweight),
           .conv3_bias = std::move(third.dbias),
           .log_gain = {}};
  return out;
}

CouplingBackward coupling_backward(Coupling kind, const CouplingWeights& p, const Maps& x, const Maps& dy,
                                   double log_det_gradient) {
  const int64_t half = x.c / 2;
  const CouplingForward f = coupling_forward(kind, p, x);
  CouplingBackward out;
  out.dx = dy;
  Vector dlog_gain(index(p.outputs()));
  Maps dh3(x.n, p.outputs(), x.h, x.w);
  const int64_t shift_at = p.outputs() - half;
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t c = 0; c < half; ++c) {
      for (int64_t i = 0; i < x.pixels(); ++i) {
        const double s = f.raw.plane(n, c)[i];
        const double t = f.shift.plane(n, c)[i];
        const Gain g = gain_of(kind, s);
        const double dyb = dy.plane(n, half + c)[i];
        const double ds = (dyb * f.y.plane(n, half + c)[i] + log_det_gradient) * g.slope;
        const double dt = dyb * g.g;
        out.dx.plane(n, half + c)[i] = dyb * g.g;
        if (kind != Coupling::additive) {
          dh3.plane(n, c)[i] = ds * std::exp(3.0 * p.log_gain[index(c)]);
          dlog_gain[index(c)] += 3.0 * ds * s;
        }
        dh3.plane(n, shift_at + c)[i] = dt * std::exp(3.0 * p.log_gain[index(shift_at + c)]);
        dlog_gain[index(shift_at + c)] += 3.0 * dt * t;
      }
    }
  }
  NetworkBackward network = network_backward(p, channels(x, 0, half), f.h1, f.h2, dh3);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t i = 0; i < half * x.pixels(); ++i) {
      out.dx.plane(n, 0)[i] += network.dxa.plane(n, 0)[i];
    }
  }
  out.d = std::move(network.d);
  out.d.log_gain = std::move(dlog_gain);
  return out;
}

Moments gaussian_moments(const Maps& z) {
  Moments out;
  const int64_t count = z.c * z.pixels();
  for (int64_t n = 0; n < z.n; ++n) {
    const double* first = z.plane(n, 0);
    // Wider than float64: the squares of floats about their own mean share their last bits, so that rounding does not
    // average out in one long float64 sum.
    long double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      sum += first[i];
    }
    const long double mean = sum / static_cast<long double>(count);
    long double squares = 0;
    for (int64_t i = 0; i < count; ++i) {
      squares += (first[i] - mean) * (first[i] - mean);
    }
    out.sum.push_back(static_cast<double>(sum));
    out.centred_squares.push_back(static_cast<double>(squares));
  }
  return out;
}

void adam_update(const AdamSettings& a, int64_t step, const Vector& gradient, Vector& parameter, Vector& m, Vector& v) {
  const double t = static_cast<double>(step);
  for (size_t i = 0; i < parameter.size(); ++i) {
    const double g = a.gradient_scale * gradient[i];
    m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
    v[i] = a.beta2 * v[i] + (1 - a.beta2) * g * g;
    const double m_hat = m[i] / (1 - std::pow(a.beta1, t));
    const double v_hat = v[i] / (1 - std::pow(a.beta2, t));
    parameter[i] -= a.learning_rate * m_hat / (std::sqrt(v_hat) + a.epsilon);
  }
}

Vector sum_rows(const Vector& in, int64_t rows) {
  const size_t columns = in.size() / index(rows);
  Vector out(columns);
  for (size_t i = 0; i < in.size(); ++i) {
    out[i % columns] += in[i];
  }
  return out;
}

double squared_norm(const Vector& x) {
  return dot(x, x);
}

Maps gather_windows(const Vector& frames, const std::vector<int64_t>& start, const Vector& mean,
                    const Vector& inverse_std, int64_t width) {
  const int64_t bands = static_cast<int64_t>(mean.size());
  Maps x(static_cast<int64_t>(start.size()), 1, bands, width);
  for (int64_t n = 0; n < x.n; ++n) {
    for (int64_t band = 0; band < bands; ++band) {
      for (int64_t frame = 0; frame < width; ++frame) {
        x(n, 0, band, frame) =
            (frames[index((start[index(n)] + frame) * bands + band)] - mean[index(band)]) * inverse_std[index(band)];
      }
    }
  }
  return x;
}

}  // namespace evenflow::reference
