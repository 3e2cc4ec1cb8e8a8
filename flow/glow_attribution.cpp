#include "flow/glow_attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "io/error.h"
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

  void add_zd(GlowPass& pass, const io::ConditionData& condition, const LatentsAsked& asked, ZdTerm term) {
    const Map z = pass.zd();
    std::vector<float> values = kernels::to_host(stream_, elements_of(z));
    if (term == ZdTerm::none) {
      std::fill(values.begin(), values.end(), 0.0F);
      kernels::upload<float>(stream_, values, elements_of(pass.dzd()));
      return;
    }
    Attribution::Part part = part_of("zd", shape_.blocks - 1);
    const size_t groups = std::max<size_t>(1, condition.names.size()), run = values.size() / groups;
    double squares = 0;
    for (size_t g = 0; g < groups; ++g) {
      const kernels::LatentGroup prior =
          condition.names.empty()
              ? kernels::LatentGroup{}
              : kernels::LatentGroup{condition.k[g], condition.v0[g], condition.mean[g], condition.std[g]};
      const double v = term == ZdTerm::given && !asked.v.empty() ? asked.v[g] : unknown;
      squares += add_group(std::span(values).subspan(g * run, run), {prior, v, term, g * run}, z, part);
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
  struct Group {
    kernels::LatentGroup prior;
    double v;
    ZdTerm term;
    size_t first;  ///< of its elements in zd
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

  /// Elements become their gradients. Their sum of squares about where the term measures them from.
  double add_group(std::span<float> values, const Group& group, const Map& z, Attribution::Part& part) {
    const auto n = static_cast<double>(values.size());
    double mean = 0, centred = 0, squares = 0;
    for (const float value : values) {
      mean += value / n;
    }
    for (const float value : values) {
      centred += (value - mean) * (value - mean);
    }
    const kernels::GroupLikelihood whole = kernels::group_likelihood(group.prior, n, mean, centred, group.v);
    const double shift = group.term == ZdTerm::centred ? mean : whole.shift;
    // With v integrated out, elements are measured about their own mean; what their mean itself costs has no place.
    const bool marginal = group.term == ZdTerm::marginal && group.prior.k != 0.0;
    const double from = marginal ? mean : shift;
    const double rest = marginal ? (whole.nll - n * half_log_2pi - 0.5 * centred) / n : 0.0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double off = values[i] - from;
      squares += off * off;
      place(part, z, group.first + i, half_log_2pi + 0.5 * off * off + rest);
      values[i] = static_cast<float>(values[i] - shift);
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
  if (model.condition().has_category()) {
    throw io::UsageError(
        "scores of a model that is tied to names cannot be divided among the sound's bands and frames; train one "
        "without them (condition.parameters) to explain sound");
  }
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
  shares.add_zd(pass, model.condition(), asked, form->zd);
  if (form->log_det) {
    shares.add_log_det(pass, asked.log_det);
  }
  const kernels::Buffer<float> raw(glow.raw_gradient_size(), glow.device());
  pass.backward(stream, form->log_det ? -1.0 : 0.0, raw.view());
  const kernels::ConstMap gradient = pass.input_gradient(stream);
  out.gradient = kernels::to_host(stream, Array<const float>{gradient.data, gradient.size(), gradient.device});
}

}  // namespace evenflow::flow
