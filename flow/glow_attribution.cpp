#include "flow/glow_attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "kernels/copy.h"
#include "kernels/gaussian.h"
#include "kernels/latent.h"

namespace evenflow::flow {
namespace {

using kernels::Array;
using kernels::half_log_2pi;
using kernels::Map;

/// How zd enters a score: not at all; about its own mean; v integrated out; v given.
enum class ZdTerm { none, centred, marginal, given };
struct Form {
  std::string_view score;
  bool log_det;
  ZdTerm zd;
};
/// latent_score_list's formulas, part by part.
constexpr std::array forms = {Form{"score_zc", false, ZdTerm::none}, Form{"score_zc_logdet", true, ZdTerm::none},
                              Form{"score_scatter", false, ZdTerm::centred}, Form{"nll", true, ZdTerm::marginal},
                              Form{"nll_given_v", true, ZdTerm::given}};

Array<float> elements_of(const Map& z) {
  return {z.sample(0), z.c * z.pixels(), z.device};
}

/// A latent map on its way into the shares, and its gradient on the way back.
class LatentShares {
 public:
  LatentShares(kernels::Stream& stream, const GlowShape& shape, Attribution& out)
      : stream_(stream), shape_(shape), out_(out) {}

  /// z_i: each element N(0, 1).
  void add_zc(GlowPass& pass, int block) {
    const Map z = pass.zc(block);
    const std::vector<float> values = kernels::to_host(stream_, elements_of(z));
    Attribution::Part part = part_of(fmt::format("z{}", block + 1), block);
    double squares = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double square = static_cast<double>(values[i]) * values[i];
      squares += square;
      place(part, z, i, half_log_2pi + 0.5 * square);
    }
    part.mean_square = squares / static_cast<double>(values.size());
    out_.parts.push_back(part);
    kernels::upload<float>(stream_, values, elements_of(pass.dzc(block)));
  }

  void add_zd(GlowPass& pass, const LatentPrior& prior, const LatentsAsked& asked, ZdTerm term) {
    const Map z = pass.zd();
    std::vector<float> values = kernels::to_host(stream_, elements_of(z));
    if (term == ZdTerm::none) {
      std::fill(values.begin(), values.end(), 0.0F);
      kernels::upload<float>(stream_, values, elements_of(pass.dzd()));
      return;
    }
    Attribution::Part part = part_of("zd", shape_.blocks - 1);
    double squares = 0;
    for (size_t g = 0; g < prior.runs().size();) {
      const LatentRun& run = prior.runs()[g];
      const double v = term == ZdTerm::given && !asked.v.empty() ? asked.v[run.parameter] : unknown;
      const auto parts = static_cast<size_t>(std::max<int64_t>(1, prior.groups()[g].categories));
      const auto first = static_cast<size_t>(run.first), count = static_cast<size_t>(run.count);
      const Parameter own{std::span(prior.groups()).subspan(g, parts), v, term, first};
      squares += add_parameter(std::span(values).subspan(first, parts * count), own, z, part);
      g += parts;
    }
    part.mean_square = squares / static_cast<double>(values.size());
    out_.parts.push_back(part);
    kernels::upload<float>(stream_, values, elements_of(pass.dzd()));
  }

  void add_log_det(GlowPass& pass, double log_det) {
    Attribution::Part part{.name = "log_det", .share = -log_det};
    double placed = 0;
    for (int64_t step = 0; step < pass.step_count(); ++step) {
      const int block = pass.block_of(step);
      const int64_t width = shape_.block_width(block), pixels = shape_.block_height(block) * width;
      const std::vector<double> gains = pass.log_gains(stream_, step);
      for (size_t i = 0; i < gains.size(); ++i) {
        const int64_t pixel = static_cast<int64_t>(i) % pixels;
        spread(out_.shares, shape_.width, int64_t{2} << block, pixel / width, pixel % width, -gains[i]);
        placed += gains[i];
      }
    }
    spread_evenly(out_.shares, placed - log_det);
    out_.parts.push_back(part);
  }

 private:
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  /// One that zd carries: a number has one group of elements, a name one for each category.
  struct Parameter {
    std::span<const kernels::LatentGroup> groups;
    double v;
    ZdTerm term;
    size_t first;  ///< of its elements in zd
  };
  /// Of each group's elements.
  struct Sums {
    std::vector<double> sum, mean, centred;
  };

