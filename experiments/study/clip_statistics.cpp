#include "experiments/study/clip_statistics.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "train/loop/selection.h"
#include "train/statistics/metrics.h"

namespace evenflow::experiments {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Mean and standard deviation of each element; of one that never changes the deviation is taken for 1.
struct StatisticsScale {
  explicit StatisticsScale(const std::vector<std::vector<double>>& rows)
      : mean(VectorXd::Zero(static_cast<Eigen::Index>(rows.front().size()))), deviation(mean) {
    const auto n = static_cast<double>(rows.size());
    for (const std::vector<double>& row : rows) {
      mean += Eigen::Map<const VectorXd>(row.data(), mean.size()) / n;
    }
    for (const std::vector<double>& row : rows) {
      deviation += (Eigen::Map<const VectorXd>(row.data(), mean.size()) - mean).cwiseAbs2() / n;
    }
    deviation = deviation.unaryExpr([](double variance) { return variance > 0 ? std::sqrt(variance) : 1.0; });
  }
  VectorXd operator()(const std::vector<double>& row) const {
    return (Eigen::Map<const VectorXd>(row.data(), mean.size()) - mean).cwiseQuotient(deviation);
  }
  VectorXd mean, deviation;
};

/// Rows have mean 0.
MatrixXd shrunk_covariance(const MatrixXd& rows) {
  const auto n = static_cast<double>(rows.rows()), d = static_cast<double>(rows.cols());
  const MatrixXd sample = rows.transpose() * rows / n;
  const double scale = sample.trace() / d;
  const MatrixXd target = scale * MatrixXd::Identity(rows.cols(), rows.cols());
  const double distance = (sample - target).squaredNorm() / d;
  const double fourth = rows.rowwise().squaredNorm().cwiseAbs2().sum();
  const double noise = (fourth / n - sample.squaredNorm()) / (n * d);
  const double weight = distance > 0 ? std::clamp(noise / distance, 0.0, 1.0) : 1.0;
  return weight * target + (1.0 - weight) * sample;
}

}  // namespace

struct StatisticsDetector::State {
  static constexpr Eigen::Index most_components = 20;

  explicit State(const std::vector<std::vector<double>>& normal)
      : scale(normal), rows(static_cast<Eigen::Index>(normal.size()), scale.mean.size()) {
    for (size_t i = 0; i < normal.size(); ++i) {
      rows.row(static_cast<Eigen::Index>(i)) = scale(normal[i]);
    }
    covariance.compute(shrunk_covariance(rows));
    const Eigen::SelfAdjointEigenSolver<MatrixXd> spectrum(rows.transpose() * rows);
    components = spectrum.eigenvectors().rightCols(std::min({most_components, rows.rows() - 1, rows.cols()}));
  }

  StatisticsScale scale;
  MatrixXd rows;  ///< [clips, statistics]
  Eigen::LDLT<MatrixXd> covariance;
  MatrixXd components;  ///< [statistics, components]
};

std::vector<double> clip_statistics(const std::vector<float>& frames, int64_t bands, ClipStatistics kind) {
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
  std::vector<double> out;
  for (size_t statistic = 0; statistic < of_bands.front().size(); ++statistic) {
    for (const std::vector<double>& of_band : of_bands) {
      out.push_back(of_band[statistic]);
    }
  }
  return out;
}

StatisticsDetector::StatisticsDetector(const std::vector<std::vector<double>>& normal)
    : state_(std::make_unique<State>(normal)) {}
StatisticsDetector::~StatisticsDetector() = default;
StatisticsDetector::StatisticsDetector(StatisticsDetector&&) noexcept = default;
StatisticsDetector& StatisticsDetector::operator=(StatisticsDetector&&) noexcept = default;

double StatisticsDetector::mahalanobis(const std::vector<double>& statistics) const {
  const VectorXd x = state_->scale(statistics);
  return x.dot(state_->covariance.solve(x));
}

double StatisticsDetector::pca_residual(const std::vector<double>& statistics) const {
  const VectorXd x = state_->scale(statistics);
  return (x - state_->components * (state_->components.transpose() * x)).squaredNorm();
}

double StatisticsDetector::nearest(const std::vector<double>& statistics, int64_t own) const {
  const VectorXd x = state_->scale(statistics);
  double least = std::numeric_limits<double>::infinity();
  for (Eigen::Index i = 0; i < state_->rows.rows(); ++i) {
    if (i != own) {
      least = std::min(least, (state_->rows.row(i).transpose() - x).squaredNorm());
    }
  }
  return std::sqrt(least);
}

train::ScoreTable statistics_scores(const io::Shard& shard, const io::TrainSettings& settings, ClipStatistics kind) {
  std::map<size_t, int64_t> row_of;  // of the clips that are fitted to
  std::vector<std::vector<double>> normal;
  const train::HeldOut sides =
      train::hold_out(train::clips_to_train_on({&shard}, settings), settings.validation_fraction, settings.seed);
  for (const auto& [file, clip] : sides.train.clips) {
    row_of[static_cast<size_t>(clip)] = static_cast<int64_t>(normal.size());
    normal.push_back(clip_statistics(shard.clip_frames(static_cast<size_t>(clip)), shard.mel_bands(), kind));
  }
  const StatisticsDetector detector(normal);
  train::ScoreTable table{shard.parameter_names(), {"score_mahalanobis", "score_pca", "score_nearest"}, {}, {}};
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    const auto row = row_of.find(i);
    const std::vector<double> own = clip_statistics(shard.clip_frames(i), shard.mel_bands(), kind);
    train::ClipScore clip;
    clip.clip = shard.clips()[i];
    clip.scores = {detector.mahalanobis(own), detector.pca_residual(own),
                   detector.nearest(own, row == row_of.end() ? -1 : row->second)};
    clip.score = clip.scores.back();
    table.clips.push_back(std::move(clip));
  }
  return table;
}

}  // namespace evenflow::experiments
