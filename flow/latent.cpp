#include "flow/latent.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

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

namespace {

size_t categories_of(const io::ConditionData& condition, size_t p) {
  return condition.is_category(p) ? condition.categories[p].size() : 1;
}

/// The elements of one parameter's run of zd, in windows of `width` frames.
int64_t elements_of_parameter(const GlowShape& shape, size_t parameters, int64_t width) {
  const int last = shape.blocks - 1;
  return shape.channels(last) / 2 / static_cast<int64_t>(parameters) * shape.block_height(last) *
         (width >> shape.blocks);
}

/// Into how many runs each of the parameters' own is dealt.
std::vector<int64_t> parts_of(const io::ConditionData& condition) {
  std::vector<int64_t> parts;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    parts.push_back(static_cast<int64_t>(categories_of(condition, p)));
  }
  return parts;
}

/// The lengths of a window nearest to the shape's that fit, below and above: "48 or 72"; empty where none up to
/// `longest` does.
template <class Fits>
std::string nearest_widths(const GlowShape& shape, const Fits& fits) {
  const int64_t step = int64_t{1} << shape.blocks;
  int64_t above = shape.width + step, below = shape.width - step;
  // Some multiple of every number of categories is even; names of many categories may need an absurd one.
  constexpr int64_t longest = 4096;
  while (above <= longest && !fits(above)) {
    above += step;
  }
  while (below > 0 && !fits(below)) {
    below -= step;
  }
  std::string sizes = below > 0 ? std::to_string(below) : "";
  if (above <= longest) {
    sizes += (sizes.empty() ? "" : " or ") + std::to_string(above);
  }
  return sizes;
}

std::string uneven(const io::ConditionData& condition, size_t p, int64_t elements) {
  return fmt::format("the {} elements of zd for {} cannot be dealt evenly to its {} categories ({})", elements,
                     condition.names[p], condition.categories[p].size(), fmt::join(condition.categories[p], ", "));
}

}  // namespace

std::vector<LatentRun> deal_latents(const GlowShape& shape, const io::ConditionData& condition) {
  const auto parameters = std::max<size_t>(1, condition.names.size());
  const int64_t zd_channels = shape.channels(shape.blocks - 1) / 2;
  if (zd_channels % static_cast<int64_t>(parameters) != 0) {
    throw io::UsageError(
        fmt::format("the {} channels of zd cannot be dealt evenly to {} parameters ({}); change model.blocks or "
                    "condition.parameters",
                    zd_channels, parameters, fmt::join(condition.names, ", ")));
  }
  const int64_t elements = elements_of_parameter(shape, parameters, shape.width);
  std::vector<LatentRun> runs;
  for (size_t p = 0; p < parameters; ++p) {
    const auto parts = static_cast<int64_t>(categories_of(condition, p));
    if (parts > most_latent_groups) {
      throw io::UsageError(
          fmt::format("{} has {} categories, and zd carries {} at most; leave it out of "
                      "condition.parameters",
                      condition.names[p], parts, most_latent_groups));
    }
    if (elements % parts != 0) {
      const std::vector<int64_t> all = parts_of(condition);
      const std::string widths = nearest_widths(shape, [&](int64_t width) {
        const int64_t own = elements_of_parameter(shape, parameters, width);
        return own > 0 && std::all_of(all.begin(), all.end(), [&](int64_t n) { return own % n == 0; });
      });
      throw io::UsageError(
          fmt::format("{}; {}leave it out of condition.parameters", uneven(condition, p, elements),
                      widths.empty() ? "" : fmt::format("set window.window_frames to {}, or ", widths)));
    }
    for (int64_t c = 0; c < parts; ++c) {
      const int64_t count = elements / parts;
      runs.push_back({static_cast<int64_t>(p) * elements + c * count, count, p, condition.is_category(p) ? c : -1});
    }
  }
  if (static_cast<int64_t>(runs.size()) > most_latent_groups) {
    throw io::UsageError(
        fmt::format("the parameters ({}) have {} numbers and categories together, and zd carries {} at most; leave "
                    "the names of many categories out of condition.parameters",
                    fmt::join(condition.names, ", "), runs.size(), most_latent_groups));
  }
  return runs;
}

