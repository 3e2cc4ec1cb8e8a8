#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "flow/glow_model.h"
#include "io/error.h"
#include "kernels/copy.h"
#include "train/detect/detector_state.h"
#include "train/statistics/random.h"

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

/// What samples and transfers must be able to run backwards.
const flow::GlowModel& require_flow(const flow::Model& model) {
  const auto* glow = dynamic_cast<const flow::GlowModel*>(&model);
  if (glow == nullptr) {
    throw io::UsageError(
        "the model is not a flow, so it cannot be run backwards; train one with model.kind = \"glow\"");
  }
  return *glow;
}

void require_values(std::span<const double> v, const io::ConditionData& condition) {
  for (size_t p = 0; p < std::min(v.size(), condition.names.size()); ++p) {
    if (condition.is_category(p) && !io::is_code(v[p], condition.categories[p])) {
      throw io::UsageError(fmt::format("{:g} is no category of {}: they are 0 to {}", v[p], condition.names[p],
                                       condition.categories[p].size() - 1));
    }
  }
  if (v.empty() || v.size() == condition.names.size()) {
    return;
  }
  const std::string wanted = condition.names.empty() ? "the model is unconstrained: give no value"
                                                     : "the model takes " + std::to_string(condition.names.size());
  throw io::UsageError(std::to_string(v.size()) + " parameter values given; " + wanted);
}

kernels::Array<float> elements_of(const kernels::Map& z) {
  return {z.sample(0), z.c * z.pixels(), z.device};
}

// Adds shift[r] to the elements of zd of each run r.
void shift_zd(std::vector<float>& zd, std::span<const flow::LatentRun> runs, std::span<const double> shift) {
  for (size_t r = 0; r < shift.size(); ++r) {
    for (int64_t i = runs[r].first; i < runs[r].first + runs[r].count; ++i) {
      float& value = zd[static_cast<size_t>(i)];
      value = static_cast<float>(value + shift[r]);
    }
  }
}

std::vector<float> draw(const kernels::Map& z, Noise& noise, double temperature) {
  std::vector<float> values(static_cast<size_t>(z.c * z.pixels()));
  for (float& value : values) {
    value = static_cast<float>(temperature * noise());
  }
  return values;
}

/// A category by the training clips' shares: the first whose cumulated share a normal deviate's probability is below.
double drawn_category(std::span<const double> frequency, double deviate) {
  const double u = 0.5 * std::erfc(-deviate / std::numbers::sqrt2);
  double sum = 0;
  for (size_t c = 0; c + 1 < frequency.size(); ++c) {
    sum += frequency[c];
    if (u < sum) {
      return static_cast<double>(c);
    }
  }
  return static_cast<double>(frequency.size() - 1);
}

// The mean of each run of zd for v; an unknown v is drawn from the training values' distribution.
std::vector<double> prior_means(const flow::LatentPrior& prior, std::span<const double> v, Noise& noise) {
  const io::ConditionData& condition = prior.condition();
  std::vector<double> values, means;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    const double deviate = noise();
    const double drawn = condition.is_category(p) ? drawn_category(condition.frequency[p], deviate)
                                                  : condition.mean[p] + condition.std[p] * deviate;
    values.push_back(v.empty() || std::isnan(v[p]) ? drawn : v[p]);
  }
  for (const flow::LatentRun& run : prior.runs()) {
    if (values.empty()) {
      break;
    }
    const size_t p = run.parameter;
    const double own = run.category < 0                                 ? values[p] - condition.v0[p]
                       : values[p] == static_cast<double>(run.category) ? 1.0
                                                                        : 0.0;
    means.push_back(condition.k[p] * own);
  }
  return means;
}

// By how much each run's elements move so that their means are those of v; by nothing where v is NaN.
std::vector<double> way_to(const flow::LatentPrior& prior, std::span<const double> v,
                           const flow::WindowScores& scores) {
  const io::ConditionData& condition = prior.condition();
  std::vector<double> shift;
  size_t category = 0;  // of all names'
  for (const flow::LatentRun& run : prior.runs()) {
    const size_t p = run.parameter;
    const double now = run.category < 0 ? scores.estimates[0][p] : scores.memberships[0][category++];
    const double then = run.category < 0 ? v[p] : v[p] == static_cast<double>(run.category) ? 1.0 : 0.0;
    shift.push_back(std::isnan(v[p]) ? 0.0 : condition.k[p] * (then - now));
  }
  return shift;
}