  static Attribution::Part part_of(std::string name, int block) {
    const int64_t cell = int64_t{2} << block;
    return {.name = std::move(name), .share = 0, .mean_square = 0, .bands = cell, .frames = cell};
  }

  void place(Attribution::Part& part, const Map& z, size_t element, double share) {
    const int64_t pixel = static_cast<int64_t>(element) % z.pixels();
    spread(out_.shares, shape_.width, part.bands, pixel / z.w, pixel % z.w, share);
    part.share += share;
  }

  /// Of `groups` groups of n elements each.
  static Sums sums_of(std::span<const float> values, size_t groups, size_t n) {
    Sums sums;
    for (size_t g = 0; g < groups; ++g) {
      double sum = 0, centred = 0;
      for (const float value : values.subspan(g * n, n)) {
        sum += value;
      }
      const double mean = sum / static_cast<double>(n);
      for (const float value : values.subspan(g * n, n)) {
        centred += (value - mean) * (value - mean);
      }
      sums.sum.push_back(sum);
      sums.mean.push_back(mean);
      sums.centred.push_back(centred);
    }
    return sums;
  }

  /// The parameter's part of -log p, with what each group's gradient is measured from.
  static double likelihood(const Parameter& of, const Sums& sums, double n, std::vector<double>& shift) {
    if (of.groups.front().categories > 0) {
      return kernels::category_likelihood(of.groups.data(), n, sums.sum.data(), sums.centred.data(), 1, of.v,
                                          shift.data());
    }
    const kernels::GroupLikelihood whole =
        kernels::group_likelihood(of.groups.front(), n, sums.mean.front(), sums.centred.front(), of.v);
    shift.front() = whole.shift;
    return whole.nll;
  }

  /// Elements become their gradients. Their sum of squares about where the term measures them from.
  double add_parameter(std::span<float> values, const Parameter& of, const Map& z, Attribution::Part& part) {
    const size_t groups = of.groups.size(), count = values.size() / groups;
    const auto n = static_cast<double>(count);
    const Sums sums = sums_of(values, groups, count);
    std::vector<double> shift(groups);
    const double whole = likelihood(of, sums, n, shift);
    // With v integrated out, elements are measured about their own mean; what their means themselves cost has no place.
    const bool marginal = of.term == ZdTerm::marginal && of.groups.front().k != 0.0;
    double rest = 0.0;
    if (marginal) {
      rest = whole / static_cast<double>(values.size()) - half_log_2pi;
      for (const double centred : sums.centred) {
        rest -= 0.5 * centred / static_cast<double>(values.size());
      }
    }
    if (of.term == ZdTerm::centred) {
      shift = sums.mean;
    }
    double squares = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t g = i / count;
      const double off = values[i] - (marginal ? sums.mean[g] : shift[g]);
      squares += off * off;
      place(part, z, of.first + i, half_log_2pi + 0.5 * off * off + rest);
      values[i] = static_cast<float>(values[i] - shift[g]);
    }
    return squares;
  }

  kernels::Stream& stream_;
  const GlowShape& shape_;
  Attribution& out_;
};

}  // namespace

void attribute_latents(kernels::Stream& stream, const GlowModel& model, GlowPass& pass, const LatentsAsked& asked,
                       Attribution& out) {
  out.parts.clear();
  out.shares.clear();
  out.gradient.clear();
  const auto form = std::find_if(forms.begin(), forms.end(), [&](const Form& f) { return f.score == asked.score; });
  if (form == forms.end()) {
    return;
  }
  const Glow& glow = model.glow();
  out.shares.assign(static_cast<size_t>(model.dimensions()), 0.0);
  LatentShares shares(stream, glow.shape(), out);
  for (int block = 0; block < glow.shape().blocks; ++block) {
    shares.add_zc(pass, block);
  }
  shares.add_zd(pass, model.prior(), asked, form->zd);
  if (form->log_det) {
    shares.add_log_det(pass, asked.log_det);
  }
  const kernels::Buffer<float> raw(glow.raw_gradient_size(), glow.device());
  pass.backward(stream, form->log_det ? -1.0 : 0.0, raw.view());
  const kernels::ConstMap gradient = pass.input_gradient(stream);
  out.gradient = kernels::to_host(stream, Array<const float>{gradient.data, gradient.size(), gradient.device});
}

}  // namespace evenflow::flow
