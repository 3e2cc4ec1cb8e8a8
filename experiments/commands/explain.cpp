// evenflow explain: why a recording scores as it does.
#include <fmt/format.h>

#include <optional>

#include "experiments/command.h"
#include "experiments/console.h"
#include "experiments/normal_reference.h"
#include "experiments/outputs.h"
#include "experiments/parameter_values.h"
#include "experiments/recordings.h"
#include "experiments/report/explanation.h"
#include "experiments/report/explanation_page.h"
#include "frontend/audio.h"
#include "frontend/features.h"
#include "io/atomic_file.h"
#include "io/sound_format.h"
#include "io/standard_output.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

struct ExplainArguments {
  fs::path model, clip;
  std::string score;
  std::vector<std::string> at;
  std::optional<fs::path> normals, page;
  bool json = false, other_machines = false;
  Compute compute;
  bool force = false;
};

void declare(Options& options, ExplainArguments& arguments) {
  options.file("MODEL", arguments.model, "the model (model.h5)").required();
  options.file("CLIP", arguments.clip, "the recording to explain").required();
  options.word("--score", arguments.score, {}, "the score to explain, instead of the one that decides");
  options.words("--at", arguments.at, "the operating point the clip should have had; once per parameter")
      .shown_as("NAME=X");
  options.file("--normals", arguments.normals,
               "normal recordings or features to compare with, instead of the training clips");
  options.file("--page", arguments.page, "a page to write (HTML): spectrogram, sound, and all that is known");
  options.flag("--json", arguments.json, "print one JSON object instead of text");
  options.force(arguments.force);
  options.other_machines(arguments.other_machines);
  options.compute(arguments.compute);
}

int run(const ExplainArguments& arguments) {
  if (arguments.json) {
    io::keep_standard_output_for_result();
  }
  Outputs outputs(arguments.force);
  outputs.reads(arguments.model, "the model");
  outputs.reads(arguments.clip, "the recording");
  if (arguments.normals) {
    outputs.reads_recordings(*arguments.normals);
  }
  if (arguments.page) {
    outputs.writes(*arguments.page, FileKind::page);
  }
  train::Detector detector(arguments.model, arguments.compute.device, arguments.compute.threads);
  if (io::is_recording(arguments.clip)) {
    require_own_machines(count_machines(read_clips(arguments.clip).clips), detector.model().provenance.machines,
                         arguments.other_machines);
  }
  const io::FrontendSettings& settings = detector.model().config.frontend;
  train::ExplainOptions options;
  options.score = arguments.score;
  const io::ConditionData& condition = detector.model().condition;
  options.at = values_for(condition, parse_values(arguments.at, condition.names));
  std::optional<train::NormalReference> normals;
  if (arguments.normals) {
    StatusLine status;
    normals = read_normals(*arguments.normals, detector,
                           [&](int64_t done, int64_t total) { status.show_clips(done, total); });
    options.normals = &*normals;
  }
  const frontend::Audio audio = frontend::read_audio(arguments.clip, settings);
  frontend::LogMel transform(settings);
  const std::vector<float> logmel_db = frontend::clip_features(arguments.clip, audio.samples, settings, transform);
  options.clipping = audio.source.clipping;
  io::Clip clip;
  clip.path = arguments.clip;
  const train::Explanation explanation = detector.explain(clip, logmel_db, options);
  if (arguments.page) {
    io::write_text(*arguments.page, explanation_page(explanation, detector.model(), {audio.samples, logmel_db}));
  }
  if (arguments.json) {
    io::write_to_standard_output(explanation_json(explanation, detector.model()) + "\n");
    return exit_ok;
  }
  fmt::print("{}", explanation_text(explanation, detector.model()));
  if (arguments.page) {
    fmt::print("  {}\n", arguments.page->string());
  }
  return exit_ok;
}

}  // namespace

Command explain_command() {
  return make_command<ExplainArguments>(
      "explain",
      "Says why a recording scores as it does. It tells what is heard in it that normal clips do not have (a burst, a "
      "tone, a level, a dropout, clipping), in which band, when and by how many dB; where the score comes from; which "
      "normal clips are nearest. With --at it also shows what the clip would sound like at the operating point it "
      "should have "
      "had.",
      "  evenflow explain runs/first/model.h5 clip.wav --page clip.html\n"
      "  evenflow explain runs/first/model.h5 clip.wav --at velocity_mm_s=300 --json",
      declare, run);
}

}  // namespace evenflow::experiments
