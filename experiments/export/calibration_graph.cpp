// Local linear regression (train/statistics/local_linear.h) as a graph. Where the program widens its bandwidths step by
// step until enough points count, the graph has the weights of all steps side by side and takes the first that suffice.
#include <algorithm>
#include <limits>
#include <numeric>

#include "experiments/export/score_graph.h"

namespace evenflow::experiments::onnx {
namespace {

/// The widenings that LocalLinear::at would try, one after the other.
std::vector<double> widenings() {
  std::vector<double> all = {1.0};
  while (all.back() < 1e6) {
    all.push_back(all.back() * 1.25);
  }
  return all;
}

/// How much each of n points counts at a place.
struct Weights {
  Value kernel, line;  ///< [1, n]; a mean is their product with the points' values
  Value sparse;        ///< boolean []
};

class LocalGraph {
 public:
  LocalGraph(Graph& graph, const io::CalibrationData& data, const io::CalibrationData::Score& of)
      : graph_(graph),
        data_(data),
        of_(of),
        points_(static_cast<int64_t>(of.value.size())),
        clips_(data.clips),
        predictors_(static_cast<int64_t>(of.bandwidth.size())),
        estimates_(
            graph.tensor(std::span<const double>(data.estimate), {points_, predictors_}, "calibration.estimate")) {}

  /// score [], x [P] among the points.
  Calibrated at(const Value& score, const Value& x) {
    const Weights all = weights(estimates_, x);
    const Weights telling = weights(graph_.slice(estimates_, 0, 0, clips_), x);
    const Value mean = product(all.line, of_.value);
    const double overall =
        std::accumulate(of_.squared_residual.begin(), of_.squared_residual.end(), 0.0) / static_cast<double>(clips_);
    const Value about = graph_.multiply(product(telling.kernel, of_.squared_residual), graph_.number(0.25));
    const Value variance =
        graph_.node("Max", {product(telling.line, of_.squared_residual), about, graph_.number(overall / 400.0)});
    const Value deviation = graph_.divide(graph_.subtract(score, mean), graph_.node("Sqrt", {variance}));
    return {of_.effect.empty() ? deviation : without_own(deviation, x), all.sparse};
  }

 private:
  /// Without what operating points near x have of their own (train/detect/calibration.h).
  Value without_own(const Value& deviation, const Value& x) {
    const auto points = static_cast<int64_t>(of_.effect.size());
    const Value centre = graph_.tensor(std::span<const double>(data_.point), {points, predictors_});
    const Value reach = graph_.tensor(std::span<const double>(data_.reach), {predictors_});
    const Value z = graph_.divide(graph_.subtract(centre, x), reach);
    const Value squares = graph_.reshape(graph_.reduce("ReduceSum", graph_.square(z), {1}), {1, -1});
    const Value bell = graph_.node("Exp", {graph_.multiply(squares, graph_.number(-0.5))});
    const Value sum = graph_.node("Max", {graph_.reduce("ReduceSum", bell, {0, 1}), graph_.number(1.0)});
    const Value weight = graph_.divide(bell, sum);
    const Value left = graph_.subtract(graph_.number(1.0), product(weight, of_.explained));
    return graph_.divide(graph_.subtract(deviation, product(weight, of_.effect)), graph_.node("Sqrt", {left}));
  }

  /// [1, n] x [n] -> []
  Value product(const Value& weights, const std::vector<double>& values) {
    const Value column = graph_.tensor(std::span<const double>(values), {static_cast<int64_t>(values.size()), 1});
    return graph_.reshape(graph_.node("MatMul", {weights, column}), {});
  }

  Weights weights(const Value& points, const Value& x) {
    constexpr double negligible = 80.0, ridge_of_one_point = 0.1;
    const std::vector<double> steps = widenings();
    const auto count = static_cast<int64_t>(steps.size());
    std::vector<double> squared_steps;
    squared_steps.reserve(steps.size());
    for (const double step : steps) {
      squared_steps.push_back(step * step);
    }
    const Value bandwidth = graph_.tensor(std::span<const double>(of_.bandwidth), {predictors_});
    const Value z = graph_.divide(graph_.subtract(points, x), bandwidth);
    const Value squared = graph_.reshape(graph_.reduce("ReduceSum", graph_.square(z), {1}), {1, -1});
    const Value nearest = graph_.reduce("ReduceMin", squared, {0, 1});
    // [steps, n]
    const Value u = graph_.divide(graph_.subtract(squared, nearest),
                                  graph_.tensor(std::span<const double>(squared_steps), {count, 1}));
    const Value limit = graph_.number(negligible);
    const Value bell = graph_.node("Exp", {graph_.multiply(graph_.node("Min", {u, limit}), graph_.number(-0.5))});
    const Value weight = graph_.either(graph_.node("Less", {u, limit}), bell, graph_.number(0.0));
    const Value sum = graph_.reduce("ReduceSum", weight, {1});
    const Value effective = graph_.divide(graph_.square(sum), graph_.reduce("ReduceSum", graph_.square(weight), {1}));
    // The last step is taken if none suffices.
    std::vector<int32_t> last(steps.size(), 0);
    last.back() = 1;
    const Value enough =
        graph_.node("GreaterOrEqual", {effective, graph_.number(static_cast<double>(3 + 2 * predictors_))});
    const Value usable = graph_.node(
        "Max", {graph_.cast(enough, Element::int32), graph_.tensor(std::span<const int32_t>(last), {count})});
    const Value step = graph_.node("ArgMax", {usable}, {{"axis", int64_t{0}}, {"keepdims", int64_t{0}}});
    Weights out;
    out.kernel = graph_.unsqueeze(graph_.divide(graph_.gather(weight, step), graph_.gather(sum, step)), 0);
    out.sparse = graph_.node("Greater", {step, graph_.number(int64_t{0})});
    const Value widening = graph_.gather(graph_.tensor(std::span<const double>(steps), {count}), step);
    const Value ridge = graph_.divide(graph_.number(ridge_of_one_point), graph_.gather(effective, step));
    out.line = line(graph_.divide(z, widening), out.kernel, ridge);
    return out;
  }

