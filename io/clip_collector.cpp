#include "io/clip_collector.h"

#include <limits>
#include <optional>

#include "io/error.h"
#include "io/placed_recording.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

void require_text(const Clip& clip, const fs::path& folder) {
  const auto refuse = [&](const std::optional<TextFault>& fault, const std::string& what, const std::string& text) {
    if (fault) {
      throw DataError("'" + escaped((folder / clip.path).string()) + "': the " + what + " " + in_quotes(text) + " " +
                      fault->what + "; rename it or move it out");
    }
  };
  refuse(text_fault(clip.path.string()), "path", clip.path.string());
  refuse(name_fault(clip.machine), "machine's folder", clip.machine);
  refuse(name_fault(clip.section), "section", clip.section);
}

}  // namespace

void ClipCollector::add(Clip clip, const Attributes& attributes) {
  require_text(clip, manifest_.root);
  const fs::path file = manifest_.root / clip.path;
  std::map<std::string, double> values;
  for (const auto& [key, value] : attributes.numbers) {
    if (const auto fault = name_fault(key)) {
      throw DataError("'" + file.string() + "': the attribute " + in_quotes(key) + " " + fault->what + "; " +
                      fault->cure);
    }
    const auto [known, is_new] = values.emplace(key, value);
    if (!is_new && known->second != value) {
      contradict(file, "has two values of the attribute '" + key + "'");
    }
    if (column_.emplace(key, column_.size()).second) {
      manifest_.parameter_names.push_back(key);
    }
  }
  for (const auto& [key, value] : attributes.others) {
    Seen& seen = words_[key];
    if (seen.count++ == 0) {
      seen.example = value;
    }
  }
  manifest_.clips.push_back(std::move(clip));
  values_.push_back(std::move(values));
}

Manifest ClipCollector::finish() {
  for (size_t i = 0; i < manifest_.clips.size(); ++i) {
    manifest_.clips[i].parameter.assign(column_.size(), std::numeric_limits<double>::quiet_NaN());
    for (const auto& [key, value] : values_[i]) {
      manifest_.clips[i].parameter[column_.at(key)] = value;
    }
  }
  if (!words_.empty()) {
    note("left out: attributes that are no numbers: " + words_text());
  }
  return std::move(manifest_);
}

std::string ClipCollector::words_text() const {
  std::string text;
  for (const auto& [key, seen] : words_) {
    text += (text.empty() ? "" : ", ") + (key.empty() ? "words without a name" : in_quotes(key)) + " (" +
            count_of(seen.count, "clip") + ", such as " + in_quotes(seen.example) + ")";
  }
  return text;
}

}  // namespace evenflow::io
