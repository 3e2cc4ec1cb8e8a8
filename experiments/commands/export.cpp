// evenflow export: a trained model as ONNX graphs.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/export/export.h"
#include "experiments/export/parity.h"
#include "experiments/outputs.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ExportArguments {
  fs::path model;
  std::optional<fs::path> windows, sound;
  int opset = onnx::least_opset;
  std::vector<fs::path> recordings;
  bool force = false;  ///< replace what is not evenflow's own
};

/// How far ONNX Runtime's figures may be from the program's: relative, or absolute below 1.
constexpr double most_error = 1e-5;

void declare(Options& options, ExportArguments& arguments) {
  options.file("MODEL", arguments.model, "the model (model.h5, last.h5)").required();
  options.file("--onnx", arguments.windows, "the graph from normalised windows to write");
  options.file("--from-sound", arguments.sound, "the graph from samples to write, with the log-mel in front");
  options.number("--opset", arguments.opset, 1, 1000,
                 fmt::format("ONNX operator set, {} to {}", onnx::least_opset, onnx::most_opset));
  options.files("--check", arguments.recordings, "recordings to compare with ONNX Runtime on as well");
  options.force(arguments.force);
}

/// Compares a graph with the program: a line on how near they are. io::DataError: too far apart.
std::string compared(onnx::Runtime& runtime, const onnx::Graph& graph, const fs::path& file, const fs::path& named,
                     train::Detector& detector, const std::vector<onnx::ParityClip>& clips) {
  runtime.load(file);
  const std::vector<onnx::ParityError> errors = runtime.compare(graph, detector, clips);
  const onnx::ParityError worst = *std::max_element(
      errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.relative < b.relative; });
  if (!(worst.relative <= most_error)) {
    throw io::DataError(
        fmt::format("'{}' is not written: of '{}', ONNX Runtime {} computes another {} than evenflow, off by {:.2g} of "
                    "it where {:g} is allowed; try another version of ONNX Runtime",
                    named.string(), worst.clip, runtime.version(), worst.output, worst.relative, most_error));
  }
  return fmt::format("  parity with ONNX Runtime {}: {:.1e} at most ({}, {} outputs)\n", runtime.version(),
                     worst.relative, worst.output, errors.size());
}

int run(const ExportArguments& arguments) {
  if (!arguments.windows && !arguments.sound) {
    throw io::UsageError("nothing is asked for; name a file with --onnx (from windows) or --from-sound, or both");
  }
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  for (const fs::path& recording : arguments.recordings) {
    outputs.reads(recording, "a recording");
  }
  for (const std::optional<fs::path>& file : {arguments.windows, arguments.sound}) {
    if (file) {
      outputs.writes(*file, FileKind::graph);
    }
  }
  train::Detector detector(arguments.model, "cpu", 1);
  std::vector<onnx::ParityClip> clips = onnx::own_clips(detector);
  for (const fs::path& recording : arguments.recordings) {
    clips.push_back(onnx::recorded_clip(detector, recording));
  }
  const std::string unchecked = onnx::why_no_runtime();
  std::optional<onnx::Runtime> runtime;
  if (unchecked.empty()) {
    runtime.emplace();
  }
  const auto write = [&](const fs::path& file, onnx::GraphInput input) {
    const std::unique_ptr<onnx::Graph> graph = onnx::make_graph(detector, input, arguments.opset);
    io::AtomicFile target(file);
    target.write(graph->bytes());
    const std::string parity =
        runtime ? compared(*runtime, *graph, target.temporary(), file, detector, clips) : std::string();
    target.commit();
    fmt::print("Exported {}: from {} to {}, opset {}\n{}", file.string(),
               input == onnx::GraphInput::sound ? "samples" : "normalised windows",
               count_text(static_cast<int64_t>(graph->outputs().size()), "output"), arguments.opset, parity);
  };
  if (arguments.windows) {
    write(*arguments.windows, onnx::GraphInput::windows);
  }
  if (arguments.sound) {
    write(*arguments.sound, onnx::GraphInput::sound);
  }
  if (!unchecked.empty()) {
    print_note(
        fmt::format("parity was not checked: {}; pip install onnxruntime, or name a Python that has it in "
                    "$EVENFLOW_PYTHON",
                    unchecked));
  }
  return exit_ok;
}

}  // namespace

Command export_command() {
  return make_command<ExportArguments>(
      "export",
      "Writes a model as ONNX graphs. They compute latents, log-determinant, scores, estimates and the decision. "
      "Where ONNX Runtime is installed, its figures are compared with evenflow's before anything is kept.",
      "  evenflow export runs/first/model.h5 --onnx model.onnx --from-sound sound.onnx", declare, run);
}

}  // namespace evenflow::experiments