  /// The plane's value at z = 0 as weights of the points, w_i (1 - m' (S + r I)^-1 (z_i - m)); z [n, P], w [1, n].
  Value line(const Value& z, const Value& kernel, const Value& ridge) {
    const Value mean = graph_.node("MatMul", {kernel, z});  // [1, P]
    const Value centred = graph_.subtract(z, mean);
    const Value weighted = graph_.multiply(graph_.transpose(centred, {1, 0}), kernel);
    const Value diagonal = graph_.multiply(identity(), ridge);
    const Value covariance = graph_.add(graph_.node("MatMul", {weighted, centred}), diagonal);
    const Value to_mean = solve(covariance, graph_.transpose(mean, {1, 0}));
    const Value off = graph_.reshape(graph_.node("MatMul", {centred, to_mean}), {1, -1});
    return graph_.multiply(kernel, graph_.subtract(graph_.number(1.0), off));
  }

  Value identity() {
    std::vector<double> unit(static_cast<size_t>(predictors_ * predictors_), 0.0);
    for (size_t i = 0; i < unit.size(); i += static_cast<size_t>(predictors_) + 1) {
      unit[i] = 1.0;
    }
    return graph_.tensor(std::span<const double>(unit), {predictors_, predictors_});
  }

  /// a^-1 b of a positive definite a [P, P], b [P, 1]: Gauss-Jordan, pivot by pivot.
  Value solve(const Value& a, const Value& b) {
    Value rows = graph_.concatenate({a, b}, 1);
    for (int64_t i = 0; i < predictors_; ++i) {
      std::vector<double> unit(static_cast<size_t>(predictors_), 0.0);
      unit[static_cast<size_t>(i)] = 1.0;
      const Value row = graph_.slice(rows, 0, i, i + 1);
      const Value scaled = graph_.divide(row, graph_.slice(row, 1, i, i + 1));
      const Value column = graph_.slice(rows, 1, i, i + 1);
      const Value others = graph_.subtract(column, graph_.tensor(std::span<const double>(unit), {predictors_, 1}));
      rows = graph_.subtract(rows, graph_.multiply(others, scaled));
    }
    return graph_.slice(rows, 1, predictors_, predictors_ + 1);
  }

  Graph& graph_;
  const io::CalibrationData& data_;
  const io::CalibrationData::Score& of_;
  int64_t points_, clips_, predictors_;
  Value estimates_;
};

/// Lowest and highest estimate of each parameter among the points.
struct Range {
  std::vector<double> low, high, margin;  ///< margin: how far beyond is outside
};

Range range_of(const io::CalibrationData& data, size_t parameters) {
  constexpr double share = 0.1;
  Range range;
  for (size_t p = 0; p < parameters; ++p) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (size_t i = p; i < data.estimate.size(); i += parameters) {
      low = std::min(low, data.estimate[i]);
      high = std::max(high, data.estimate[i]);
    }
    range.low.push_back(low);
    range.high.push_back(high);
    range.margin.push_back(share * (high - low));
  }
  return range;
}

}  // namespace

Calibrated add_calibrated(Graph& graph, const io::CalibrationData& data, const io::CalibrationData::Score& of,
                          const Value& score, const Value& estimate) {
  const Range range = range_of(data, of.bandwidth.size());
  const auto tensor = [&](const std::vector<double>& values) {
    return graph.tensor(std::span<const double>(values), {static_cast<int64_t>(values.size())});
  };
  const Value x = graph.node("Min", {graph.node("Max", {estimate, tensor(range.low)}), tensor(range.high)});
  const Value beyond = graph.node("Greater", {graph.node("Abs", {graph.subtract(estimate, x)}), tensor(range.margin)});
  const Calibrated at = LocalGraph(graph, data, of).at(score, x);
  const Value unusable = graph.node(
      "Or", {graph.node("Not", {graph.finite(score)}), graph.any(graph.node("Not", {graph.finite(estimate)}))});
  const Value outside = graph.node("Or", {graph.any(beyond), at.outside});
  return {graph.either(unusable, graph.number(std::numeric_limits<double>::quiet_NaN()), at.score),
          graph.node("And", {outside, graph.node("Not", {unusable})})};
}

}  // namespace evenflow::experiments::onnx
