#include "train/detect/normal_sound.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "io/error.h"
#include "kernels/augment.h"
#include "kernels/mel_scale.h"
#include "train/detect/clip_sound.h"
#include "train/statistics/metrics.h"

namespace evenflow::train {

ClipSound clip_sound(std::span<const float> logmel_db, int64_t bands) {
  const auto width = static_cast<size_t>(bands);
  const size_t frames = logmel_db.size() / width;
  ClipSound out;
  out.peak_db.assign(logmel_db.begin(), logmel_db.begin() + bands);
  out.quietest_db = std::numeric_limits<float>::infinity();
  std::vector<double> sums(width, 0.0);
  for (size_t t = 0; t < frames; ++t) {
    double frame = 0;
    for (size_t b = 0; b < width; ++b) {
      const float db = logmel_db[t * width + b];
      sums[b] += db;
      frame += db;
      out.peak_db[b] = std::max(out.peak_db[b], db);
    }
    out.quietest_db = std::min(out.quietest_db, static_cast<float>(frame / static_cast<double>(bands)));
  }
  for (const double sum : sums) {
    out.level_db.push_back(static_cast<float>(sum / static_cast<double>(frames)));
  }
  return out;
}

void NormalReference::add(const ClipScore& clip, std::span<const double> v) {
  points.length = static_cast<int64_t>(clip.descriptor.size());
  points.values.insert(points.values.end(), clip.descriptor.begin(), clip.descriptor.end());
  sound.bands = static_cast<int64_t>(clip.sound.level_db.size());
  sound.paths.push_back(clip.clip.path.string());
  sound.v.insert(sound.v.end(), v.begin(), v.end());
  sound.level_db.insert(sound.level_db.end(), clip.sound.level_db.begin(), clip.sound.level_db.end());
  sound.peak_db.insert(sound.peak_db.end(), clip.sound.peak_db.begin(), clip.sound.peak_db.end());
  sound.quietest_db.push_back(clip.sound.quietest_db);
}

namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double least_spread_db = 0.5;

/// Clips that count at an operating point: their weights, and what turns their figures into a plane's values.
struct Neighbourhood {
  std::vector<size_t> clips;
  VectorXd weight;                             ///< sum 1
  MatrixXd design;                             ///< [clips, 1 + parameters]: 1, distances from the point in bandwidths
  std::optional<Eigen::LLT<MatrixXd>> normal;  ///< of the design's normal equations, by prepare()
};

struct ValueRange {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  double width() const { return high - low; }
};

/// Clips whose values hold_for(values).
template <class Holds>
std::vector<size_t> clips_where(const io::SoundData& data, size_t parameters, const Holds& hold_for) {
  std::vector<size_t> found;
  for (size_t i = 0; i < data.paths.size(); ++i) {
    if (hold_for(std::span(data.v).subspan(i * parameters, parameters))) {
      found.push_back(i);
    }
  }
  return found;
}

bool all_known(std::span<const double> values) {
  return std::none_of(values.begin(), values.end(), [](double x) { return !std::isfinite(x); });
}

/// Each counts as much.
Neighbourhood alike(std::vector<size_t> clips) {
  Neighbourhood out;
  out.clips = std::move(clips);
  const auto n = static_cast<Index>(out.clips.size());
  out.weight = VectorXd::Constant(n, 1.0 / static_cast<double>(n));
  out.design = MatrixXd::Ones(n, 1);
  return out;
}

/// Clips about a point, weighted; `range` of each parameter's values.
Neighbourhood about(const io::SoundData& data, std::vector<size_t> clips, std::span<const double> point,
                    std::span<const ValueRange> range) {
  constexpr double bandwidth_share = 1.0 / 12.0, wider = 1.25;
  Neighbourhood out;
  out.clips = std::move(clips);
  const auto n = static_cast<Index>(out.clips.size()), p = static_cast<Index>(point.size());
  out.design = MatrixXd::Ones(n, 1 + p);
  out.weight = VectorXd(n);
  const double wanted = static_cast<double>(3 + 2 * p);
  for (double share = bandwidth_share;; share *= wider) {
    for (Index i = 0; i < n; ++i) {
      double squares = 0;
      for (Index q = 0; q < p; ++q) {
        const auto at = static_cast<size_t>(q);
        const double width = range[at].width();
        const double off = data.v[out.clips[static_cast<size_t>(i)] * point.size() + at] - point[at];
        out.design(i, 1 + q) = width > 0 ? off / (share * width) : 0.0;
        squares += out.design(i, 1 + q) * out.design(i, 1 + q);
      }
      out.weight[i] = std::exp(-0.5 * squares);
    }
    const double sum = out.weight.sum(), squares = out.weight.squaredNorm();
    if (sum * sum >= wanted * squares && sum > 0) {
      out.weight /= sum;
      return out;
    }
  }
}

void prepare(Neighbourhood& near) {
  // As in local_linear.h: where the clips do not tell a slope, it is 0.
  constexpr double ridge = 1e-3;
  MatrixXd normal = near.design.transpose() * near.weight.asDiagonal() * near.design;
  for (Index q = 1; q < normal.rows(); ++q) {
    normal(q, q) += ridge;
  }
  near.normal.emplace(normal);
}

struct Figure {
  double mean, spread;
};

/// Of a figure of each of the clips that count.
Figure figure_at(const Neighbourhood& near, const VectorXd& y) {
  const VectorXd plane = near.normal->solve(near.design.transpose() * near.weight.cwiseProduct(y));
  const VectorXd residual = y - near.design * plane;
  const double variance = near.weight.dot(residual.cwiseAbs2());
  const double free = 1.0 - near.weight.squaredNorm();  // what a weighted mean takes of the scatter
  return {plane[0], std::max(std::sqrt(variance / std::max(free, 0.1)), least_spread_db)};
}

/// Where a band's figure is taken from in each clip: a position among the bands, whole ones being centres.
using Places = std::vector<double>;

Places unmoved(const Neighbourhood& near, int64_t band) {
  return Places(near.clips.size(), static_cast<double>(band));
}

/// Where a clip recorded at speed `own` has what lies in the band at `speed`.
double moved_place(int64_t band, const SpeedOfBands& of, int64_t bands, double speed, double own) {
  const double ratio = own > 0 ? std::clamp(speed / own, kernels::least_speed_ratio, kernels::most_speed_ratio) : 1.0;
  return kernels::warped_position(band, ratio, of.mels_per_band, bands);
}

VectorXd values_at(const Neighbourhood& near, std::span<const float> values, int64_t bands, const Places& places) {
  VectorXd y(near.weight.size());
  for (Index i = 0; i < y.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const size_t row = near.clips[at] * static_cast<size_t>(bands);
    const auto below = std::min(static_cast<int64_t>(places[at]), bands - 1), above = std::min(below + 1, bands - 1);
    const double low = values[row + static_cast<size_t>(below)], high = values[row + static_cast<size_t>(above)];
    y[i] = low + (places[at] - static_cast<double>(below)) * (high - low);
  }
  return y;
}

}  // namespace

