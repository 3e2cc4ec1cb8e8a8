#include "flow/latent.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/gaussian.h"

namespace evenflow::flow {
namespace {

using kernels::Array;
using kernels::half_log_2pi;

/// log N(z; mean, 1) summed over n elements, from their sum and their squares about their own mean.
double log_normal(double n, double sum, double centred_squares, double mean) {
  const double off = sum / n - mean;
  return -n * half_log_2pi - 0.5 * (centred_squares + n * off * off);
}

/// Of one window, in nats: the parts of its likelihood.
struct LatentTerms {
  double log_det, log_p_zc;
  double log_p_centred;  // of zd about its own mean, parameter by parameter
  double log_p_zd;       // v integrated out
  double log_p_given_v;  // NaN where a value is unknown
};

const std::vector<ScoreOf<LatentTerms>>& latent_score_list() {
  static const std::vector<ScoreOf<LatentTerms>> list = {
      {{"score_zc", "How unlikely the sound is apart from what the operating point explains"},
       [](const LatentTerms& t) { return -t.log_p_zc; }},
      {{"score_zc_logdet", "The same, with the flow's change of volume"},
       [](const LatentTerms& t) { return -t.log_p_zc - t.log_det; }},
      {{"score_scatter", "How unlikely the latents are when the operating point's are measured about their own mean"},
       [](const LatentTerms& t) { return -t.log_p_zc - t.log_p_centred; }},
      {{"nll", "How unlikely the sound is at whatever operating point explains it, among those of the training"},
       [](const LatentTerms& t) { return -(t.log_p_zc + t.log_p_zd + t.log_det); }},
      {{.name = "nll_given_v",
        .meaning = "How unlikely the sound is at the operating point that the clip is said to have",
        .needs_parameters = true},
       [](const LatentTerms& t) { return -(t.log_p_zc + t.log_p_given_v + t.log_det); }}};
  return list;
}

}  // namespace

const std::vector<Score>& latent_scores() {
  static const std::vector<Score> scores = scores_of(latent_score_list());
  return scores;
}

const std::vector<std::string>& latent_terms() {
  static const std::vector<std::string> terms = {"log_det", "log_p_zc"};
  return terms;
}

struct LatentPrior::Moments {
  Array<double> zc_squares;    // [m]
  Array<double> sum, centred;  // [groups][m]
  Array<double> zeros;         // [m]
  Array<double> shift;         // [groups][m]
};

LatentPrior::LatentPrior(const GlowShape& shape, const io::ConditionData& condition, kernels::Device device)
    : condition_(condition), shape_(shape) {
  groups_ = std::max<int64_t>(1, parameters());
  const int64_t zd_channels = shape.channels(shape.blocks - 1) / 2;
  if (zd_channels % groups_ != 0) {
    throw io::UsageError(
        fmt::format("the {} channels of zd cannot be dealt evenly to {} parameters ({}); change model.blocks or "
                    "condition.parameters",
                    zd_channels, groups_, fmt::join(condition.names, ", ")));
  }
  group_channels_ = zd_channels / groups_;
  group_elements_ = group_channels_ * shape.block_height(shape.blocks - 1) * shape.block_width(shape.blocks - 1);
  std::vector<kernels::LatentGroup> priors(static_cast<size_t>(groups_));
  for (size_t p = 0; p < condition.names.size(); ++p) {
    priors[p] = {condition.k[p], condition.v0[p], condition.mean[p], condition.std[p]};
  }
  kernels::Stream stream(device);
  group_priors_ = kernels::Buffer<kernels::LatentGroup>(groups_, device);
  kernels::upload<kernels::LatentGroup>(stream, priors, group_priors_.view());
}

kernels::Map LatentPrior::group(GlowPass& pass, int64_t index) const {
  return pass.zd().channels(index * group_channels_, group_channels_);
}

LatentPrior::Moments LatentPrior::moments(kernels::Stream& stream, GlowPass& pass) const {
  const int64_t m = pass.active_;
  const Array<double> scratch = pass.latent_scratch_.view();
  int64_t at = 0;
  const auto take = [&](int64_t count) {
    at += count;
    return scratch.slice(at - count, count);
  };
  const Moments moments{.zc_squares = take(m),
                        .sum = take(groups_ * m),
                        .centred = take(groups_ * m),
                        .zeros = take(m),
                        .shift = take(groups_ * m)};
  kernels::zero(stream, scratch.slice(0, at));
  for (int b = 0; b < shape_.blocks; ++b) {
    kernels::gaussian_squares(stream, {.z = pass.zc(b), .squares = moments.zc_squares});
  }
  for (int64_t g = 0; g < groups_; ++g) {
    kernels::gaussian_moments(
        stream,
        {.z = group(pass, g), .sum = moments.sum.slice(g * m, m), .centred_squares = moments.centred.slice(g * m, m)});
  }
  return moments;
}

void LatentPrior::score(kernels::Stream& stream, GlowPass& pass, Array<const double> constant_log_det,
                        std::span<const double> v, WindowScores& out, int64_t first) const {
  const Moments moments = this->moments(stream, pass);
  const int64_t m = pass.active_;
  // Squares, sums and centred squares lie one behind the other.
  const std::vector<double> sums = kernels::to_host(
      stream, Array<const double>{moments.zc_squares.data, m * (1 + 2 * groups_), moments.zc_squares.device});
  const std::vector<double> coupling_log_det = kernels::to_host(stream, pass.coupling_log_det());
  const std::vector<double> constant = kernels::to_host(stream, constant_log_det);
  const double n = static_cast<double>(group_elements_);
  const double zc_elements = static_cast<double>(shape_.dimensions() - groups_ * group_elements_);
  const bool constrained = parameters() > 0;
  for (int64_t i = 0; i < m; ++i) {
    LatentTerms terms{.log_det = constant[0] + coupling_log_det[static_cast<size_t>(i)],
                      .log_p_zc = -zc_elements * half_log_2pi - 0.5 * sums[static_cast<size_t>(i)],
                      .log_p_centred = 0,
                      .log_p_zd = 0,
                      .log_p_given_v = 0};
    const std::span<double> estimate = out.estimates[first + i];
    for (int64_t g = 0; g < groups_; ++g) {
      const double sum = sums[static_cast<size_t>((1 + g) * m + i)];
      const double centred = sums[static_cast<size_t>((1 + groups_ + g) * m + i)];
      terms.log_p_centred += log_normal(n, sum, centred, sum / n);
      if (!constrained) {
        terms.log_p_zd = terms.log_p_given_v = log_normal(n, sum, centred, 0.0);
        continue;
      }
      const size_t p = static_cast<size_t>(g);
      const double k = condition_.k[p];
      const double spread = 1.0 + n * k * k * condition_.std[p] * condition_.std[p];
      const double off = sum / n - k * (condition_.mean[p] - condition_.v0[p]);
      terms.log_p_zd += -n * half_log_2pi - 0.5 * std::log(spread) - 0.5 * (centred + n * off * off / spread);
      const double value =
          v.empty() ? std::numeric_limits<double>::quiet_NaN() : v[static_cast<size_t>(i * parameters() + g)];
      terms.log_p_given_v += log_normal(n, sum, centred, k * (value - condition_.v0[p]));  // NaN stays NaN
      estimate[p] = sum / n / k + condition_.v0[p];
    }
    fill_scores(latent_score_list(), terms, out.scores[first + i]);
    const std::array<double, 2> shown = {terms.log_det, terms.log_p_zc};
    std::copy(shown.begin(), shown.end(), out.terms[first + i].begin());
  }
}

void LatentPrior::loss(kernels::Stream& stream, GlowPass& pass, Array<const double> constant_log_det,
                       Array<const double> v, double scale, Array<double> nll) const {
  const Moments moments = this->moments(stream, pass);
  const int64_t m = pass.active_;
  kernels::latent_loss(stream, {.zc_elements = shape_.dimensions() - groups_ * group_elements_,
                                .group_elements = group_elements_,
                                .groups = group_priors_.view(),
                                .zc_squares = moments.zc_squares,
                                .zd_sum = moments.sum,
                                .zd_centred = moments.centred,
                                .coupling_log_det = pass.coupling_log_det(),
                                .constant_log_det = constant_log_det,
                                .v = v,
                                .nll = nll,
                                .shift = moments.shift});
  for (int b = 0; b < shape_.blocks; ++b) {
    kernels::gaussian_backward(stream, {.z = pass.zc(b), .shift = moments.zeros, .scale = scale, .dz = pass.dzc(b)});
  }
  for (int64_t g = 0; g < groups_; ++g) {
    kernels::gaussian_backward(stream, {.z = group(pass, g),
                                        .shift = moments.shift.slice(g * m, m),
                                        .scale = scale,
                                        .dz = pass.dzd().channels(g * group_channels_, group_channels_)});
  }
}

namespace {

/// Why zd cannot carry a parameter of such training values; empty if it can.
std::string fault_of(double k, double v0, double std, double low, double high) {
  constexpr double most = 256.0, least = 1.0 / 4096.0;
  // Squares of both enter the marginal likelihood.
  if (!std::isnormal(k * k)) {
    return fmt::format("the square of k is {:g}", k * k);
  }
  if (!std::isnormal(std * std)) {
    return fmt::format("the variance of its values is {:g}", std * std);
  }
  if (!std::isfinite(v0)) {
    return "v0 is not finite";
  }
  const double first = k * (low - v0), last = k * (high - v0);
  if (!(std::abs(first) <= most && std::abs(last) <= most)) {
    return fmt::format("k (v - v0) may be {:g} at most, beyond which it drowns the likelihood", most);
  }
  if (!(low == high || std::abs(last - first) >= least)) {
    return fmt::format("k (v - v0) must differ by {:g} or more (float32)", least);
  }
  return {};
}

}  // namespace

void require_condition(const io::ConditionData& condition) {
  for (size_t p = 0; p < condition.names.size(); ++p) {
    const double k = condition.k[p], v0 = condition.v0[p];
    const bool known = p < condition.training_values.size() && !condition.training_values[p].empty();
    const double low = known ? condition.training_values[p].front() : v0;
    const double high = known ? condition.training_values[p].back() : v0;
    const std::string fault = fault_of(k, v0, condition.std[p], low, high);
    if (fault.empty()) {
      continue;
    }
    throw io::DataError(fmt::format(
        "parameter {} runs from {:g} to {:g} in the training clips, and k = {:g} with v0 = {:g} cannot carry it: {}; "
        "give the parameter in another unit, or another condition.k or condition.v0",
        condition.names[p], low, high, k, v0, fault));
  }
}

io::ConditionData fit_condition(const io::ConditionSettings& settings, const std::vector<std::string>& names,
                                const std::vector<std::vector<double>>& values) {
  io::ConditionData data;
  if (!settings.enabled) {
    return data;
  }
  data.names = settings.parameters.empty() ? names : settings.parameters;
  const auto check_count = [&](const std::vector<double>& given, const char* key) {
    if (!given.empty() && given.size() != data.names.size()) {
      throw io::UsageError(fmt::format("condition.{} has {} values for {} parameters ({}); give one each", key,
                                       given.size(), data.names.size(), fmt::join(data.names, ", ")));
    }
  };
  check_count(settings.k, "k");
  check_count(settings.v0, "v0");
  if (std::any_of(settings.k.begin(), settings.k.end(), [](double k) { return k == 0.0 || !std::isfinite(k); })) {
    throw io::UsageError("condition.k has a value that is zero or not finite; zd could not carry that parameter");
  }
  for (size_t p = 0; p < data.names.size(); ++p) {
    const auto column = std::find(names.begin(), names.end(), data.names[p]);
    if (column == names.end()) {
      throw io::UsageError(fmt::format("condition.parameters names '{}', but the data have {}", data.names[p],
                                       names.empty() ? "no parameter" : fmt::format("{}", fmt::join(names, ", "))));
    }
    const size_t c = static_cast<size_t>(column - names.begin());
    std::set<double> distinct;
    double sum = 0;
    double count = 0;
    for (const std::vector<double>& row : values) {
      if (std::isnan(row[c])) {
        continue;
      }
      distinct.insert(row[c]);
      sum += row[c];
      ++count;
    }
    if (distinct.size() < 2) {
      throw io::DataError(
          fmt::format("parameter {} has {} distinct value(s) in the training clips, and it takes at least two to learn "
                      "it; add clips, or leave it out of condition.parameters",
                      data.names[p], distinct.size()));
    }
    const double mean = sum / count;
    double squares = 0;
    for (const std::vector<double>& row : values) {
      if (!std::isnan(row[c])) {
        squares += (row[c] - mean) * (row[c] - mean);
      }
    }
    constexpr double span = 6.0;  // k (v - v0) from about -3 to 3
    data.mean.push_back(mean);
    data.std.push_back(std::sqrt(squares / count));
    data.v0.push_back(settings.v0.empty() ? mean : settings.v0[p]);
    data.k.push_back(settings.k.empty() ? span / (*distinct.rbegin() - *distinct.begin()) : settings.k[p]);
    data.training_values.emplace_back(distinct.begin(), distinct.end());
  }
  require_condition(data);
  return data;
}

}  // namespace evenflow::flow
