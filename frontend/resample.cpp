#include "frontend/resample.h"

#include <fmt/format.h>
#include <soxr.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "io/error.h"

namespace evenflow::frontend {
namespace {

struct DeleteSoxr {
  void operator()(soxr* resampler) const { soxr_delete(resampler); }
};

}  // namespace

struct Resampler::State {
  State(int from, int to) : from_hz(from), to_hz(to) {}

  [[noreturn]] void fail(soxr_error_t error) const {
    throw io::DataError(fmt::format("cannot resample from {} to {} Hz: {}", from_hz, to_hz, error));
  }

  void begin() {
    const soxr_io_spec_t format = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t error = nullptr;
    resampler.reset(soxr_create(from_hz, to_hz, 1, &error, &format, &quality, &runtime));
    if (error != nullptr) {
      fail(error);
    }
  }

  /// Of no samples: the end.
  void process(std::span<const float> samples, std::vector<float>& out) {
    constexpr size_t room = 8192;
    const bool at_end = samples.empty();
    for (;;) {
      const size_t first = out.size();
      out.resize(first + room);
      size_t read = 0, written = 0;
      const soxr_error_t error = soxr_process(resampler.get(), at_end ? nullptr : samples.data(), samples.size(), &read,
                                              out.data() + first, room, &written);
      out.resize(first + written);
      if (error != nullptr) {
        fail(error);
      }
      samples = samples.subspan(read);
      if (samples.empty() && written < room) {
        return;
      }
    }
  }

  int from_hz, to_hz;
  std::unique_ptr<soxr, DeleteSoxr> resampler;  // none: all samples so far are `value`
  float value = 0;
  int64_t equal = 0;  // so many
};

Resampler::Resampler(int from_hz, int to_hz) : state_(std::make_unique<State>(from_hz, to_hz)) {}
Resampler::~Resampler() = default;
Resampler::Resampler(Resampler&&) noexcept = default;
Resampler& Resampler::operator=(Resampler&&) noexcept = default;

void Resampler::push(std::span<const float> samples, std::vector<float>& out) {
  State& s = *state_;
  if (s.from_hz == s.to_hz) {
    out.insert(out.end(), samples.begin(), samples.end());
    return;
  }
  if (samples.empty()) {
    return;
  }
  if (!s.resampler) {
    if (s.equal == 0) {
      s.value = samples.front();
    }
    const auto other = std::find_if(samples.begin(), samples.end(), [&](float sample) { return sample != s.value; });
    s.equal += other - samples.begin();
    if (other == samples.end()) {
      return;
    }
    s.begin();
    s.process(std::vector<float>(static_cast<size_t>(s.equal), s.value), out);
    samples = samples.subspan(static_cast<size_t>(other - samples.begin()));
  }
  s.process(samples, out);
}

void Resampler::finish(std::vector<float>& out) {
  State& s = *state_;
  if (s.resampler) {
    s.process({}, out);
  } else if (s.equal > 0) {
    const double length = static_cast<double>(s.equal) * s.to_hz / s.from_hz;
    out.insert(out.end(), static_cast<size_t>(std::llround(length)), s.value);
  }
  s.resampler.reset();
  s.equal = 0;
}

}  // namespace evenflow::frontend
