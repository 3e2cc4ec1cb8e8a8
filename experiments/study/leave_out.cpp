#include "experiments/study/leave_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "experiments/choose/candidates.h"
#include "experiments/recordings.h"
#include "experiments/study/folds.h"
#include "io/error.h"
#include "train/detect/speeds.h"

namespace evenflow::experiments {
namespace {

std::vector<double> fold_values(const std::vector<Fold>& folds) {
  std::vector<double> values;
  std::transform(folds.begin(), folds.end(), std::back_inserter(values),
                 [](const Fold& fold) { return fold.value.centre(); });
  return values;
}

/// The parameter's name if it is a speed, or nothing.
std::string speed_of(const io::Manifest& manifest, const io::ConditionSettings& condition) {
  const std::vector<std::string> speeds = train::speeds_among(manifest.parameter_names, condition);
  const std::string& parameter = manifest.parameter_names.front();
  return std::find(speeds.begin(), speeds.end(), parameter) == speeds.end() ? "" : parameter;
}

}  // namespace

std::vector<System> leave_out_systems(const io::Config& base, const std::vector<double>& values,
                                      const std::string& speed) {
  std::vector<System> systems = flow_systems(base);
  const System constrained = systems.back();
  const std::vector<KeyFlag> augmentation =
      base.augment.any() ? std::vector<KeyFlag>{} : usual_augmentation(values, speed);
  const bool has_other_coupling =
      base.model.kind == io::ModelKind::glow && base.model.coupling != io::CouplingKind::additive;
  for (const bool additive : {false, true}) {
    for (const bool augmented : {false, true}) {
      const bool is_known = !additive && !augmented;
      if (is_known || (additive && !has_other_coupling) || (augmented && augmentation.empty())) {
        continue;
      }
      std::vector<KeyFlag> settings = augmented ? augmentation : std::vector<KeyFlag>{};
      if (additive) {
        settings.push_back({"model.coupling", "additive"});
      }
      System system = constrained;
      system.config = resolve({std::nullopt, settings}, constrained.config);
      system.name = fmt::format("multi_scale{}{}", additive ? "_additive" : "", augmented ? "_augmented" : "");
      system.title += fmt::format("{}{}", additive ? ", additive" : "", augmented ? ", augmented" : "");
      systems.push_back(std::move(system));
    }
  }
  systems.push_back(clip_statistics_system(base));
  return systems;
}

LeaveOut run_leave_out(const StudyOptions& options, const io::Config& base) {
  if (!base.train.leave_out.empty()) {
    throw io::UsageError("train.leave_out and --leave-each-out both leave values out; give one of them");
  }
  io::Manifest manifest = read_clips(options.manifest);
  require_recordings(manifest, options.manifest);
  drop_repeated(manifest, options.manifest);
  const Folds folds = make_folds(manifest, options.manifest);
  manifest.notes.insert(manifest.notes.end(), folds.notes.begin(), folds.notes.end());
  for (const std::string& note : manifest.notes) {
    options.log("note: " + note);
  }
  StudyOptions own = options;
  own.systems = leave_out_systems(base, fold_values(folds.folds), speed_of(manifest, base.condition));
  own.claim = nullptr;
  if (options.claim) {
    options.claim();
  }
  claim_recordings(manifest, options.manifest, options.folder);
  LeaveOut study{manifest.parameter_names.front(), folds.points, {}};
  for (const Fold& fold : folds.folds) {
    const std::string name = fmt::format("without {}", train::to_text(fold.value));
    own.folder = options.folder / fmt::format("without_{}", fold.value.centre());
    own.recordings = fold.manifest;
    own.log = [&](const std::string& line) { options.log(fmt::format("{}: {}", name, line)); };
    own.progress = [&](const std::string& what, double fraction) {
      options.progress(fmt::format("{}: {}", name, what), fraction);
    };
    Study of_fold = run_study(own);
    if (of_fold.interrupted) {
      study.interrupted = true;
      break;
    }
    study.folds.push_back({fold.value, std::move(of_fold)});
  }
  return study;
}

}  // namespace evenflow::experiments
