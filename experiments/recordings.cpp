#include "experiments/recordings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <system_error>

#include "experiments/console.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

std::string listed(const std::set<std::string>& names) {
  constexpr size_t most = 8;
  std::string out;
  size_t shown = 0;
  for (const std::string& name : names) {
    if (shown == most) return out + fmt::format(" and {} more", names.size() - most);
    out += (shown++ == 0 ? "" : ", ") + name;
  }
  return out;
}

std::string label_counts(std::span<const io::Clip> clips, io::Split split) {
  std::map<int, int64_t> counts;
  for (const io::Clip& clip : clips)
    if (clip.split == split) ++counts[clip.label];
  std::string out;
  for (const auto& [label, name] : {std::pair(0, "normal"), std::pair(1, "anomalous"), std::pair(-1, "unlabelled")})
    if (counts[label] > 0) out += (out.empty() ? "" : ", ") + fmt::format("{} {}", counts[label], name);
  return out;
}

}  // namespace

std::filesystem::path file_of(const io::Manifest& manifest, const io::Clip& clip) {
  return manifest.root / clip.path;
}

void require_recordings(const io::Manifest& manifest, const std::filesystem::path& named) {
  constexpr size_t most = 10;
  std::vector<std::string> missing;
  for (const io::Clip& clip : manifest.clips) {
    std::error_code error;
    if (!std::filesystem::exists(file_of(manifest, clip), error)) missing.push_back(file_of(manifest, clip).string());
  }
  if (missing.empty()) return;
  std::string names;
  for (size_t i = 0; i < std::min(missing.size(), most); ++i) names += (i == 0 ? "'" : ", '") + missing[i] + "'";
  if (missing.size() > most) names += fmt::format(" and {} more", missing.size() - most);
  throw io::DataError(
      fmt::format("{} of {} recordings listed in '{}' {} missing: {}; correct the paths or add --skip-bad",
                  missing.size(), manifest.clips.size(), named.string(), missing.size() == 1 ? "is" : "are", names));
}

std::vector<double> distinct_values(std::span<const io::Clip> clips, size_t parameter) {
  std::set<double> values;
  for (const io::Clip& clip : clips)
    if (parameter < clip.parameter.size() && !std::isnan(clip.parameter[parameter]))
      values.insert(clip.parameter[parameter]);
  return {values.begin(), values.end()};
}

std::string values_text(const std::vector<double>& values) {
  constexpr size_t most = 12;
  if (values.empty()) return "no known value";
  std::string out;
  if (values.size() > most)
    return fmt::format("{:g}, {:g}, ..., {:g} ({} values)", values[0], values[1], values.back(), values.size());
  for (size_t i = 0; i < values.size(); ++i) out += fmt::format("{}{:g}", i == 0 ? "" : ", ", values[i]);
  return out;
}

std::string describe_clips(std::span<const io::Clip> clips, const std::vector<std::string>& parameter_names) {
  std::string out;
  std::set<std::string> machines, domains, sections;
  for (const io::Clip& clip : clips) {
    if (!clip.machine.empty()) machines.insert(clip.machine);
    if (!clip.domain.empty()) domains.insert(clip.domain);
    if (!clip.section.empty()) sections.insert(clip.section);
  }
  const std::string train = label_counts(clips, io::Split::train), test = label_counts(clips, io::Split::test);
  if (!train.empty()) out += fmt::format("  train clips    {}\n", train);
  if (!test.empty()) out += fmt::format("  test clips     {}\n", test);
  if (!machines.empty()) out += fmt::format("  machines       {}\n", listed(machines));
  if (!sections.empty()) out += fmt::format("  sections       {}\n", listed(sections));
  if (!domains.empty()) out += fmt::format("  domains        {}\n", listed(domains));
  for (size_t p = 0; p < parameter_names.size(); ++p)
    out += fmt::format("  {:<14} {}\n", parameter_names[p], values_text(distinct_values(clips, p)));
  return out;
}

}  // namespace evenflow::experiments
