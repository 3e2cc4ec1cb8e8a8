// A trained model as ONNX graphs (docs/formats.md, "ONNX"): from normalised windows, or from sound.
//
// The n windows of a run are one clip: a graph gives what the model makes of each, and the clip's scores, estimate and
// decision, as `evenflow score` does.
#pragma once

#include <memory>
#include <string>

#include "experiments/export/graph.h"
#include "train/detect/score.h"

namespace evenflow::experiments::onnx {

enum class GraphInput { windows, sound };

/// io::UsageError: an opset that lacks an operator or is not known, or a score that no graph computes.
std::unique_ptr<Graph> make_graph(const train::Detector& detector, GraphInput input, int opset);

/// Does a file begin as one that make_graph's bytes were written to?
bool is_own_graph(const std::string& beginning);

// Names of what the graphs take and give.
inline constexpr const char *windows_name = "windows", *samples_name = "samples", *parameters_name = "parameters",
                            *log_mel_name = "log_mel";
/// A window's score or term, the clip's being `name`.
std::string window_name(const std::string& name);

}  // namespace evenflow::experiments::onnx
