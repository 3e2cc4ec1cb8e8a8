// Distances from normal clips' descriptors (train/statistics/normal_points.h) as a graph.
#include <limits>

#include "experiments/export/score_graph.h"
#include "train/statistics/normal_points.h"

namespace evenflow::experiments::onnx {
namespace {

/// Of both square norms: closer than this, two points are one. The program can tell them apart closer; a descriptor
/// that another runtime computed differs from the stored one by float32's rounding, over the descriptors' deviation.
constexpr double same = 1e-8;

class PointsGraph {
 public:
  PointsGraph(Graph& graph, const train::NormalPoints& points, const Value& descriptor)
      : graph_(graph), points_(points.parts()), n_(points.size()), length_(points.length()) {
    const Value mean = row(points_.mean), deviation = row(points_.deviation);
    rows_ = graph_.tensor(std::span<const double>(points_.rows), {n_, length_});
    columns_ = graph_.transpose(rows_, {1, 0});
    const Value x = graph_.reshape(graph_.cast(descriptor, Element::float64), {1, length_});
    z_ = graph_.divide(graph_.subtract(x, mean), deviation);
    const Value products = graph_.node("MatMul", {z_, columns_});  // [1, n]
    const Value norms = graph_.add(graph_.reduce("ReduceSum", graph_.square(z_), {1}, true), row(points_.square_norms));
    squared_ = graph_.subtract(norms, graph_.multiply(products, graph_.number(2.0)));
    at_point_ = graph_.node("LessOrEqual", {squared_, graph_.multiply(norms, graph_.number(same))});
  }

  Value nearest() {
    const Value far = graph_.number(std::numeric_limits<double>::infinity());
    const Value distance = graph_.node("Sqrt", {graph_.either(at_point_, far, squared_)});
    const std::vector<Value> found =
        graph_.node("TopK", {distance, graph_.integers({points_.neighbours})}, 2, {{"largest", int64_t{0}}});
    const Value counts = graph_.node("Less", {found[0], far});
    const Value zero = graph_.number(0.0);
    const Value reach = graph_.gather(
        graph_.tensor(std::span<const double>(points_.reach), {static_cast<int64_t>(points_.reach.size())}), found[1]);
    const Value distances = total(graph_.either(counts, found[0], zero));
    const Value ratio = graph_.divide(distances, total(graph_.either(counts, reach, zero)));
    const Value none = graph_.node("Not", {graph_.any(counts)});
    return graph_.either(graph_.node("And", {none, usable()}), zero, ratio);
  }

  Value mahalanobis() {
    // Where x is one of the points, it is judged by the others: their mean is -r / (n - 1) beside the mean of all, and
    // their scatter less by n / (n - 1) r r' (Sherman and Morrison 1950).
    const auto others = static_cast<double>(n_ - 1);
    const double weight = points_.b * static_cast<double>(n_) / others;
    const Value own = graph_.any(at_point_);
    const Value index = graph_.node("ArgMax", {graph_.cast(at_point_, Element::int32)},
                                    {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});  // [1]
    const Value r = graph_.gather(rows_, index);
    const Value moved = graph_.add(z_, graph_.divide(r, graph_.number(others)));
    const Value across = product(moved, r), along = product(r, r);
    const Value left = graph_.node(
        "Max",
        {graph_.subtract(graph_.number(1.0), graph_.multiply(along, graph_.number(weight))), graph_.number(1e-12)});
    const Value more = graph_.divide(graph_.multiply(graph_.square(across), graph_.number(weight)), left);
    const Value among = product(z_, z_), among_others = graph_.add(product(moved, moved), more);
    const Value square = graph_.either(own, among_others, among);
    return graph_.divide(graph_.node("Max", {square, graph_.number(0.0)}), graph_.number(static_cast<double>(length_)));
  }

  /// Is the descriptor finite?
  Value usable() { return graph_.node("Not", {graph_.any(graph_.node("Not", {graph_.finite(z_)}))}); }

 private:
  Value row(const std::vector<double>& values) {
    return graph_.tensor(std::span<const double>(values), {1, static_cast<int64_t>(values.size())});
  }
  Value total(const Value& a) { return graph_.reduce("ReduceSum", a, {0, 1}); }

  /// x' S^-1 y of rows [1, D], S = a I + b X'X, by Woodbury's identity.
  Value product(const Value& x, const Value& y) {
    Value sum = total(graph_.multiply(x, y));
    if (points_.b > 0) {
      const Value inverse = graph_.tensor(std::span<const double>(points_.inner_inverse), {n_, n_}, "points.inverse");
      const Value to_x = graph_.node("MatMul", {x, columns_}), to_y = graph_.node("MatMul", {y, columns_});
      sum = graph_.subtract(sum, total(graph_.multiply(to_x, graph_.node("MatMul", {to_y, inverse}))));
    }
    return graph_.divide(sum, graph_.number(points_.a));
  }

  Graph& graph_;
  train::NormalPoints::Parts points_;
  int64_t n_, length_;
  Value rows_, columns_;      // [n, D], [D, n]
  Value z_;                   // [1, D]
  Value squared_, at_point_;  // [1, n]: squared distances; is it this point?
};

}  // namespace

PointScores add_points(Graph& graph, const io::PointData& data, const Value& descriptor) {
  const Scope scope(graph, "points");
  PointsGraph points(graph, train::NormalPoints(data.values, data.length), descriptor);
  const Value none = graph.number(std::numeric_limits<double>::quiet_NaN()), usable = points.usable();
  return {graph.either(usable, points.mahalanobis(), none), graph.either(usable, points.nearest(), none)};
}

}  // namespace evenflow::experiments::onnx