NormalSound::NormalSound(const io::SoundData& data, size_t parameters, std::optional<SpeedOfBands> speed,
                         std::vector<size_t> names)
    : data_(data), parameters_(parameters), speed_(speed), names_(std::move(names)) {
  if (data.paths.size() < 2) {
    throw io::DataError("what is normal takes two normal clips or more; give more with --normals");
  }
}

ExpectedSound NormalSound::at(std::span<const double> v) const {
  ExpectedSound out;
  const auto of_same_names = [&](std::span<const double> values) {
    return std::all_of(names_.begin(), names_.end(), [&](size_t q) { return values[q] == v[q]; });
  };
  std::vector<size_t> clips, of_names;
  if (parameters_ > 0 && v.size() == parameters_) {
    of_names = clips_where(data_, parameters_, of_same_names);
    if (all_known(v)) {
      clips = clips_where(data_, parameters_, [&](auto values) { return all_known(values) && of_same_names(values); });
    }
  }
  constexpr size_t least_clips = 5;
  const bool at_point = clips.size() >= least_clips + 2 * parameters_;
  Neighbourhood near;
  if (at_point) {
    std::vector<ValueRange> range(parameters_);
    for (size_t q = 0; q < parameters_; ++q) {
      for (const size_t i : clips) {
        range[q].low = std::min(range[q].low, data_.v[i * parameters_ + q]);
        range[q].high = std::max(range[q].high, data_.v[i * parameters_ + q]);
      }
      constexpr double beyond = 0.1;
      out.at.push_back(std::clamp(v[q], range[q].low, range[q].high));
      out.outside = out.outside || std::abs(out.at[q] - v[q]) > beyond * range[q].width();
    }
    near = about(data_, std::move(clips), out.at, range);
  } else if (!names_.empty() && of_names.size() >= least_clips) {
    near = alike(std::move(of_names));
    out.at.assign(parameters_, std::numeric_limits<double>::quiet_NaN());
    for (const size_t q : names_) {
      out.at[q] = v[q];
    }
  } else {
    near = alike(clips_where(data_, parameters_, [](auto) { return true; }));
  }
  prepare(near);
  const bool moves = at_point && speed_ && v[speed_->parameter] > 0;
  for (int64_t b = 0; b < data_.bands; ++b) {
    Places places = unmoved(near, b);
    const Figure level = figure_at(near, values_at(near, data_.level_db, data_.bands, places));
    const Figure peak = figure_at(near, values_at(near, data_.peak_db, data_.bands, places));
    Figure moved_level = level, moved_peak = peak;
    if (moves) {
      for (size_t i = 0; i < places.size(); ++i) {
        places[i] = moved_place(b, *speed_, data_.bands, v[speed_->parameter],
                                data_.v[near.clips[i] * parameters_ + speed_->parameter]);
      }
      moved_level = figure_at(near, values_at(near, data_.level_db, data_.bands, places));
      moved_peak = figure_at(near, values_at(near, data_.peak_db, data_.bands, places));
    }
    out.level_db.push_back(level.mean);
    out.least_level_db.push_back(std::min(level.mean, moved_level.mean));
    out.most_level_db.push_back(std::max(level.mean, moved_level.mean));
    out.level_spread_db.push_back(std::max(level.spread, moved_level.spread));
    out.peak_db.push_back(std::max(peak.mean, moved_peak.mean));
    out.peak_spread_db.push_back(std::max(peak.spread, moved_peak.spread));
  }
  VectorXd quiet(near.weight.size());
  for (Index i = 0; i < quiet.size(); ++i) {
    quiet[i] = data_.quietest_db[near.clips[static_cast<size_t>(i)]];
  }
  const Figure quietest = figure_at(near, quiet);
  out.quietest_db = quietest.mean;
  out.quietest_spread_db = quietest.spread;
  return out;
}

