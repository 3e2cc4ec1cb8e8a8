#include "experiments/export/score_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "io/error.h"
#include "train/detect/decision.h"
#include "train/detect/derived_scores.h"

namespace evenflow::experiments::onnx {
namespace {

Value not_a_number(Graph& graph) {
  return graph.number(std::numeric_limits<double>::quiet_NaN());
}

/// Over the first axis, in float64; of no windows NaN, where ReduceMean would be 0 and a clip too short for a window
/// normal.
Value mean(Graph& graph, const Value& values) {
  const Value count = graph.cast(graph.slice(graph.node("Shape", {values}), 0, 0, 1), Element::float64);
  return graph.divide(graph.reduce("ReduceSum", values, {0}), graph.reshape(count, {}));
}

/// values [n] -> []: as score.aggregate says; one NaN makes it NaN.
Value aggregate(Graph& graph, const Value& values, const io::ScoreSettings& settings) {
  if (settings.aggregate == io::Aggregate::mean) {
    return mean(graph, values);
  }
  const Value count = graph.node("Shape", {values});
  const Value most = settings.aggregate == io::Aggregate::max
                         ? graph.integers({1})
                         : graph.node("Min", {count, graph.integers({std::max(settings.top_k, 1)})});
  const Value largest = graph.node("TopK", {values, most}, 2, {}).front();
  const Value known = graph.node("Equal", {values, values});
  return graph.either(graph.any(graph.node("Not", {known})), not_a_number(graph), mean(graph, largest));
}

/// The mean over windows [n, D] -> [D], summed in float64.
Value mean_descriptor(Graph& graph, const Value& windows) {
  return graph.cast(mean(graph, graph.cast(windows, Element::float64)), Element::float32);
}

class DerivedGraph {
 public:
  DerivedGraph(Graph& graph, const io::NormalData& normal, const WindowValues& windows, ClipValues& clip)
      : graph_(graph), normal_(normal), windows_(windows), clip_(clip) {}

  /// io::UsageError: no graph computes it.
  Value add(const std::string& name) {
    const std::vector<train::DerivedScore>& all = train::derived_scores();
    const auto derived = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.score.name == name; });
    if (derived != all.end()) {
      using enum train::DerivedScore::RestsOn;
      switch (derived->rests_on) {
        case reference:
          return distance_from_mean(derived->of.front());
        case calibration:
          return calibrated(derived->of.front());
        case scores:
          return mean_of(derived->of);
        case points:
          if (name == "score_mahalanobis" || name == "score_nearest") {
            return name == "score_nearest" ? among_points().nearest : among_points().mahalanobis;
          }
      }
    }
    throw io::UsageError(fmt::format("the model cannot be exported: no ONNX graph computes its {}", name));
  }

 private:
  const Value& score(const std::string& name) const {
    return std::find_if(clip_.scores.begin(), clip_.scores.end(), [&](const auto& one) { return one.first == name; })
        ->second;
  }

  Value distance_from_mean(const std::string& of) {
    const auto found = std::find_if(normal_.references.begin(), normal_.references.end(),
                                    [&](const io::ScoreReference& reference) { return reference.score == of; });
    return graph_.node("Abs", {graph_.subtract(score(of), graph_.number(found->mean))});
  }

  Value mean_of(const std::vector<std::string>& of) {
    Value sum = score(of.front());
    for (size_t i = 1; i < of.size(); ++i) {
      sum = graph_.add(sum, score(of[i]));
    }
    return graph_.multiply(sum, graph_.number(1.0 / static_cast<double>(of.size())));
  }

  Value calibrated(const std::string& of) {
    const std::vector<io::CalibrationData::Score>& all = normal_.calibration->scores;
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.score == of; });
    const Calibrated value = add_calibrated(graph_, *normal_.calibration, *found, score(of), *clip_.estimate);
    const Value outside = graph_.cast(value.outside, Element::int64);
    clip_.outside_calibration =
        clip_.outside_calibration ? graph_.node("Max", {*clip_.outside_calibration, outside}) : outside;
    return value.score;
  }

  const PointScores& among_points() {
    if (!points_) {
      points_ = add_points(graph_, *normal_.points, mean_descriptor(graph_, windows_.descriptor));
    }
    return *points_;
  }

  Graph& graph_;
  const io::NormalData& normal_;
  const WindowValues& windows_;
  ClipValues& clip_;
  std::optional<PointScores> points_;
};

