#include "train/detect/threshold.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "io/error.h"
#include "train/statistics/gamma_fit.h"
#include "train/statistics/metrics.h"
#include "train/statistics/random.h"

namespace evenflow::train {
namespace {

/// Mean and spread of a sample.
struct Moments {
  double n = 0, mean = 0, squares = 0;  // sum of squares about the mean
  explicit Moments(std::span<const double> x)
      : n(static_cast<double>(x.size())), mean(x.empty() ? 0.0 : train::mean(x)) {
    for (const double value : x) {
      squares += (value - mean) * (value - mean);
    }
  }
};

double students_quantile(double degrees, double q) {
  return boost::math::quantile(boost::math::students_t(degrees), q);
}

/// The order statistic that is the rank rule's, from 1; 0 if there are too few.
size_t rank_of(size_t n, double q) {
  const double rank = std::ceil(static_cast<double>(n + 1) * q - 1e-9);
  return rank <= static_cast<double>(n) ? static_cast<size_t>(rank) : 0;
}

double rank_bound(std::vector<double> scores, double q) {
  std::sort(scores.begin(), scores.end());
  return scores[rank_of(scores.size(), q) - 1];
}

/// The bound below which a new clip falls with probability q if scores are normal: its level is told by `level`, its
/// spread by both samples, each about its own mean.
double normal_bound(std::span<const double> level, std::span<const double> others, double q) {
  const Moments own(level), other(others);
  const double degrees = own.n - 1.0 + std::max(0.0, other.n - 1.0);
  const double spread = std::sqrt((own.squares + other.squares) / degrees);
  return own.mean + students_quantile(degrees, q) * spread * std::sqrt(1.0 + 1.0 / own.n);
}

/// Do the held-out clips score higher than chance lets them (Student's t for two samples, one-sided, at 5 %)?
bool held_out_higher(const NormalScores& normal) {
  const Moments training(normal.training), held_out(normal.held_out);
  const double degrees = training.n + held_out.n - 2.0;
  if (training.n < 2.0 || held_out.n < 1.0 || degrees < 1.0) {
    return false;
  }
  const double deviation =
      std::sqrt((training.squares + held_out.squares) / degrees * (1.0 / training.n + 1.0 / held_out.n));
  return held_out.mean - training.mean > students_quantile(degrees, 0.95) * deviation;
}

int64_t count_above(std::span<const double> scores, double bound) {
  return std::count_if(scores.begin(), scores.end(), [=](double score) { return score > bound; });
}

/// How far a millionth of noise on the scores moves the fit's quantile; infinitely where the fit then collapses.
double movement(std::span<const double> scores, double q, double value) {
  constexpr uint64_t draws = 4;
  double most = 0.0;
  for (uint64_t draw = 0; draw < draws; ++draw) {
    std::vector<double> moved(scores.begin(), scores.end());
    for (size_t i = 0; i < moved.size(); ++i) {
      const bool up = random_bits(0, draw, i) & 1U;
      moved[i] *= 1.0 + (up ? 1e-6 : -1e-6);
    }
    if (fit_gamma(moved).shape < 1.0) {
      return std::numeric_limits<double>::infinity();
    }
    most = std::max(most, std::abs(gamma_quantile(likeliest_gamma(moved), q) - value));
  }
  return most;
}

/// Why the fit of shape 1 or more is not to be used; empty if it is.
std::string fault_of(const GammaFit& fit, std::span<const double> scores, double q) {
  if (const double shape = std::min(fit.shape, fit_gamma(scores).shape); !(shape >= 1.0)) {
    return fmt::format("the gamma fit has collapsed onto the smallest score (shape {:.2g}, below 1)", shape);
  }
  constexpr double normal_shape = 1e4;
  if (fit.shape > normal_shape) {
    return "the scores are not skewed to the right as a gamma distribution is, and the fit's location has run away";
  }
  const double value = gamma_quantile(fit, q);
  const double n = static_cast<double>(scores.size());
  const int64_t above = count_above(scores, value);
  const boost::math::binomial chance(n, 1.0 - q);
  const double as_many = above == 0 ? 1.0 : boost::math::cdf(boost::math::complement(chance, above - 1));
  if (as_many < 0.025 || boost::math::cdf(chance, above) < 0.025) {
    return fmt::format("the gamma fit's own scores contradict it: {} of {} lie above it, where {:.3g} were expected",
                       above, scores.size(), n * (1.0 - q));
  }
  const double moved = movement(scores, q, value);
  const double spread = std::sqrt(Moments(scores).squares / n);
  if (!(moved <= 0.01 * spread)) {
    return fmt::format("noise of a millionth on the scores moves the gamma fit's threshold by {:.2g} of their spread",
                       moved / spread);
  }
  return "";
}

class Fitting {
 public:
  Fitting(const NormalScores& normal, const io::ScoreSettings& settings, const std::string& score_name)
      : normal_(normal), method_(settings.threshold) {
    if (method_ == io::ThresholdMethod::value && settings.score == score_name) {
      given_ = settings.threshold_value;
    }
    all_ = normal.training;
    all_.insert(all_.end(), normal.held_out.begin(), normal.held_out.end());
    q_ = settings.threshold_quantile;
  }

