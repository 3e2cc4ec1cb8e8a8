// A model that a monitor hears with, and what it decides by.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "experiments/monitor/settings.h"
#include "frontend/features.h"
#include "train/detect/operating_points.h"
#include "train/detect/score.h"

namespace evenflow::experiments::monitor {

/// Serves one thread.
struct LoadedModel {
  /// Throws what Detector throws. io::UsageError: a shift is to be told, and the model estimates nothing, or it has no
  /// threshold.
  LoadedModel(std::filesystem::path file, const MonitorSettings& settings);

  std::filesystem::path file;
  train::Detector detector;
  frontend::LogMel transform;
  train::TrainedOperatingPoints points;
  bool tells_range = false, tells_creep = false;

  const io::FrontendSettings& frontend() const { return detector.model().config.frontend; }
  /// As long as the normal clips that its p-values rest on, or 10 s.
  double clip_s() const;
  /// What there is to be said about how it decides, a sentence.
  std::string describe() const;
};

}  // namespace evenflow::experiments::monitor
