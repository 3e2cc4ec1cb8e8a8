#include "experiments/monitor/loaded_model.h"

#include <fmt/format.h>

#include <cmath>

#include "io/error.h"
#include "train/detect/decision.h"

namespace evenflow::experiments::monitor {

LoadedModel::LoadedModel(std::filesystem::path file_in, const MonitorSettings& settings)
    : file(std::move(file_in)),
      detector(file, settings.device, 1, settings.decision),
      transform(detector.model().config.frontend),
      points(detector.model()) {
  if (std::isnan(detector.model().threshold.value)) {
    throw io::UsageError(
        fmt::format("'{}' has no threshold; give --threshold, or run evenflow calibrate", file.string()));
  }
  const bool asked = settings.shift == Shift::range || settings.shift == Shift::creep;
  if (asked && !points.estimated()) {
    throw io::UsageError(fmt::format(
        "'{}' estimates no parameter, so that --shift {} cannot be told; train with condition.parameters, or leave "
        "--shift out",
        file.string(), io::name_of(settings.shift)));
  }
  tells_range = settings.shift != Shift::off && points.estimated();
  tells_creep = settings.shift == Shift::creep;
}

double LoadedModel::clip_s() const {
  constexpr double usual_s = 10;
  const io::ModelData& model = detector.model();
  if (!model.conformal || model.conformal->clip_frames < 2) {
    return usual_s;
  }
  return static_cast<double>((model.conformal->clip_frames - 1) * frontend().hop_samples) / frontend().sample_rate_hz;
}

std::string LoadedModel::describe() const {
  const io::ModelData& model = detector.model();
  std::string text = fmt::format("a clip is anomalous when {} > {:.6g}", detector.score_name(), model.threshold.value);
  if (train::normal_scores(model, detector.score_name()).empty()) {
    text +=
        "; the model holds no scores of normal clips that it was not trained on, so there are no p-values (evenflow "
        "calibrate gives them)";
  }
  if (!points.estimated()) {
    text += "; it estimates no operating point, so a shift cannot be told from a fault";
  }
  return text;
}

}  // namespace evenflow::experiments::monitor
