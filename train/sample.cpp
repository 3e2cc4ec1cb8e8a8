#include <algorithm>
#include <cmath>

#include "io/error.h"
#include "train/detector_state.h"
#include "train/random.h"

namespace evenflow::train {
namespace {

// Draws of one window: noise of zc and zd, then of v.
class Noise {
 public:
  Noise(uint64_t seed, int64_t window) : seed_(seed), window_(static_cast<uint64_t>(window)) {}
  double operator()() { return random_normal(seed_, window_, counter_++); }

 private:
  uint64_t seed_, window_, counter_ = 0;
};

void require_values(std::span<const double> v, const io::ConditionData& condition) {
  if (v.empty() || v.size() == condition.names.size()) return;
  const std::string wanted = condition.names.empty() ? "the model is unconstrained: give no value"
                                                     : "the model takes " + std::to_string(condition.names.size());
  throw io::UsageError(std::to_string(v.size()) + " parameter values given; " + wanted);
}

// Adds shift[p] to the elements of zd that parameter p owns. zd [1, c, h, w]: its channels are dealt in equal runs.
void shift_zd(const kernels::Map& zd, std::span<const double> shift) {
  if (shift.empty()) return;
  const int64_t run = zd.c / static_cast<int64_t>(shift.size()) * zd.pixels();
  for (size_t p = 0; p < shift.size(); ++p) {
    float* values = zd.data + static_cast<int64_t>(p) * run;
    for (int64_t i = 0; i < run; ++i) values[i] = static_cast<float>(values[i] + shift[p]);
  }
}

void fill(const kernels::Map& z, Noise& noise, double temperature) {
  for (int64_t i = 0; i < z.size(); ++i) z.data[i] = static_cast<float>(temperature * noise());
}

// Where zd's mean lies for v; an unknown v is drawn from the training values' distribution.
std::vector<double> prior_means(const io::ConditionData& condition, std::span<const double> v, Noise& noise) {
  std::vector<double> means;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    const double drawn = condition.mean[p] + condition.std[p] * noise();
    const double value = v.empty() || std::isnan(v[p]) ? drawn : v[p];
    means.push_back(condition.k[p] * (value - condition.v0[p]));
  }
  return means;
}

// One normalised window [bands, frames] to dB.
void denormalise(const kernels::ConstMap& x, const io::NormaliserData& normaliser, float* out) {
  for (int64_t band = 0; band < x.h; ++band) {
    const auto b = static_cast<size_t>(band);
    for (int64_t t = 0; t < x.w; ++t) {
      out[band * x.w + t] = x.data[band * x.w + t] * normaliser.std[b] + normaliser.mean[b];
    }
  }
}

// One window [frames, bands] in dB to x [1, 1, bands, frames].
void normalise(std::span<const float> logmel_db, const io::NormaliserData& normaliser, const kernels::Map& x) {
  for (int64_t band = 0; band < x.h; ++band) {
    const auto b = static_cast<size_t>(band);
    for (int64_t t = 0; t < x.w; ++t) {
      const float db = logmel_db[static_cast<size_t>(t * x.h + band)];
      x.data[band * x.w + t] = (db - normaliser.mean[b]) / normaliser.std[b];
    }
  }
}

}  // namespace

std::vector<float> Detector::sample(int64_t n, std::span<const double> v, double temperature, uint64_t seed) {
  State& s = *state_;
  require_values(v, s.model.condition);
  kernels::Stream stream;
  flow::GlowPass pass(s.glow, 1, flow::PassMode::score);
  const int64_t dimensions = s.glow.shape().dimensions();
  std::vector<float> out(static_cast<size_t>(n * dimensions));
  for (int64_t i = 0; i < n; ++i) {
    Noise noise(seed, i);
    for (int block = 0; block < s.glow.shape().blocks; ++block) fill(pass.zc(block).samples(0, 1), noise, temperature);
    const kernels::Map zd = pass.zd().samples(0, 1);
    fill(zd, noise, temperature);
    shift_zd(zd, prior_means(s.model.condition, v, noise));
    pass.inverse(stream, 1);
    denormalise(pass.input().samples(0, 1), s.model.normaliser, out.data() + i * dimensions);
  }
  return out;
}

std::vector<float> Detector::transfer(std::span<const float> logmel_db, std::span<const double> v_to) {
  State& s = *state_;
  const io::ConditionData& condition = s.model.condition;
  const flow::GlowShape& shape = s.glow.shape();
  require_values(v_to, condition);
  if (v_to.empty())
    throw io::UsageError("no parameter value to move the sound to; give one per parameter of the model");
  if (static_cast<int64_t>(logmel_db.size()) != shape.dimensions()) {
    throw io::DataError("a window of this model is " + std::to_string(shape.width) + " frames of " +
                        std::to_string(shape.height) + " bands; " + std::to_string(logmel_db.size()) + " values given");
  }
  kernels::Stream stream;
  flow::GlowPass pass(s.glow, 1, flow::PassMode::score);
  normalise(logmel_db, s.model.normaliser, pass.input().samples(0, 1));
  pass.forward(stream, pass.input().samples(0, 1));
  flow::WindowScores scores;
  s.prior.score(stream, pass, s.glow.constant_log_det(), {}, {&scores, 1});
  std::vector<double> shift;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    shift.push_back(std::isnan(v_to[p]) ? 0.0 : condition.k[p] * (v_to[p] - scores.estimate[p]));
  }
  shift_zd(pass.zd().samples(0, 1), shift);
  pass.inverse(stream, 1);
  std::vector<float> out(logmel_db.size());
  denormalise(pass.input().samples(0, 1), s.model.normaliser, out.data());
  return out;
}

}  // namespace evenflow::train