namespace {

/// The places of the parameters that are kept in windows of `width` frames.
std::vector<size_t> kept_parameters(const GlowShape& shape, const io::ConditionData& condition, int64_t width) {
  const std::vector<int64_t> parts = parts_of(condition);
  const int64_t channels = shape.channels(shape.blocks - 1) / 2;
  std::vector<size_t> kept;
  // Fewer parameters have longer runs: one may deal evenly to categories to which more do not.
  for (size_t count = parts.size(); count > 0 && kept.empty(); --count) {
    const int64_t elements = elements_of_parameter(shape, count, width);
    if (channels % static_cast<int64_t>(count) != 0 || elements == 0) {
      continue;
    }
    int64_t runs = 0;
    for (const bool name : {false, true}) {
      for (size_t p = 0; p < parts.size(); ++p) {
        if (condition.is_category(p) == name && elements % parts[p] == 0 && kept.size() < count &&
            runs + parts[p] <= most_latent_groups) {
          kept.push_back(p);
          runs += parts[p];
        }
      }
    }
    if (kept.size() < count) {
      kept.clear();
    }
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

bool is_among(const std::vector<size_t>& kept, size_t p) {
  return std::find(kept.begin(), kept.end(), p) != kept.end();
}

}  // namespace

CarriedParameters carried_by_zd(const GlowShape& shape, const io::ConditionData& condition) {
  CarriedParameters out{kept_parameters(shape, condition, shape.width), {}};
  const int64_t among = std::max<int64_t>(1, static_cast<int64_t>(out.kept.size()));
  const int64_t elements = elements_of_parameter(shape, static_cast<size_t>(among), shape.width);
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (is_among(out.kept, p)) {
      continue;
    }
    const auto parts = static_cast<int64_t>(categories_of(condition, p));
    const std::string widths =
        nearest_widths(shape, [&](int64_t width) { return is_among(kept_parameters(shape, condition, width), p); });
    std::string reason =
        parts > most_latent_groups
            ? fmt::format("it has {} categories, and zd carries {} at most", parts, most_latent_groups)
        : elements % parts != 0
            ? uneven(condition, p, elements)
            : fmt::format(
                  "zd carries {} of {} parameters, to which its {} channels can be dealt evenly; name others "
                  "in condition.parameters if it shall be others",
                  out.kept.size(), condition.names.size(), shape.channels(shape.blocks - 1) / 2);
    if (!widths.empty()) {
      reason += fmt::format("; with window.window_frames {} they can", widths);
    }
    out.left_out.push_back(fmt::format("{} is left out: {}", condition.names[p], reason));
  }
  return out;
}

LatentPrior::LatentPrior(const GlowShape& shape, const io::ConditionData& condition, kernels::Device device)
    : condition_(condition),
      runs_(deal_latents(shape, condition)),
      groups_(static_cast<int64_t>(runs_.size())),
      parameter_elements_(elements_of_parameter(shape, std::max<size_t>(1, condition.names.size()), shape.width)),
      shape_(shape) {
  for (const LatentRun& run : runs_) {
    const size_t p = run.parameter;
    kernels::LatentGroup prior;
    if (parameters() > 0) {
      prior = {.k = condition.k[p], .v0 = condition.v0[p], .mean = condition.mean[p], .std = condition.std[p]};
    }
    if (run.category >= 0) {
      prior.log_frequency = std::log(condition.frequency[p][static_cast<size_t>(run.category)]);
      prior.categories = static_cast<int64_t>(condition.categories[p].size());
    }
    priors_.push_back(prior);
  }
  kernels::Stream stream(device);
  group_priors_ = kernels::Buffer<kernels::LatentGroup>(groups_, device);
  kernels::upload<kernels::LatentGroup>(stream, priors_, group_priors_.view());
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
  for (size_t g = 0; g < runs_.size(); g += parts(g)) {
    const auto first = static_cast<int64_t>(g) * m, count = static_cast<int64_t>(parts(g)) * m;
    kernels::gaussian_moments(stream, {.z = runs_from(pass.zd(), g),
                                       .sum = moments.sum.slice(first, count),
                                       .centred_squares = moments.centred.slice(first, count),
                                       .by_channel = true});
  }
  return moments;
}

/// Of one window: what its likelihood is so far, and the sums over zd's runs.
struct LatentPrior::Found {
  LatentTerms& terms;
  std::vector<double> sum, centred;  // [groups]
};

void LatentPrior::add_number(size_t run, const Found& found, double v, std::span<double> estimate) const {
  const auto n = static_cast<double>(runs_[run].count);
  const double sum = found.sum[run], centred = found.centred[run];
  found.terms.log_p_centred += log_normal(n, sum, centred, sum / n);
  if (parameters() == 0) {
    found.terms.log_p_zd = found.terms.log_p_given_v = log_normal(n, sum, centred, 0.0);
    return;
  }
  const kernels::LatentGroup& prior = priors_[run];
  const double spread = 1.0 + n * prior.k * prior.k * prior.std * prior.std;
  const double off = sum / n - prior.k * (prior.mean - prior.v0);
  found.terms.log_p_zd += -n * half_log_2pi - 0.5 * std::log(spread) - 0.5 * (centred + n * off * off / spread);
  found.terms.log_p_given_v += log_normal(n, sum, centred, prior.k * (v - prior.v0));  // NaN stays NaN
  estimate[runs_[run].parameter] = sum / n / prior.k + prior.v0;
}

void LatentPrior::add_name(size_t run, const Found& found, double v, std::span<double> estimate,
                           std::span<double> posterior, std::span<double> membership) const {
  const kernels::LatentGroup* priors = &priors_[run];
  const auto n = static_cast<double>(runs_[run].count);
  const double *sum = &found.sum[run], *centred = &found.centred[run];
  for (size_t c = 0; c < posterior.size(); ++c) {
    found.terms.log_p_centred += log_normal(n, sum[c], centred[c], sum[c] / n);
  }
  std::array<double, most_latent_groups> unused{};
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  found.terms.log_p_zd -= kernels::category_likelihood(priors, n, sum, centred, 1, unknown, unused.data());
  found.terms.log_p_given_v -= kernels::category_of(v, priors->categories) < 0
                                   ? unknown
                                   : kernels::category_likelihood(priors, n, sum, centred, 1, v, unused.data());
  const kernels::CategoryEvidence evidence = kernels::category_evidence(priors, sum, 1);
  estimate[runs_[run].parameter] = std::isnan(evidence.total) ? unknown : static_cast<double>(evidence.likeliest);
  for (size_t c = 0; c < posterior.size(); ++c) {
    posterior[c] = std::exp(kernels::category_evidence(priors[c], sum[c]) - evidence.top) / evidence.total;
    membership[c] = sum[c] / n / priors[c].k;
  }
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
  const double zc_elements = static_cast<double>(zc_size());
  for (int64_t i = 0; i < m; ++i) {
    LatentTerms terms{.log_det = constant[0] + coupling_log_det[static_cast<size_t>(i)],
                      .log_p_zc = -zc_elements * half_log_2pi - 0.5 * sums[static_cast<size_t>(i)],
                      .log_p_centred = 0,
                      .log_p_zd = 0,
                      .log_p_given_v = 0};
    Found found{terms, {}, {}};
    for (int64_t g = 0; g < groups_; ++g) {
      found.sum.push_back(sums[static_cast<size_t>((1 + g) * m + i)]);
      found.centred.push_back(sums[static_cast<size_t>((1 + groups_ + g) * m + i)]);
    }
    size_t category = 0;
    for (size_t g = 0; g < runs_.size();) {
      const auto p = static_cast<int64_t>(runs_[g].parameter);
      const double value =
          v.empty() ? std::numeric_limits<double>::quiet_NaN() : v[static_cast<size_t>(i * parameters() + p)];
      if (runs_[g].category < 0) {
        add_number(g++, found, value, out.estimates[first + i]);
        continue;
      }
      const auto count = static_cast<size_t>(priors_[g].categories);
      add_name(g, found, value, out.estimates[first + i], out.posteriors[first + i].subspan(category, count),
               out.memberships[first + i].subspan(category, count));
      category += count;
      g += count;
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
  kernels::latent_loss(stream, {.zc_elements = zc_size(),
                                .group_elements = parameter_elements_,
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
  for (size_t g = 0; g < runs_.size(); g += parts(g)) {
    kernels::gaussian_backward(
        stream, {.z = runs_from(pass.zd(), g),
                 .shift = moments.shift.slice(static_cast<int64_t>(g) * m, static_cast<int64_t>(parts(g)) * m),
                 .scale = scale,
                 .dz = runs_from(pass.dzd(), g),
                 .by_channel = true});
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
    const bool name = condition.is_category(p);
    const double low = name ? 0.0 : known ? condition.training_values[p].front() : v0;
    const double high = name ? 1.0 : known ? condition.training_values[p].back() : v0;
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

namespace {

/// Of one parameter, over the training clips: each distinct value and how many clips have it.
std::map<double, int64_t> counts_of(const std::vector<std::vector<double>>& values, size_t column) {
  std::map<double, int64_t> counts;
  for (const std::vector<double>& row : values) {
    if (!std::isnan(row[column])) {
      ++counts[row[column]];
    }
  }
  return counts;
}

void require_settings(const io::ConditionSettings& settings, const std::vector<std::string>& names) {
  const auto check_count = [&](const std::vector<double>& given, const char* key) {
    if (!given.empty() && given.size() != names.size()) {
      throw io::UsageError(fmt::format("condition.{} has {} values for {} parameters ({}); give one each", key,
                                       given.size(), names.size(), fmt::join(names, ", ")));
    }
  };
  check_count(settings.k, "k");
  check_count(settings.v0, "v0");
  if (std::any_of(settings.k.begin(), settings.k.end(), [](double k) { return k == 0.0 || !std::isfinite(k); })) {
    throw io::UsageError("condition.k has a value that is zero or not finite; zd could not carry that parameter");
  }
}

constexpr double usual_span = 6.0;  // k (v - v0) from about -3 to 3; of a name, from one category's mean to another's

/// A number's k, v0 and moments, to the end of `data`. Sums in the clips' order.
void add_number(const std::vector<std::vector<double>>& values, size_t column, io::ConditionData& data) {
  double sum = 0, count = 0, squares = 0;
  for (const std::vector<double>& row : values) {
    if (!std::isnan(row[column])) {
      sum += row[column];
      ++count;
    }
  }
  const double mean = sum / count;
  for (const std::vector<double>& row : values) {
    if (!std::isnan(row[column])) {
      squares += (row[column] - mean) * (row[column] - mean);
    }
  }
  const std::vector<double>& distinct = data.training_values.back();
  data.mean.push_back(mean);
  data.std.push_back(std::sqrt(squares / count));
  data.v0.push_back(mean);
  data.k.push_back(usual_span / (distinct.back() - distinct.front()));
  data.categories.emplace_back();
  data.frequency.emplace_back();
}

/// A name's categories: those of the list that clips have, in its order.
void add_name(const std::map<double, int64_t>& counts, const std::vector<std::string>& list, io::ConditionData& data) {
  std::vector<std::string> categories;
  std::vector<double> frequency, codes;
  double all = 0, mean = 0, variance = 0;
  for (const auto& [code, count] : counts) {
    all += static_cast<double>(count);
  }
  for (const auto& [code, count] : counts) {
    codes.push_back(static_cast<double>(codes.size()));
    categories.push_back(list.at(static_cast<size_t>(code)));
    frequency.push_back(static_cast<double>(count) / all);
    mean += frequency.back() * codes.back();
  }
  for (size_t c = 0; c < codes.size(); ++c) {
    variance += frequency[c] * (codes[c] - mean) * (codes[c] - mean);
  }
  data.training_values.back() = codes;
  data.mean.push_back(mean);
  data.std.push_back(std::sqrt(variance));
  data.v0.push_back(0.0);
  data.k.push_back(usual_span);
  data.categories.push_back(categories);
  data.frequency.push_back(frequency);
}

}  // namespace

io::ConditionData fit_condition(const io::ConditionSettings& settings, const std::vector<std::string>& names,
                                const std::vector<std::vector<double>>& values, const io::Categories& categories) {
  io::ConditionData data;
  if (!settings.enabled) {
    return data;
  }
  data.names = settings.parameters.empty() ? names : io::declared_names(settings.parameters);
  require_settings(settings, data.names);
  for (size_t p = 0; p < data.names.size(); ++p) {
    const auto column = std::find(names.begin(), names.end(), data.names[p]);
    if (column == names.end()) {
      throw io::UsageError(fmt::format("condition.parameters names '{}', but the data have {}", data.names[p],
                                       names.empty() ? "no parameter" : fmt::format("{}", fmt::join(names, ", "))));
    }
    const size_t c = static_cast<size_t>(column - names.begin());
    const std::map<double, int64_t> counts = counts_of(values, c);
    if (counts.size() < 2) {
      throw io::DataError(
          fmt::format("parameter {} has {} distinct value(s) in the training clips, and it takes at least two to learn "
                      "it; add clips, or leave it out of condition.parameters",
                      data.names[p], counts.size()));
    }
    std::vector<double>& distinct = data.training_values.emplace_back();
    for (const auto& [value, count] : counts) {
      distinct.push_back(value);
    }
    const std::vector<std::string>& list = io::categories_of(categories, c);
    const bool name = !list.empty();
    if (name) {
      add_name(counts, list, data);
    } else {
      add_number(values, c, data);
    }
    if (!settings.k.empty()) {
      data.k.back() = settings.k[p];
    }
    if (name && !settings.v0.empty() && settings.v0[p] != 0.0) {
      throw io::UsageError(fmt::format("condition.v0 has {:g} for {}, which is a name: there it must be 0",
                                       settings.v0[p], data.names[p]));
    }
    if (!settings.v0.empty()) {
      data.v0.back() = settings.v0[p];
    }
  }
  require_condition(data);
  return data;
}

}  // namespace evenflow::flow
