// A trained model as ONNX graphs (docs/formats.md, "ONNX"): from normalised windows, or from sound.
//
// The n windows of a run are one clip: a graph gives what the model makes of each, and the clip's scores, estimate and
// decision, as `evenflow score` does.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "experiments/export/graph.h"
#include "train/detect/score.h"

namespace evenflow::experiments::onnx {

enum class GraphInput { windows, sound };

/// io::UsageError: an opset that lacks an operator or is not known, or a score that no graph computes.
std::unique_ptr<Graph> make_graph(const train::Detector& detector, GraphInput input, int opset);

/// Of the graphs' producer.
inline constexpr std::string_view producer_name = "evenflow";
/// Does a file begin as one that make_graph's bytes were written to?
inline bool is_own_graph(std::string_view beginning) {
  // The IR version in two bytes, then the producer with a byte for its field and one for its length.
  return beginning.size() > 12 && beginning.substr(4, 8) == producer_name && beginning[0] == '\x08' &&
         beginning[2] == '\x12';
}

// Names of what the graphs take and give.
inline constexpr const char *windows_name = "windows", *samples_name = "samples", *parameters_name = "parameters",
                            *log_mel_name = "log_mel";
/// A window's score or term, the clip's being `name`.
std::string window_name(const std::string& name);
/// Of a parameter that is a name: its categories' probabilities, how much there is of each, and the estimate's
/// probability, called as in the scores.
std::string posterior_name(const train::Detector& detector, size_t parameter);
std::string membership_name(const train::Detector& detector, size_t parameter);
std::string probability_name(const train::Detector& detector, size_t parameter);

}  // namespace evenflow::experiments::onnx
