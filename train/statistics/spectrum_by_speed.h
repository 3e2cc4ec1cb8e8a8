// How a machine sounds at speeds that nobody recorded: mean and deviation of every mel band as functions of the speed.
//
// Two ways to say what the mean is between recorded speeds and beyond them, in dB of band b with its centre at f:
// - lines: each band by itself, linear in v;
// - source and filter: F(f) + S(log f - log |v|) + a log |v| + b log^2 |v|. What turns makes tones and bands that move
//   with the speed (S), and sounds through a frame whose resonances do not (F). In a logarithmic spectrum source and
//   path add up (Randall and Gao 1994, Journal of Sound and Vibration 176). Least squares, S piecewise linear and
//   smooth by a penalty on its second differences.
// Either passes through the recorded means: what a fit leaves there is added, linear in between, constant beyond. Lines
// go on beyond the outermost two speeds as far again as these lie apart, a source and filter by a factor of 2. Of three
// speeds or more, what is taken is the way that tells each speed from the others with the smaller root mean square
// error. Deviations are linear in the logarithm, constant beyond the recorded speeds.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace evenflow::train {

/// Of the frames of one operating point, in dB, by band.
struct BandMoments {
  std::vector<double> mean, deviation;
};

class SpectrumBySpeed {
 public:
  enum class Way { lines, source_and_filter };

  /// Speeds ascending and distinct, two or more, with what was recorded there; the bands' centres in Hz, ascending.
  /// Deviations below 0.01 dB count as that.
  SpectrumBySpeed(std::vector<double> speeds, std::vector<BandMoments> recorded, std::vector<double> centres_hz);

  BandMoments at(double speed) const;
  const std::vector<double>& speeds() const { return speeds_; }
  Way way() const { return way_; }
  /// By how much each speed's mean differs from what the others tell of it, by band; empty of two speeds.
  const std::vector<std::vector<double>>& errors() const { return errors_; }
  /// Root mean square of the errors, dB; 0 of two speeds.
  double error() const;

 private:
  struct Fit {
    std::vector<size_t> points;             // of the speeds
    std::vector<double> fixed, moving;      // F; S on its grid. Empty: lines
    double level = 0, bend = 0;             // a, b
    std::vector<std::vector<double>> left;  // of each point what the fit leaves
  };
  Fit fit(Way way, std::vector<size_t> points) const;
  void fit_source_and_filter(Fit& fit) const;
  std::vector<double> told(const Fit& fit, double speed) const;
  std::vector<double> mean_at(const Fit& fit, double asked) const;
  std::vector<std::vector<double>> errors_of(Way way) const;
  struct Place {
    size_t low;
    double part;
  };
  Place on_grid(double centre_hz, double speed) const;

  std::vector<double> speeds_;
  std::vector<BandMoments> recorded_;
  std::vector<double> centres_;
  double grid_first_ = 0;  // log f - log |v|
  size_t grid_ = 0;
  Way way_ = Way::lines;
  Fit fit_;
  std::vector<std::vector<double>> errors_;
};

}  // namespace evenflow::train
