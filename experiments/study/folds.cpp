#include "experiments/study/folds.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "experiments/console.h"
#include "experiments/study/study.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

using io::Clip;
using io::Split;

double parameter_of(const Clip& clip) {
  return clip.parameter.front();
}

train::OperatingPoints points_of_clips(const std::vector<Clip>& clips) {
  std::vector<double> values;
  std::transform(clips.begin(), clips.end(), std::back_inserter(values), parameter_of);
  return train::OperatingPoints(std::move(values));
}

void require_clips(const io::Manifest& manifest, const std::string& named) {
  if (manifest.parameter_names.empty()) {
    throw io::DataError(named +
                        " has no parameter column whose values could be left out; add one with its unit in the name "
                        "(velocity_mm_s)");
  }
  require_number(manifest, named);
  bool anomalous = false;
  for (const Clip& clip : manifest.clips) {
    anomalous = anomalous || clip.label == 1;
    if (clip.label == 1 && clip.split == Split::train) {
      throw io::DataError(
          fmt::format("the clip '{}' of {} is an anomaly in split train, and training takes normal "
                      "clips only; move it to split test",
                      clip.path.string(), named));
    }
  }
  if (!anomalous) {
    throw io::DataError(named + " has no anomalous clip, and an AUC takes some; label those there are");
  }
}

/// What there is at each operating point.
struct Point {
  bool trains = false;     ///< by the manifest
  bool normal = false;     ///< a clip is known to be
  bool anomalous = false;  ///< a clip is
  bool can_train() const { return trains || normal; }
};

class Folding {
 public:
  explicit Folding(const io::Manifest& manifest)
      : manifest_(manifest), points_(points_of_clips(manifest.clips)), at_(points_.size()) {
    for (const Clip& clip : manifest.clips) {
      if (std::isnan(parameter_of(clip))) {
        continue;
      }
      Point& point = at_[points_.nearest(parameter_of(clip))];
      point.trains = point.trains || clip.split == Split::train;
      point.normal = point.normal || clip.label == 0;
      point.anomalous = point.anomalous || clip.label == 1;
    }
  }

  Folds run(const std::string& named) {
    const auto trainable = std::count_if(at_.begin(), at_.end(), [](const Point& point) { return point.can_train(); });
    if (trainable < 3) {
      throw io::DataError(fmt::format("{} has normal clips of {} of {}; leaving one out takes three or more", named,
                                      count_text(trainable, "value"), manifest_.parameter_names.front()));
    }
    Folds folds{points_, {}, notes()};
    for (size_t i = 0; i < points_.size(); ++i) {
      if (at_[i].normal) {
        folds.folds.push_back({points_[i], without(i)});
      }
    }
    return folds;
  }

 private:
  io::Manifest without(size_t left_out) const {
    io::Manifest fold = manifest_;
    fold.notes.clear();
    std::map<std::pair<size_t, std::string>, int64_t> met;  // normal clips by point and machine
    for (Clip& clip : fold.clips) {
      if (std::isnan(parameter_of(clip))) {
        continue;
      }
      const size_t point = points_.nearest(parameter_of(clip));
      if (point == left_out) {
        clip.split = Split::test;
      } else if (!at_[point].trains && clip.label == 0) {
        const int64_t before = met[{point, clip.machine}]++;
        clip.split = before % 2 == 0 ? Split::train : Split::test;
      }
    }
    return fold;
  }

  template <class Wanted>
  std::string values_where(const Wanted& wanted) const {
    std::vector<std::string> values;
    for (size_t i = 0; i < points_.size(); ++i) {
      if (wanted(at_[i])) {
        values.push_back(train::to_text(points_[i]));
      }
    }
    return fmt::format("{}", fmt::join(values, ", "));
  }

  std::vector<std::string> notes() const {
    const std::string& parameter = manifest_.parameter_names.front();
    std::vector<std::string> notes;
    const auto add = [&](const std::string& values, const char* what) {
      if (!values.empty()) {
        notes.push_back(fmt::format("{} = {}: {}", parameter, values, what));
      }
    };
    add(values_where([](const Point& point) { return !point.normal; }), "no fold, for want of a normal clip");
    add(values_where([](const Point& point) { return point.normal && !point.anomalous; }),
        "false alarms only, as there is no anomalous clip");
    add(values_where([](const Point& point) { return !point.trains && point.normal; }),
        "no training clip, so every other normal clip trains where another value is left out");
    return notes;
  }

  const io::Manifest& manifest_;
  train::OperatingPoints points_;
  std::vector<Point> at_;
};

}  // namespace

Folds make_folds(const io::Manifest& manifest, const std::filesystem::path& file) {
  const std::string named = fmt::format("'{}'", file.string());
  require_clips(manifest, named);
  return Folding(manifest).run(named);
}

}  // namespace evenflow::experiments