double level_above(const ExpectedSound& expected, std::span<const float> level_db) {
  std::vector<double> above;
  for (size_t b = 0; b < level_db.size(); ++b) {
    above.push_back(level_db[b] - expected.level_db[b]);
  }
  return quantile(above, 0.5);
}

double misfit_of(const ExpectedSound& expected, std::span<const float> level_db, double above_db) {
  constexpr double most_spreads = 4.0;
  double sum = 0;
  for (size_t b = 0; b < level_db.size(); ++b) {
    const double level = level_db[b] - above_db;
    const double off = std::max({0.0, level - expected.most_level_db[b], expected.least_level_db[b] - level});
    sum += std::min(off / expected.level_spread_db[b], most_spreads);
  }
  return sum / static_cast<double>(level_db.size());
}

std::vector<std::vector<double>> NormalSound::candidates(std::span<const double> v) const {
  std::vector<size_t> unknown;
  for (size_t q = 0; q < v.size(); ++q) {
    if (std::isnan(v[q])) {
      unknown.push_back(q);
    }
  }
  std::vector<std::vector<double>> out;
  if (unknown.empty()) {
    return out;
  }
  const std::vector<size_t> clips = clips_where(data_, parameters_, all_known);
  if (unknown.size() > 1) {
    for (const size_t i : clips) {
      std::vector<double>& point = out.emplace_back(v.begin(), v.end());
      for (const size_t q : unknown) {
        point[q] = data_.v[i * parameters_ + q];
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }
  ValueRange range;
  for (const size_t i : clips) {
    const double value = data_.v[i * parameters_ + unknown.front()];
    range = {std::min(range.low, value), std::max(range.high, value)};
  }
  constexpr int values = 61;
  for (int i = 0; i < values && !clips.empty(); ++i) {
    std::vector<double>& point = out.emplace_back(v.begin(), v.end());
    point[unknown.front()] = range.low + range.width() * i / (values - 1.0);
  }
  return out;
}

std::optional<std::vector<double>> NormalSound::of_spectrum(std::span<const float> level_db,
                                                            std::span<const double> v) const {
  std::optional<std::vector<double>> best;
  double least = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& point : candidates(v)) {
    const ExpectedSound expected = at(point);
    if (expected.at.empty() ||
        std::any_of(expected.at.begin(), expected.at.end(), [](double x) { return std::isnan(x); })) {
      return std::nullopt;
    }
    const double misfit = misfit_of(expected, level_db, level_above(expected, level_db));
    if (misfit < least) {
      least = misfit;
      best = point;
    }
  }
  return best;
}

}  // namespace evenflow::train
