// Does a graph give what the program gives? Asked of ONNX Runtime, through a Python that has it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "experiments/export/graph.h"
#include "experiments/process.h"
#include "train/detect/score.h"

namespace evenflow::experiments::onnx {

/// Why parity cannot be checked: no Python (experiments/process.h), or none with ONNX Runtime; empty if it can.
std::string why_no_runtime();

/// A clip to compare on.
struct ParityClip {
  std::string name;                ///< for messages
  std::vector<float> samples;      ///< mono, at the model's rate; empty: it has frames alone
  std::vector<float> frames;       ///< [frames, bands] in dB
  std::vector<double> parameters;  ///< of each that the model is tied to; NaN = unknown
};

/// Sound of this program's own making, and frames about the model's normaliser; parameters known and unknown.
std::vector<ParityClip> own_clips(train::Detector& detector);
/// A recording; parameters unknown. io::DataError names the file.
ParityClip recorded_clip(train::Detector& detector, const std::filesystem::path& file);

/// [n, bands, window frames] of a clip's frames [frames, bands] in dB, as the model is given them.
std::vector<float> normalised_windows(const io::ModelData& model, std::span<const float> frames);

/// The largest difference of an output, over a magnitude: of latents that of the clip's largest; of other figures their
/// own, 1 at least. Where figures cancel, float32 knows no better: of a score in nats the magnitude is at least a
/// hundredth of the parts of a likelihood that it may be a difference of (flow::Model::terms()), of an estimate the
/// parameter's mean in training, of a VAE's divergence and loss the divergence times its logarithm.
struct ParityError {
  std::string output, clip;
  double relative = 0;
};

/// ONNX Runtime, and a graph in it. io::DataError: it has ended, or it refuses a graph, with its reason.
class Runtime {
 public:
  Runtime();
  void load(const std::filesystem::path& graph);
  const std::string& version() const { return version_; }
  /// Of each of the graph's outputs, in its order, the largest relative error over the clips. What is a number on one
  /// side and none on the other, and what decides otherwise, is off by infinity.
  std::vector<ParityError> compare(const Graph& graph, train::Detector& detector, const std::vector<ParityClip>& clips);

 private:
  Conversation python_;
  std::string version_;
};

}  // namespace evenflow::experiments::onnx
