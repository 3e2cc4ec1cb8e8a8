// Sound at one rate to sound at another, whole or as it comes.
#pragma once

#include <memory>
#include <span>
#include <vector>

namespace evenflow::frontend {

/// One recording's resampling by soxr (high quality, linear phase), piece by piece. The samples are the same bits
/// however the recording is cut into pieces. Where all of it is one value, so is the result, since a resampler would
/// swing in and out; until the first other value nothing comes out.
class Resampler {
 public:
  /// Rates from 1 Hz; equal ones pass the samples on.
  Resampler(int from_hz, int to_hz);
  ~Resampler();
  Resampler(Resampler&&) noexcept;
  Resampler& operator=(Resampler&&) noexcept;
  /// Appends to `out` what is known by now. io::DataError: soxr cannot go on.
  void push(std::span<const float> samples, std::vector<float>& out);
  /// Appends the rest; the next sample begins another recording.
  void finish(std::vector<float>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace evenflow::frontend
