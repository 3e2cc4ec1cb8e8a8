// Per-band mean and standard deviation of the training frames.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/config.h"
#include "io/model_file.h"

namespace evenflow::frontend {

/// Two-pass mean and biased std in float64, fed in pieces: visit(sink) must call sink(frames [n, bands]) over the same
/// pieces, in the same order, each time it is called. std is floored at 1e-3.
template <class Visit>
io::NormaliserData fit_normaliser(int bands, io::Normalisation mode, Visit&& visit);

/// Accumulates what fit_normaliser needs; two passes: add_mean over everything, then add_deviation over everything.
/// std::invalid_argument: no band, a piece that is not whole frames. finish() throws io::DataError without
/// frames, std::logic_error if the passes saw different numbers of frames.
class NormaliserFit {
 public:
  NormaliserFit(int bands, io::Normalisation mode);
  void add_mean(std::span<const float> frames);
  void add_deviation(std::span<const float> frames);
  io::NormaliserData finish() const;

 private:
  void settle_mean();
  int bands_;
  io::Normalisation mode_;
  std::vector<double> sum_, mean_, squares_;
  int64_t count_ = 0, deviation_count_ = 0;
  bool mean_settled_ = false;
};

template <class Visit>
io::NormaliserData fit_normaliser(int bands, io::Normalisation mode, Visit&& visit) {
  NormaliserFit fit(bands, mode);
  visit([&](std::span<const float> frames) { fit.add_mean(frames); });
  visit([&](std::span<const float> frames) { fit.add_deviation(frames); });
  return fit.finish();
}

}  // namespace evenflow::frontend