// One normalised window [bands, frames] to dB.
void denormalise(std::span<const float> x, const flow::GlowShape& shape, const io::NormaliserData& normaliser,
                 float* out) {
  for (int64_t band = 0; band < shape.height; ++band) {
    const auto b = static_cast<size_t>(band);
    for (int64_t t = band * shape.width; t < (band + 1) * shape.width; ++t) {
      out[t] = x[static_cast<size_t>(t)] * normaliser.std[b] + normaliser.mean[b];
    }
  }
}

// One window [frames, bands] in dB to [bands, frames].
std::vector<float> normalise(std::span<const float> logmel_db, const flow::GlowShape& shape,
                             const io::NormaliserData& normaliser) {
  std::vector<float> x(logmel_db.size());
  for (int64_t band = 0; band < shape.height; ++band) {
    const auto b = static_cast<size_t>(band);
    for (int64_t t = 0; t < shape.width; ++t) {
      const float db = logmel_db[static_cast<size_t>(t * shape.height + band)];
      x[static_cast<size_t>(band * shape.width + t)] = (db - normaliser.mean[b]) / normaliser.std[b];
    }
  }
  return x;
}

}  // namespace

std::vector<float> Detector::sample(int64_t n, std::span<const double> v, double temperature, uint64_t seed) {
  State& s = *state_;
  require_values(v, s.model.condition);
  const flow::GlowModel& model = require_flow(*s.network);
  const flow::Glow& glow = model.glow();
  const flow::GlowShape& shape = glow.shape();
  kernels::Stream stream(glow.device());
  flow::GlowPass pass(glow, 1, flow::PassMode::score);
  std::vector<float> out(static_cast<size_t>(n * shape.dimensions()));
  for (int64_t i = 0; i < n; ++i) {
    Noise noise(seed, i);
    for (int block = 0; block < shape.blocks; ++block) {
      kernels::upload<float>(stream, draw(pass.zc(block), noise, temperature), elements_of(pass.zc(block)));
    }
    std::vector<float> zd = draw(pass.zd(), noise, temperature);
    shift_zd(zd, model.prior().runs(), prior_means(model.prior(), v, noise));
    kernels::upload<float>(stream, zd, elements_of(pass.zd()));
    pass.inverse(stream, 1);
    denormalise(kernels::to_host(stream, elements_of(pass.input())), shape, s.model.normaliser,
                out.data() + i * shape.dimensions());
  }
  return out;
}

std::vector<float> Detector::transfer(std::span<const float> logmel_db, std::span<const double> v_to) {
  State& s = *state_;
  const io::ConditionData& condition = s.model.condition;
  const flow::GlowModel& model = require_flow(*s.network);
  const flow::Glow& glow = model.glow();
  const flow::GlowShape& shape = glow.shape();
  require_values(v_to, condition);
  if (v_to.empty()) {
    throw io::UsageError("no parameter value to move the sound to; give one per parameter of the model");
  }
  if (static_cast<int64_t>(logmel_db.size()) != shape.dimensions()) {
    throw io::DataError("a window of this model is " + std::to_string(shape.width) + " frames of " +
                        std::to_string(shape.height) + " bands; " + std::to_string(logmel_db.size()) + " values given");
  }
  kernels::Stream stream(glow.device());
  flow::GlowPass pass(glow, 1, flow::PassMode::score);
  kernels::upload<float>(stream, normalise(logmel_db, shape, s.model.normaliser), elements_of(pass.input()));
  pass.forward(stream, pass.input().samples(0, 1));
  flow::WindowScores scores(model, 1);
  model.prior().score(stream, pass, glow.constant_log_det(), {}, scores, 0);
  std::vector<float> zd = kernels::to_host(stream, elements_of(pass.zd()));
  shift_zd(zd, model.prior().runs(), way_to(model.prior(), v_to, scores));
  kernels::upload<float>(stream, zd, elements_of(pass.zd()));
  pass.inverse(stream, 1);
  std::vector<float> out(logmel_db.size());
  denormalise(kernels::to_host(stream, elements_of(pass.input())), shape, s.model.normaliser, out.data());
  return out;
}

}  // namespace evenflow::train