/// Puts the likeliest categories in their places of the estimate. Boolean []: the sound has enough of no category of a
/// name, or of several (train/detect/score_clips.cpp).
Value add_names(Graph& graph, const WindowValues& windows, int64_t parameters, ClipValues& clip) {
  if (windows.names.empty()) {
    return {};
  }
  const Scope scope(graph, "names");
  std::vector<Value> columns, unlike;
  int64_t next = 0;
  const auto add_numbers_before = [&](int64_t end) {
    if (next < end) {
      columns.push_back(graph.slice(*clip.estimate, 0, next, end));
    }
    next = end + 1;
  };
  for (const NameValues& name : windows.names) {
    const Value posterior = mean(graph, name.posterior), membership = mean(graph, name.membership);
    const Value place = likeliest(graph, posterior);
    add_numbers_before(static_cast<int64_t>(name.parameter));
    columns.push_back(graph.unsqueeze(place, 0));
    clip.posteriors.push_back(posterior);
    const Value top = graph.reduce("ReduceMax", posterior, {0});
    clip.probabilities.push_back(graph.either(graph.finite(place), top, not_a_number(graph)));
    const Value has = graph.node("Greater", {membership, graph.number(0.5)});
    const Value is = graph.node("Equal", {posterior, top});
    const Value unknown = graph.node("Not", {graph.finite(place)});
    unlike.push_back(graph.unsqueeze(graph.node("Or", {unknown, graph.any(graph.node("Xor", {has, is}))}), 0));
  }
  add_numbers_before(parameters);
  clip.estimate = columns.size() > 1 ? graph.concatenate(columns, 0) : columns.front();
  return graph.any(unlike.size() > 1 ? graph.concatenate(unlike, 0) : unlike.front());
}

/// How rarely a normal clip scores so high (train/statistics/conformal.h); NaN of a score that is not finite.
Value add_p_value(Graph& graph, std::span<const double> normal, const Value& score) {
  const auto clips = static_cast<int64_t>(normal.size());
  const Value as_high = graph.node("GreaterOrEqual", {graph.tensor(normal, {clips}, "normal_scores"), score});
  const Value count = graph.reduce("ReduceSum", graph.cast(as_high, Element::float64), {0});
  const Value p = graph.divide(graph.add(graph.number(1.0), count), graph.number(static_cast<double>(clips) + 1.0));
  return graph.either(graph.finite(score), p, not_a_number(graph));
}

}  // namespace

ClipValues add_clip(Graph& graph, const train::Detector& detector, const WindowValues& windows) {
  const io::ModelData& model = detector.model();
  ClipValues clip;
  for (const auto& [name, values] : windows.scores) {
    const Scope scope(graph, name);
    clip.scores.emplace_back(name, aggregate(graph, values, model.config.score));
  }
  Value no_category;
  if (windows.estimate) {
    clip.estimate = mean(graph, *windows.estimate);
    no_category = add_names(graph, windows, detector.network().parameter_count(), clip);
  }
  DerivedGraph derived(graph, model.normal, windows, clip);
  for (size_t s = windows.scores.size(); s < detector.scores().size(); ++s) {
    const std::string& name = detector.scores()[s].name;
    const Scope scope(graph, name);
    clip.scores.emplace_back(name, derived.add(name));
  }
  if (!windows.names.empty()) {
    const Value calibrated = clip.outside_calibration ? *clip.outside_calibration : graph.number(int64_t{-1});
    clip.outside_calibration = graph.either(no_category, graph.number(int64_t{1}), calibrated);
  }
  const Scope scope(graph, "decision");
  clip.score = std::find_if(clip.scores.begin(), clip.scores.end(), [&](const auto& one) {
                 return one.first == detector.score_name();
               })->second;
  const Value none = graph.number(int64_t{-1});
  clip.decision = none;
  if (!std::isnan(model.threshold.value)) {
    const Value above = graph.node("Greater", {clip.score, graph.number(model.threshold.value)});
    clip.decision = graph.either(graph.finite(clip.score), graph.cast(above, Element::int64), none);
  }
  if (const std::span<const double> normal = train::normal_scores(model, detector.score_name()); !normal.empty()) {
    const Scope of_p_value(graph, "p_value");
    clip.p_value = add_p_value(graph, normal, clip.score);
  }
  return clip;
}

}  // namespace evenflow::experiments::onnx
