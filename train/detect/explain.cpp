#include "train/detect/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "flow/glow_model.h"
#include "io/error.h"
#include "kernels/copy.h"
#include "train/detect/clip_sound.h"
#include "train/detect/derived_scores.h"
#include "train/detect/detector_state.h"
#include "train/detect/speeds.h"
#include "train/statistics/finite.h"
#include "train/statistics/normal_points.h"

namespace evenflow::train {
namespace {

/// The model's own score under a derived one; none if that rests on something else.
std::optional<size_t> own_score(const std::string& name, const flow::Model& model) {
  std::string of = name;
  for (const auto& all = derived_scores();;) {
    const auto own = std::find_if(model.scores().begin(), model.scores().end(),
                                  [&](const flow::Score& score) { return score.name == of; });
    if (own != model.scores().end()) {
      return static_cast<size_t>(own - model.scores().begin());
    }
    const auto derived =
        std::find_if(all.begin(), all.end(), [&](const DerivedScore& score) { return score.score.name == of; });
    if (derived == all.end() || derived->of.empty()) {
      return std::nullopt;
    }
    of = derived->of.front();
  }
}

/// What each window counts in its clip's score.
std::vector<double> weights_of(const std::vector<double>& values, const io::ScoreSettings& settings) {
  const size_t n = values.size();
  size_t counted = n;
  if (settings.aggregate == io::Aggregate::max) {
    counted = 1;
  } else if (settings.aggregate == io::Aggregate::top_k) {
    counted = std::min(n, static_cast<size_t>(std::max(settings.top_k, 1)));
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  std::vector<double> weights(n, 0.0);
  for (size_t i = 0; i < counted; ++i) {
    weights[order[i]] = 1.0 / static_cast<double>(counted);
  }
  return weights;
}

/// Collects windows' attributions into the clip's maps.
class Maps {
 public:
  Maps(Explanation& out, const flow::Model& model) : out_(out), bands_(model.height()), width_(model.width()) {
    const auto size = static_cast<size_t>(out.frames * out.bands);
    out_.coverage.assign(static_cast<size_t>(out.frames), 0.0);
    out_.shares.assign(size, 0.0);
    out_.gradient_input.assign(size, 0.0);
  }

  /// x [bands, width] normalised, of the window from frame `start` on.
  void add(const flow::Attribution& window, std::span<const float> x, int64_t start, double weight) {
    for (int64_t t = 0; t < width_; ++t) {
      out_.coverage[static_cast<size_t>(start + t)] += weight;
      for (int64_t b = 0; b < bands_; ++b) {
        const auto from = static_cast<size_t>(b * width_ + t), to = static_cast<size_t>((start + t) * bands_ + b);
        if (!window.shares.empty()) {
          out_.shares[to] += weight * window.shares[from];
        }
        if (!window.gradient.empty()) {
          out_.gradient_input[to] += weight * window.gradient[from] * x[from];
        }
      }
    }
    has_gradient_ = has_gradient_ || !window.gradient.empty();
    if (out_.parts.empty()) {
      out_.parts = window.parts;
      for (flow::Attribution::Part& part : out_.parts) {
        part.share = 0;
        part.mean_square = 0;
      }
    }
    for (size_t i = 0; i < window.parts.size(); ++i) {
      out_.parts[i].share += weight * window.parts[i].share;
      out_.parts[i].mean_square += weight * window.parts[i].mean_square;
    }
  }

  void finish() {
    if (!has_gradient_) {
      out_.gradient_input.clear();
    }
    if (out_.parts.empty()) {
      out_.divided.clear();
      out_.shares.clear();
      return;
    }
    out_.by_band.assign(static_cast<size_t>(bands_), 0.0);
    out_.by_frame.assign(static_cast<size_t>(out_.frames), 0.0);
    for (size_t i = 0; i < out_.shares.size(); ++i) {
      out_.by_band[i % static_cast<size_t>(bands_)] += out_.shares[i];
      out_.by_frame[i / static_cast<size_t>(bands_)] += out_.shares[i];
    }
  }

 private:
  Explanation& out_;
  int64_t bands_, width_;
  bool has_gradient_ = false;
};

void add_estimates(const io::ConditionData& condition, std::span<const double> asked, Explanation& out) {
  for (size_t p = 0; p < condition.names.size(); ++p) {
    const std::vector<double>& values = condition.training_values[p];
    const double value = out.clip.estimate[p];
    if (condition.is_category(p)) {
      const double none = std::numeric_limits<double>::quiet_NaN();
      out.estimates.push_back({.name = condition.names[p],
                               .value = value,
                               .low = none,
                               .high = none,
                               .inside = !out.clip.no_category,
                               .asked = asked[p],
                               .categories = condition.categories[p],
                               .probability = out.clip.probability[p]});
      continue;
    }
    out.estimates.push_back({.name = condition.names[p],
                             .value = value,
                             .low = values.front(),
                             .high = values.back(),
                             .inside = value >= values.front() && value <= values.back(),
                             .asked = asked[p],
                             .categories = {},
                             .probability = std::numeric_limits<double>::quiet_NaN()});
  }
}

void add_nearest(const io::PointData& points, const io::SoundData* sound, size_t parameters, Explanation& out) {
  if (points.length != static_cast<int64_t>(out.clip.descriptor.size()) || !all_finite(out.clip.descriptor)) {
    return;
  }
  for (const NormalPoints::Neighbour& near :
       NormalPoints(points.values, points.length).neighbours(out.clip.descriptor)) {
    Explanation::Neighbour neighbour{.path = "", .distance = near.distance, .v = {}};
    if (sound != nullptr) {
      const auto i = static_cast<size_t>(near.point);
      neighbour.path = sound->paths[i];
      const auto first = sound->v.begin() + static_cast<std::ptrdiff_t>(i * parameters);
      neighbour.v.assign(first, first + static_cast<std::ptrdiff_t>(parameters));
    }
    out.nearest.push_back(std::move(neighbour));
  }
}

/// The model's parameter that frequencies move with, if one is a speed.
std::optional<SpeedOfBands> speed_of(const io::ConditionData& condition, const io::Config& config) {
  const std::vector<std::string>& names = condition.names;
  std::vector<std::string> speeds = config.condition.speeds;
  if (speeds.empty()) {
    speeds = speeds_among(names, config.condition, condition.categories);
  }
  const auto found = std::find_first_of(names.begin(), names.end(), speeds.begin(), speeds.end());
  if (found == names.end()) {
    return std::nullopt;
  }
  return SpeedOfBands{static_cast<size_t>(found - names.begin()), mels_per_band(config.frontend)};
}

std::vector<size_t> names_among(const io::ConditionData& condition) {
  std::vector<size_t> names;
  for (size_t p = 0; p < condition.names.size(); ++p) {
    if (condition.is_category(p)) {
      names.push_back(p);
    }
  }
  return names;
}

/// "velocity_mm_s = 300, tool = B" of the values that are known, numbers with so many digits.
std::string point_text(std::span<const double> at, const io::ConditionData& condition, int digits) {
  std::string text;
  for (size_t p = 0; p < at.size(); ++p) {
    if (!std::isnan(at[p])) {
      const std::string value = condition.is_category(p) ? io::value_text(at[p], condition.categories[p])
                                                         : fmt::format("{:.{}g}", at[p], digits);
      text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", condition.names[p], value);
    }
  }
  return text;
}

/// " at velocity_mm_s = 300 (estimated), tool = B".
std::string where_text(const ExpectedSound& expected, const io::ConditionData& condition,
                       const std::vector<Explanation::Known>& known) {
  std::string text;
  for (size_t p = 0; p < expected.at.size(); ++p) {
    if (std::isnan(expected.at[p])) {
      continue;
    }
    std::vector<double> alone(expected.at.size(), std::numeric_limits<double>::quiet_NaN());
    alone[p] = expected.at[p];
    using enum Explanation::Known;
    text += fmt::format("{}{}{}", text.empty() ? " at " : ", ", point_text(alone, condition, 4),
                        known[p] == estimate   ? " (estimated)"
                        : known[p] == spectrum ? " (by its spectrum)"
                                               : "");
  }
  return text;
}

/// Sets what the clip is compared with: normal clips at its operating point `v`. What is unknown of that (NaN) is the
/// model's estimate, unless clips at another point have the clip's spectrum and only its level is another: a model
/// takes a louder machine for a faster one, and what is normal for a faster one would give the wrong words.
void compare_with(const NormalSound& normal, std::span<const float> logmel_db, std::span<const double> v,
                  const io::ConditionData& condition, Explanation& out) {
  std::vector<double> point(v.begin(), v.end()), names_known = point;
  out.known.assign(v.size(), Explanation::Known::given);
  for (size_t p = 0; p < point.size(); ++p) {
    if (std::isnan(point[p])) {
      point[p] = out.clip.estimate[p];
      out.known[p] = Explanation::Known::estimate;
      names_known[p] = condition.is_category(p) ? point[p] : names_known[p];
    }
  }
  out.expected = normal.at(point);
  const std::vector<float> level_db = clip_sound(logmel_db, out.bands).level_db;
  if (const std::optional<std::vector<double>> own = normal.of_spectrum(level_db, names_known)) {
    constexpr double clearly = 1.5, least = 0.1;
    const ExpectedSound expected = normal.at(*own);
    const double above = level_above(expected, level_db), misfit = misfit_of(expected, level_db, above);
    // Both without the level: it must be the course over the bands that tells the points apart.
    const double of_estimate = misfit_of(*out.expected, level_db, level_above(*out.expected, level_db));
    if (out.expected->at.empty() || of_estimate > std::max(clearly * misfit, misfit + least)) {
      out.expected = expected;
      out.louder_db = above;
      for (size_t p = 0; p < names_known.size(); ++p) {
        out.known[p] = std::isnan(names_known[p]) ? Explanation::Known::spectrum : out.known[p];
      }
    }
  }
  if (out.expected->at.empty()) {
    out.known.clear();
  }
  out.where = where_text(*out.expected, condition, out.known);
}

/// io::UsageError unless what the model made of the values that were asked for is finite. Where none was asked, they
/// are the clip's own.
void require_answer(std::span<const double> at, const io::ConditionData& condition, bool finite) {
  const std::string asked = point_text(at, condition, 6);
  if (!finite && !asked.empty()) {
    throw io::UsageError(
        fmt::format("the model gives no finite sound at {}; ask for values near those it was trained at (evenflow info "
                    "shows them)",
                    asked));
  }
}

/// Are all values that were asked for names, or numbers within the range of the training clips'?
bool is_trained(std::span<const double> at, const io::ConditionData& condition) {
  for (size_t p = 0; p < at.size(); ++p) {
    const std::vector<double>& values = condition.training_values[p];
    if (!std::isnan(at[p]) && !condition.is_category(p) && !(at[p] >= values.front() && at[p] <= values.back())) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string Explanation::sentence() const {
  if (!findings.empty()) {
    std::string text = text_of(findings.front(), where);
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    return text;
  }
  return expected ? fmt::format("No band is louder or quieter than is normal{}", where)
                  : "The model file does not hold what normal clips sound like; give some with --normals";
}

Explanation Detector::explain(const io::Clip& clip, std::span<const float> logmel_db, const ExplainOptions& options,
                              const std::vector<std::string>& parameter_names, const io::Categories& categories) {
  State& s = *state_;
  const io::ConditionData& condition = s.model.condition;
  const std::vector<std::string>& names = condition.names;
  const std::optional<size_t> asked = s.scores.find(options.score.empty() ? s.score_name : options.score);
  if (!asked) {
    throw io::UsageError(
        fmt::format("the model has no score '{}'; it has {}", options.score, fmt::join(s.scores.names(), ", ")));
  }
  if (!options.at.empty() && options.at.size() != names.size()) {
    throw io::UsageError(
        fmt::format("{} parameter values given, and the model takes {}", options.at.size(), names.size()));
  }
  ModelValues values = s.values(clip, parameter_names, categories);
  std::vector<double>& v = values.v;
  for (size_t p = 0; p < options.at.size(); ++p) {
    v[p] = std::isnan(options.at[p]) ? v[p] : options.at[p];
  }
  require_answer(options.at, condition, std::all_of(options.at.begin(), options.at.end(), [](double value) {
                   return std::isnan(value) || std::abs(value) <= std::numeric_limits<float>::max();
                 }));
  ClipGroup group;
  add_clip(group, clip, logmel_db, values, s.model.config.window, s.model.config.frontend);
  flow::WindowScores windows(*s.network, static_cast<int64_t>(group.start.size()));
  s.engine->score(group.batch(), windows);
  ClipScoring scoring = s.scoring();
  scoring.keep_descriptors = true;

  Explanation out;
  out.clip = aggregate(scoring, group, windows).front();
  out.score = s.scores.names()[*asked];
  out.value = out.clip.scores[*asked];
  if (!std::isfinite(out.value)) {
    throw io::DataError(fmt::format("'{}' cannot be explained: its {} is not finite{}{}", clip.path.string(), out.score,
                                    out.clip.fault.empty() ? "; the score may need --at" : ": ", out.clip.fault));
  }
  out.bands = s.network->height();
  out.frames = static_cast<int64_t>(logmel_db.size()) / out.bands;
  divide(group, windows, v, out);
  add_estimates(condition, v, out);

  const io::PointData* points = options.normals != nullptr ? &options.normals->points
                                : s.model.normal.points    ? &*s.model.normal.points
                                                           : nullptr;
  const io::SoundData* sound = options.normals != nullptr ? &options.normals->sound
                               : s.model.normal.sound     ? &*s.model.normal.sound
                                                          : nullptr;
  if (points != nullptr) {
    add_nearest(*points, sound, names.size(), out);
  }
  if (sound != nullptr) {
    const NormalSound normal(*sound, names.size(), speed_of(condition, s.model.config), names_among(condition));
    compare_with(normal, logmel_db, v, condition, out);
  }
  out.findings = find({.logmel_db = logmel_db,
                       .frontend = s.model.config.frontend,
                       .expected = out.expected ? &*out.expected : nullptr,
                       .clipping = options.clipping});
  // A name that was not asked for is the likeliest: so the sound of a clip that is between names becomes one's own.
  for (const size_t p : names_among(condition)) {
    v[p] = std::isnan(v[p]) ? out.clip.estimate[p] : v[p];
  }
  const bool known = std::any_of(v.begin(), v.end(), [](double value) { return !std::isnan(value); });
  if (known && dynamic_cast<const flow::GlowModel*>(s.network.get()) != nullptr) {
    out.moved_db = transfer_clip(logmel_db, v);
    const bool finite = all_finite(out.moved_db);
    require_answer(options.at, condition, finite || is_trained(options.at, condition));
    if (!finite) {
      out.moved_db.clear();
      const std::string at = point_text(options.at, condition, 6);
      out.not_moved =
          at.empty() ? at : fmt::format("The model gives no finite sound at {}; it takes a longer training", at);
    }
  }
  return out;
}

void Detector::divide(const ClipGroup& group, const flow::WindowScores& windows, std::span<const double> v,
                      Explanation& out) {
  State& s = *state_;
  const std::optional<size_t> own = own_score(out.score, *s.network);
  if (!own) {
    return;
  }
  out.divided = s.network->scores()[*own].name;
  out.divided_value = out.clip.scores[*own];
  for (const io::ScoreReference& reference : s.model.normal.references) {
    if (reference.score == out.divided) {
      out.normal_mean = reference.mean;
      out.normal_deviation = reference.deviation;
    }
  }
  std::vector<double> values;
  for (int64_t w = 0; w < windows.size(); ++w) {
    values.push_back(windows.scores[w][*own]);
  }
  const std::vector<double> weights = weights_of(values, s.model.config.score);
  const kernels::Buffer<float> x = s.engine->normalised(group.batch());
  const std::unique_ptr<flow::Pass> pass = s.network->make_pass(1, flow::PassMode::train);
  kernels::Stream stream(s.network->device());
  const int64_t dimensions = s.network->dimensions();
  Maps maps(out, *s.network);
  flow::Attribution window;
  for (size_t w = 0; w < weights.size(); ++w) {
    if (weights[w] == 0.0) {
      continue;
    }
    const kernels::Array<float> own_x = x.slice(static_cast<int64_t>(w) * dimensions, dimensions);
    const kernels::Map map = kernels::make_map(own_x.data, 1, 1, s.network->height(), s.network->width(), own_x.device);
    pass->attribute(stream, map, v, *own, window);
    maps.add(window, kernels::to_host(stream, own_x), group.start[w], weights[w]);
  }
  maps.finish();
}

std::vector<float> Detector::transfer_clip(std::span<const float> logmel_db, std::span<const double> v_to) {
  const int64_t bands = network().height(), width = network().width();
  const int64_t frames = static_cast<int64_t>(logmel_db.size()) / bands;
  std::vector<float> out(logmel_db.size());
  for (int64_t first = 0; first < frames; first += width) {
    const int64_t start = std::min(first, frames - width);
    const std::vector<float> moved =
        transfer(logmel_db.subspan(static_cast<size_t>(start * bands), static_cast<size_t>(width * bands)), v_to);
    for (int64_t t = first - start; t < width; ++t) {
      for (int64_t b = 0; b < bands; ++b) {
        out[static_cast<size_t>((start + t) * bands + b)] = moved[static_cast<size_t>(b * width + t)];
      }
    }
  }
  return out;
}

void Detector::add_normal(NormalReference& reference, const io::Clip& clip, std::span<const float> logmel_db,
                          const std::vector<std::string>& parameter_names, const io::Categories& categories) {
  State& s = *state_;
  const std::vector<double> v = s.values(clip, parameter_names, categories).v;
  ClipGroup group;
  add_clip(group, clip, logmel_db, {v, false}, s.model.config.window, s.model.config.frontend);
  flow::WindowScores windows(*s.network, static_cast<int64_t>(group.start.size()));
  s.engine->score(group.batch(), windows);
  ClipScoring scoring = s.scoring();
  scoring.keep_descriptors = true;
  const ClipScore scored = aggregate(scoring, group, windows).front();
  if (!scored.descriptor.empty() && all_finite(scored.descriptor)) {
    reference.add(scored, v);
  }
}

}  // namespace evenflow::train