  FittedThreshold run() {
    require_scores();
    if (given_) {
      out_.data.method = "value";
      out_.data.value = *given_;
    } else if (held_out_higher(normal_)) {
      from_held_out();
    } else if (method_ == io::ThresholdMethod::quantile) {
      empirical();
    } else {
      gamma();
    }
    out_.data.clips = static_cast<int64_t>(all_.size());
    out_.rests_on = static_cast<int64_t>(out_.of_held_out ? normal_.held_out.size() : all_.size());
    out_.data.above = count_above(all_, out_.data.value);
    return std::move(out_);
  }

 private:
  void require_scores() const {
    if (all_.size() < 2) {
      throw io::DataError(fmt::format("{} of a normal training clip; it takes 2 or more",
                                      all_.empty() ? "no score" : "a single score"));
    }
    for (size_t i = 0; i < all_.size(); ++i) {
      if (!std::isfinite(all_[i])) {
        throw io::DataError(
            fmt::format("score {} of {} is {}; leave out or repair the clip that gave it", i, all_.size(), all_[i]));
      }
    }
    const Moments moments(all_);
    if (!(std::sqrt(moments.squares / moments.n) > 1e-12 * std::abs(moments.mean))) {
      throw io::DataError(fmt::format(
          "all {} scores are {}, which says nothing about other clips; give clips that differ", all_.size(), all_[0]));
    }
  }

  void gamma() {
    constexpr size_t least_scores = 20;
    if (all_.size() < least_scores) {
      small(fmt::format("{} scores are too few for a gamma fit, which takes {}", all_.size(), least_scores));
      return;
    }
    try {
      const GammaFit fit = likeliest_gamma(all_);
      const std::string fault = fault_of(fit, all_, q_);
      if (!fault.empty()) {
        small(fault);
        return;
      }
      take("gamma", gamma_quantile(fit, q_), "");
      out_.data.gamma = {fit.shape, fit.location, fit.scale};
    } catch (const io::DataError& error) {
      small(error.what());
    }
  }

  void empirical() {
    const std::vector<double>& from = normal_.held_out.empty() ? all_ : normal_.held_out;
    if (rank_of(from.size(), q_) > 0) {
      take("quantile", quantile(from, q_), "");
      out_.of_held_out = !normal_.held_out.empty();
    } else {
      small(fmt::format("{} {} are too few for a quantile of {:g}", from.size(),
                        normal_.held_out.empty() ? "scores" : "held-out clips", q_));
    }
  }

  void small(const std::string& why) {
    if (rank_of(all_.size(), q_) > 0) {
      take("rank", rank_bound(all_, q_), why);
    } else {
      take("normal", normal_bound(all_, {}, q_), why);
    }
  }

  void from_held_out() {
    const std::vector<double>& held_out = normal_.held_out;
    const bool ranked = rank_of(held_out.size(), q_) > 0;
    take(ranked ? "rank" : "normal", ranked ? rank_bound(held_out, q_) : normal_bound(held_out, normal_.training, q_),
         fmt::format("the held-out clip{} score{} {:.3g} higher than those trained on, by more than chance, so the "
                     "threshold comes from {} alone",
                     held_out.size() == 1 ? "" : "s", held_out.size() == 1 ? "s" : "",
                     train::mean(held_out) - train::mean(normal_.training), held_out.size() == 1 ? "it" : "them"));
    out_.of_held_out = true;
  }

  void take(const std::string& method, double value, const std::string& why) {
    out_.data.method = method;
    out_.data.value = value;
    out_.why = why;
  }

  const NormalScores& normal_;
  io::ThresholdMethod method_;
  std::optional<double> given_;
  std::vector<double> all_;
  double q_ = 0;
  FittedThreshold out_;
};

}  // namespace

FittedThreshold fit_threshold(const NormalScores& normal, const io::ScoreSettings& settings,
                              const std::string& score_name) {
  const double q = settings.threshold_quantile;
  if (!(q > 0.0 && q < 1.0)) {
    throw io::UsageError(fmt::format("score.threshold_quantile is {}; it must lie between 0 and 1", q));
  }
  try {
    FittedThreshold fitted = Fitting(normal, settings, score_name).run();
    fitted.data.score = score_name;
    fitted.data.quantile = q;
    return fitted;
  } catch (const io::DataError& error) {
    throw io::DataError(fmt::format("threshold on {}: {}", score_name, error.what()));
  }
}

}  // namespace evenflow::train
