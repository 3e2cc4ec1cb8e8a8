#include "experiments/report/score_notes.h"

#include <fmt/format.h>

#include "experiments/console.h"
#include "io/text.h"

namespace evenflow::experiments {

std::string without_value_text(const std::vector<std::pair<std::string, int64_t>>& scores) {
  if (scores.empty()) {
    return "";
  }
  std::string text = "Not finite, and so in no figure:";
  for (size_t i = 0; i < scores.size(); ++i) {
    text += fmt::format("{} {} of {}", i == 0 ? "" : ",", io::escaped(scores[i].first),
                        count_text(scores[i].second, "clip"));
  }
  return text + ".\n";
}

std::vector<std::string> outside_calibration_texts(const train::OutsideClips& outside, bool or_unlike) {
  std::vector<std::string> texts;
  const auto clips = [](const std::vector<std::string>& paths) {
    return count_text(static_cast<int64_t>(paths.size()), "clip");
  };
  if (const auto& paths = outside.estimate; !paths.empty()) {
    const bool one = paths.size() == 1;
    texts.push_back(
        fmt::format("{} {} outside of the operating points that were calibrated{}, and {} calibrated scores "
                    "are those of the nearest one: {}",
                    clips(paths), one ? "lies" : "lie",
                    !or_unlike ? ""
                    : one      ? ", or sounds like none of the names"
                               : ", or sound like none of the names",
                    one ? "its" : "their", io::first_names(paths)));
  }
  if (const auto& paths = outside.unlike; !paths.empty()) {
    texts.push_back(fmt::format("{} {} like none of the names that were trained, or like several: {}", clips(paths),
                                paths.size() == 1 ? "sounds" : "sound", io::first_names(paths)));
  }
  for (const train::OutsideClips::Untrained& of : outside.untrained) {
    texts.push_back(
        fmt::format("{} of {} = {}, which was never trained (trained: {}), {} scored as if it were unknown: {}",
                    clips(of.paths), of.parameter, of.name, io::first_names(of.trained, 8),
                    of.paths.size() == 1 ? "is" : "are", io::first_names(of.paths)));
  }
  return texts;
}

}  // namespace evenflow::experiments
