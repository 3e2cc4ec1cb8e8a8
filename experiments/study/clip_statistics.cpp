#include "experiments/study/clip_statistics.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "train/loop/selection.h"
#include "train/statistics/metrics.h"
#include "train/statistics/normal_points.h"

namespace evenflow::experiments {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

}  // namespace

struct PrincipalComponents::State {
  VectorXd mean, deviation;
  MatrixXd components;  ///< [length, components]
};

PrincipalComponents::PrincipalComponents(std::span<const float> normal, int64_t length)
    : state_(std::make_unique<State>()) {
  constexpr Eigen::Index most_components = 20;
  using FloatRows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto n = static_cast<Eigen::Index>(normal.size()) / length;
  MatrixXd rows = Eigen::Map<const FloatRows>(normal.data(), n, length).cast<double>();
  state_->mean = rows.colwise().mean();
  rows.rowwise() -= state_->mean.transpose();
  state_->deviation = (rows.colwise().squaredNorm().transpose() / static_cast<double>(n)).cwiseSqrt();
  state_->deviation = state_->deviation.unaryExpr([](double d) { return d > 0 ? d : 1.0; });
  rows.array().rowwise() /= state_->deviation.transpose().array();
  const Eigen::SelfAdjointEigenSolver<MatrixXd> spectrum(rows.transpose() * rows);
  state_->components =
      spectrum.eigenvectors().rightCols(std::min({most_components, n - 1, static_cast<Eigen::Index>(length)}));
}

PrincipalComponents::~PrincipalComponents() = default;
PrincipalComponents::PrincipalComponents(PrincipalComponents&&) noexcept = default;
PrincipalComponents& PrincipalComponents::operator=(PrincipalComponents&&) noexcept = default;

double PrincipalComponents::residual(std::span<const float> statistics) const {
  const State& s = *state_;
  const VectorXd x = (Eigen::Map<const Eigen::VectorXf>(statistics.data(), s.mean.size()).cast<double>() - s.mean)
                         .cwiseQuotient(s.deviation);
  return (x - s.components * (s.components.transpose() * x)).squaredNorm() / static_cast<double>(x.size());
}

std::vector<float> clip_statistics(const std::vector<float>& frames, int64_t bands, ClipStatistics kind) {
  const size_t width = static_cast<size_t>(bands), n = frames.size() / width;
  std::vector<std::vector<double>> of_bands;
  std::vector<double> band(n);
  for (size_t b = 0; b < width; ++b) {
    double mean = 0, variance = 0;
    for (size_t t = 0; t < n; ++t) {
      band[t] = frames[t * width + b];
      mean += band[t] / static_cast<double>(n);
    }
    if (kind == ClipStatistics::percentiles) {
      of_bands.push_back({train::quantile(band, 0.1), train::quantile(band, 0.5), train::quantile(band, 0.9)});
      continue;
    }
    for (const double value : band) {
      variance += (value - mean) * (value - mean) / static_cast<double>(n);
    }
    of_bands.push_back(kind == ClipStatistics::mean ? std::vector{mean} : std::vector{mean, std::sqrt(variance)});
  }
  std::vector<float> out;
  for (size_t statistic = 0; statistic < of_bands.front().size(); ++statistic) {
    for (const std::vector<double>& of_band : of_bands) {
      out.push_back(static_cast<float>(of_band[statistic]));
    }
  }
  return out;
}

train::ScoreTable statistics_scores(const io::Shard& shard, const io::TrainSettings& settings, ClipStatistics kind) {
  const train::HeldOut sides =
      train::hold_out(train::clips_to_train_on({&shard}, settings), settings.validation_fraction, settings.seed);
  const auto statistics_of = [&](size_t clip) {
    return clip_statistics(shard.clip_frames(clip), shard.mel_bands(), kind);
  };
  std::vector<float> normal;
  for (const auto& [file, clip] : sides.train.clips) {
    const std::vector<float> own = statistics_of(static_cast<size_t>(clip));
    normal.insert(normal.end(), own.begin(), own.end());
  }
  const int64_t length = static_cast<int64_t>(normal.size() / sides.train.clips.size());
  const train::NormalPoints points(normal, length);
  const PrincipalComponents components(normal, length);
  train::ScoreTable table{
      shard.parameter_names(), {"score_mahalanobis", "score_pca", "score_nearest"}, {}, {}, shard.categories()};
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    const std::vector<float> own = statistics_of(i);
    train::ClipScore clip;
    clip.clip = shard.clips()[i];
    clip.scores = {points.mahalanobis(own, own), components.residual(own), points.nearest(own, own)};
    clip.score = clip.scores.back();
    table.clips.push_back(std::move(clip));
  }
  return table;
}

}  // namespace evenflow::experiments
