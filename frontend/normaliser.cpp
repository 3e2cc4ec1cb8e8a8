#include "frontend/normaliser.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "io/error.h"

namespace evenflow::frontend {
namespace {

constexpr double least_std_db = 1e-3;

}  // namespace

NormaliserFit::NormaliserFit(int bands, io::Normalisation mode)
    : bands_(bands),
      mode_(mode),
      sum_(static_cast<size_t>(std::max(bands, 0)), 0.0),
      mean_(sum_.size(), 0.0),
      squares_(sum_.size(), 0.0) {
  if (bands < 1) {
    throw std::invalid_argument("normaliser: expected at least one band, got " + std::to_string(bands));
  }
}

void NormaliserFit::add_mean(std::span<const float> frames) {
  const size_t bands = sum_.size();
  if (frames.size() % bands != 0) {
    throw std::invalid_argument("normaliser: a piece must hold whole frames");
  }
  if (mean_settled_) {
    throw std::logic_error("normaliser: add_mean after add_deviation");
  }
  for (size_t i = 0; i < frames.size(); i += bands) {
    for (size_t band = 0; band < bands; ++band) {
      sum_[band] += static_cast<double>(frames[i + band]);
    }
  }
  count_ += static_cast<int64_t>(frames.size() / bands);
}

void NormaliserFit::settle_mean() {
  if (count_ == 0) {
    throw io::DataError("there are no training frames to fit the normaliser on");
  }
  const auto count = static_cast<double>(count_);
  if (mode_ == io::Normalisation::global) {
    mean_.assign(mean_.size(), std::accumulate(sum_.begin(), sum_.end(), 0.0) / (count * bands_));
  } else {
    for (size_t band = 0; band < mean_.size(); ++band) {
      mean_[band] = sum_[band] / count;
    }
  }
  mean_settled_ = true;
}

void NormaliserFit::add_deviation(std::span<const float> frames) {
  const size_t bands = sum_.size();
  if (frames.size() % bands != 0) {
    throw std::invalid_argument("normaliser: a piece must hold whole frames");
  }
  if (!mean_settled_) {
    settle_mean();
  }
  for (size_t i = 0; i < frames.size(); i += bands) {
    for (size_t band = 0; band < bands; ++band) {
      const double off = static_cast<double>(frames[i + band]) - mean_[band];
      squares_[band] += off * off;
    }
  }
  deviation_count_ += static_cast<int64_t>(frames.size() / bands);
}

io::NormaliserData NormaliserFit::finish() const {
  const size_t bands = sum_.size();
  if (count_ == 0) {
    throw io::DataError("there are no training frames to fit the normaliser on");
  }
  if (deviation_count_ != count_) {
    throw std::logic_error("normaliser: the two passes saw different numbers of frames");
  }
  io::NormaliserData fitted{std::vector<float>(bands, 0.0f), std::vector<float>(bands, 1.0f)};
  if (mode_ == io::Normalisation::none) {
    return fitted;
  }
  const auto count = static_cast<double>(count_);
  const double all = std::accumulate(squares_.begin(), squares_.end(), 0.0) / (count * bands_);
  for (size_t band = 0; band < bands; ++band) {
    const double variance = mode_ == io::Normalisation::global ? all : squares_[band] / count;
    fitted.mean[band] = static_cast<float>(mean_[band]);
    fitted.std[band] = static_cast<float>(std::max(std::sqrt(variance), least_std_db));
  }
  return fitted;
}

}  // namespace evenflow::frontend
