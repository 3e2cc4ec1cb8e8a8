#include "experiments/recordings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <system_error>

#include "experiments/console.h"
#include "io/error.h"
#include "io/file_identity.h"
#include "io/text.h"
#include "train/detect/score.h"

namespace evenflow::experiments {
namespace {

std::string shown(const std::filesystem::path& path) {
  return fmt::format("'{}'", io::escaped(path.string()));
}

bool same_value(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// "; unknown of 4 clips", if some but not all are.
std::string unknown_text(std::span<const io::Clip> clips, size_t parameter) {
  const auto unknown = static_cast<size_t>(std::count_if(clips.begin(), clips.end(), [&](const io::Clip& clip) {
    return parameter >= clip.parameter.size() || std::isnan(clip.parameter[parameter]);
  }));
  if (unknown == 0 || unknown == clips.size()) {
    return {};
  }
  return fmt::format("; unknown of {}", count_text(static_cast<int64_t>(unknown), "clip"));
}

std::string label_counts(std::span<const io::Clip> clips, io::Split split) {
  std::map<int, int64_t> counts;
  for (const io::Clip& clip : clips) {
    if (clip.split == split) {
      ++counts[clip.label];
    }
  }
  std::string out;
  for (const auto& [label, name] : {std::pair(0, "normal"), std::pair(1, "anomalous"), std::pair(-1, "unlabelled")}) {
    if (counts[label] > 0) {
      out += (out.empty() ? "" : ", ") + fmt::format("{} {}", counts[label], name);
    }
  }
  return out;
}

}  // namespace

std::filesystem::path file_of(const io::Manifest& manifest, const io::Clip& clip) {
  return manifest.root / clip.path;
}

io::Manifest read_clips(const std::filesystem::path& input, const io::DeclaredCategories& declared) {
  io::Manifest manifest = io::read_recordings(input, declared);
  train::require_parameter_names(manifest.parameter_names, input);
  return manifest;
}

bool agree(const io::Clip& a, const io::Clip& b) {
  return a.split == b.split && a.label == b.label && a.machine == b.machine && a.domain == b.domain &&
         a.section == b.section &&
         std::equal(a.parameter.begin(), a.parameter.end(), b.parameter.begin(), b.parameter.end(), same_value);
}

void require_distinct(std::span<const std::filesystem::path> files) {
  std::map<io::FileIdentity, const std::filesystem::path*> seen;
  for (const std::filesystem::path& file : files) {
    const auto identity = io::identify(file);
    if (!identity) {
      continue;
    }
    const auto [first, is_new] = seen.emplace(*identity, &file);
    if (!is_new) {
      throw io::UsageError(
          fmt::format("{} is given twice, first as {}; give it once", shown(file), shown(*first->second)));
    }
  }
}

void drop_repeated(io::Manifest& manifest, const std::filesystem::path& named) {
  std::map<io::FileIdentity, const io::Clip*> seen;
  std::vector<io::Clip> kept;
  kept.reserve(manifest.clips.size());  // `seen` points into it
  std::vector<std::string> repeated;
  for (io::Clip& clip : manifest.clips) {
    const auto identity = io::identify(file_of(manifest, clip));
    const auto first = identity ? seen.find(*identity) : seen.end();
    if (first == seen.end()) {
      kept.push_back(std::move(clip));
      if (identity) {
        seen.emplace(*identity, &kept.back());
      }
      continue;
    }
    if (!agree(clip, *first->second)) {
      throw io::DataError(fmt::format(
          "{} and {} of {} are the same file with different entries (split, label, machine, parameters); leave one out",
          shown(first->second->path), shown(clip.path), shown(named)));
    }
    repeated.push_back(fmt::format("{} is {}", shown(clip.path), shown(first->second->path)));
  }
  manifest.clips = std::move(kept);
  if (!repeated.empty()) {
    manifest.notes.push_back(fmt::format("left out: {} that {} the same file as another, such as: {}",
                                         count_text(static_cast<int64_t>(repeated.size()), "recording"),
                                         repeated.size() == 1 ? "is" : "are", repeated.front()));
  }
}

void require_recordings(const io::Manifest& manifest, const std::filesystem::path& named) {
  std::vector<std::string> missing;
  for (const io::Clip& clip : manifest.clips) {
    std::error_code error;
    const std::filesystem::path file = file_of(manifest, clip);
    if (std::filesystem::exists(file, error)) {
      continue;
    }
    missing.push_back(shown(file) + (clip.line > 0 ? fmt::format(" (line {})", clip.line) : ""));
  }
  if (missing.empty()) {
    return;
  }
  throw io::DataError(fmt::format(
      "{} of {} recordings listed in '{}' {} missing: {}; correct the paths or add --skip-bad", missing.size(),
      manifest.clips.size(), named.string(), missing.size() == 1 ? "is" : "are", io::first_names(missing)));
}

std::vector<double> distinct_values(std::span<const io::Clip> clips, size_t parameter) {
  std::set<double> values;
  for (const io::Clip& clip : clips) {
    if (parameter < clip.parameter.size() && !std::isnan(clip.parameter[parameter])) {
      values.insert(clip.parameter[parameter]);
    }
  }
  return {values.begin(), values.end()};
}

namespace {

/// The fewest digits, six at least, with which values that differ look different.
int telling_digits(const std::vector<double>& values) {
  constexpr int least = 6;
  const std::set<double> distinct(values.begin(), values.end());
  int digits = least;
  for (; digits < std::numeric_limits<double>::max_digits10; ++digits) {
    std::set<std::string> texts;
    for (const double value : distinct) {
      texts.insert(fmt::format("{:.{}g}", value, digits));
    }
    if (texts.size() == distinct.size()) {
      break;
    }
  }
  return digits;
}

}  // namespace

std::string values_text(const std::vector<double>& values) {
  constexpr size_t most = 12;
  if (values.empty()) {
    return "no known value";
  }
  const int digits = telling_digits(values);
  const auto text = [&](double value) {
    return digits < std::numeric_limits<double>::max_digits10 ? fmt::format("{:.{}g}", value, digits)
                                                              : fmt::format("{}", value);
  };
  if (values.size() > most) {
    return fmt::format("{}, {}, ..., {} ({} values)", text(values[0]), text(values[1]), text(values.back()),
                       values.size());
  }
  std::string out;
  for (size_t i = 0; i < values.size(); ++i) {
    out += (i == 0 ? "" : ", ") + text(values[i]);
  }
  return out;
}

std::string values_text(const std::vector<double>& codes, const std::vector<std::string>& names) {
  if (names.empty() || codes.empty()) {
    return values_text(codes);
  }
  std::set<std::string> present;
  for (const double code : codes) {
    present.insert(io::value_text(code, names));
  }
  return listed(present);
}

std::string listed(const std::set<std::string>& names) {
  std::vector<std::string> shown;
  shown.reserve(names.size());
  for (const std::string& name : names) {
    shown.push_back(io::escaped(name));
  }
  return io::first_names(shown, 8);
}

std::string other_machines(const std::map<std::string, int64_t>& clips, const std::vector<std::string>& trained) {
  std::set<std::string> others;
  int64_t count = 0;
  for (const auto& [machine, of_it] : clips) {
    if (machine.empty() || std::find(trained.begin(), trained.end(), machine) != trained.end()) {
      continue;
    }
    others.insert(machine);
    count += of_it;
  }
  if (trained.empty() || others.empty()) {
    return {};
  }
  return fmt::format("{} of machine {}, but the model was trained on {}",
                     count == 1 ? "1 clip is" : fmt::format("{} clips are", count), listed(others),
                     listed({trained.begin(), trained.end()}));
}

std::map<std::string, int64_t> count_machines(std::span<const io::Clip> clips) {
  std::map<std::string, int64_t> counts;
  for (const io::Clip& clip : clips) {
    ++counts[clip.machine];
  }
  return counts;
}

void require_own_machines(const std::map<std::string, int64_t>& clips, const std::vector<std::string>& trained,
                          bool allowed) {
  const std::string others = other_machines(clips, trained);
  if (others.empty()) {
    return;
  }
  if (!allowed) {
    throw io::UsageError(others + "; give clips of its own machine, or add --other-machines to take these too");
  }
  print_note(others);
}

std::string describe_clips(std::span<const io::Clip> clips, const std::vector<std::string>& parameter_names,
                           const io::Categories& categories) {
  std::string out;
  std::set<std::string> machines, domains, sections;
  for (const io::Clip& clip : clips) {
    if (!clip.machine.empty()) {
      machines.insert(clip.machine);
    }
    if (!clip.domain.empty()) {
      domains.insert(clip.domain);
    }
    if (!clip.section.empty()) {
      sections.insert(clip.section);
    }
  }
  const std::string train = label_counts(clips, io::Split::train), test = label_counts(clips, io::Split::test);
  if (!train.empty()) {
    out += fmt::format("  train clips    {}\n", train);
  }
  if (!test.empty()) {
    out += fmt::format("  test clips     {}\n", test);
  }
  if (!machines.empty()) {
    out += fmt::format("  machines       {}\n", listed(machines));
  }
  if (!sections.empty()) {
    out += fmt::format("  sections       {}\n", listed(sections));
  }
  if (!domains.empty()) {
    out += fmt::format("  domains        {}\n", listed(domains));
  }
  for (size_t p = 0; p < parameter_names.size(); ++p) {
    out +=
        fmt::format("  {:<14} {}{}\n", io::escaped(parameter_names[p]),
                    values_text(distinct_values(clips, p), io::categories_of(categories, p)), unknown_text(clips, p));
  }
  return out;
}

}  // namespace evenflow::experiments
