// From sound to normalised windows, as a graph (docs/method.md, 1).
#pragma once

#include "experiments/export/graph.h"
#include "io/model_file.h"

namespace evenflow::experiments::onnx {

struct SoundValues {
  Value log_mel;  ///< [frames, bands] float32, dB
  Value windows;  ///< [windows, bands, window frames] float32, normalised
};

/// samples [t] float32, mono, at the model's rate. Spectra are float64, as the CPU's are in the program. Of sound that
/// is shorter than a window there are no windows.
SoundValues add_log_mel(Graph& graph, const io::ModelData& model, const Value& samples);

}  // namespace evenflow::experiments::onnx
