// A clip's scores from its windows', as a graph: aggregates, the scores derived from them, the decision.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/export/graph.h"
#include "experiments/export/model_graph.h"
#include "train/detect/score.h"

namespace evenflow::experiments::onnx {

/// Of a clip; all of shape [] and float64 if nothing else is said.
struct ClipValues {
  std::vector<std::pair<std::string, Value>> scores;  ///< in the detector's order
  std::optional<Value> estimate;                      ///< [P]; of a name its place
  std::vector<Value> posteriors, probabilities;       ///< of each name: [C], and the estimate's of it []
  Value score;                                        ///< the one that decides
  Value decision;                                     ///< int64: 1 anomalous, 0 normal, -1 none
  std::optional<Value> p_value;                       ///< of the score that decides; none: no normal clips to judge by
  std::optional<Value> outside_calibration;           ///< int64, 1, 0 or, where nothing is calibrated, -1; none
                                                      ///< of a model that calibrates nothing and knows no names
};

/// io::UsageError names a score that no graph computes.
ClipValues add_clip(Graph& graph, const train::Detector& detector, const WindowValues& windows);

/// A score against what normal clips have at the estimate (docs/method.md, "Calibrated scores").
struct Calibrated {
  Value score;    ///< NaN where the score or an estimate is not finite
  Value outside;  ///< boolean: of what was calibrated
};
Calibrated add_calibrated(Graph& graph, const io::CalibrationData& data, const io::CalibrationData::Score& of,
                          const Value& score, const Value& estimate);

/// Distances of a descriptor [D] float32 from those of normal clips (train/statistics/normal_points.h).
struct PointScores {
  Value mahalanobis, nearest;
};
PointScores add_points(Graph& graph, const io::PointData& data, const Value& descriptor);

}  // namespace evenflow::experiments::onnx
