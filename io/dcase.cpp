#include "io/dcase.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <system_error>

#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/error.h"
#include "io/manifest.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

constexpr std::array clip_folders = {"train", "test", "source_train", "target_train", "source_test", "target_test"};
constexpr int search_depth = 3;

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('_', begin), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// A number and the letters behind it ("28V" -> 28, "V"); none if there is more, or no number in front.
std::optional<std::pair<double, std::string>> number_with_unit(std::string_view text) {
  const size_t digit = text.starts_with('-') ? 1 : 0;
  if (text.size() <= digit || text[digit] < '0' || text[digit] > '9') return std::nullopt;
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  const std::string unit(end, text.data() + text.size());
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '%'; };
  if (!std::all_of(unit.begin(), unit.end(), is_letter)) return std::nullopt;
  return std::pair(value, unit);
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  auto entry = fs::directory_iterator(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    if (!entry->path().filename().string().starts_with('.')) entries.push_back(entry->path());
  if (error) throw DataError("cannot read folder '" + folder.string() + "': " + error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

/// One look into each clip folder: a music collection with a folder "test" is not DCASE.
bool is_machine_folder(const fs::path& folder) {
  for (const char* name : clip_folders) {
    std::error_code error;
    auto entry = fs::directory_iterator(folder / name, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error))
      if (is_audio(entry->path()) && entry->path().filename().string().starts_with("section_")) return true;
  }
  return false;
}

void find_machines(const fs::path& folder, int depth, bool first_only, std::vector<fs::path>& found) {
  if (is_machine_folder(folder)) {
    found.push_back(folder);
    return;
  }
  if (depth == 0) return;
  for (const fs::path& entry : sorted_entries(folder)) {
    if (first_only && !found.empty()) return;
    if (is_folder(entry)) find_machines(entry, depth - 1, first_only, found);
  }
}

/// Key and value texts of every file in a machine's attributes_NN.csv, by file name.
using AttributeTable = std::map<std::string, std::vector<std::pair<std::string, std::string>>>;

AttributeTable read_attributes(const fs::path& machine) {
  AttributeTable table;
  for (const fs::path& file : sorted_entries(machine)) {
    const std::string name = file.filename().string();
    if (!name.starts_with("attributes_") || !name.ends_with(".csv")) continue;
    const std::vector<CsvRow> rows = parse_csv(read_text(file), file.string());
    if (rows.empty() || rows[0].cells[0] != "file_name")
      throw DataError("'" + file.string() + "' does not begin with the column file_name; get the file anew");
    for (size_t i = 1; i < rows.size(); ++i) {
      const std::vector<std::string>& cells = rows[i].cells;
      auto& attributes = table[fs::path(cells[0]).filename().string()];
      for (size_t j = 1; j + 1 < cells.size(); j += 2)
        if (!cells[j].empty()) attributes.emplace_back(cells[j], cells[j + 1]);
    }
  }
  return table;
}

std::vector<NumericAttribute> attributes_of(const fs::path& file, const DcaseName& name, const AttributeTable& table) {
  const auto listed = table.find(file.filename().string());
  if (listed == table.end()) return numeric_attributes(name.attributes);
  std::vector<NumericAttribute> out;
  for (const auto& [key, value] : listed->second)
    if (auto attribute = numeric_attribute(key, value)) out.push_back(std::move(*attribute));
  return out;
}

Clip make_clip(const fs::path& file, const std::string& subfolder, const DcaseName& name) {
  Clip clip;
  const bool is_train = name.split.empty() ? subfolder.ends_with("train") : name.split == "train";
  clip.split = is_train ? Split::train : Split::test;
  if (!name.label.empty()) clip.label = name.label == "normal" ? 0 : 1;
  clip.domain = name.domain;
  if (clip.domain.empty() && subfolder.find('_') != std::string::npos)
    clip.domain = subfolder.substr(0, subfolder.find('_'));
  clip.section = name.section;
  clip.path = file;
  return clip;
}

std::string machine_name(const fs::path& folder) {
  std::error_code error;
  fs::path absolute = fs::absolute(folder, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  return absolute.filename().string();
}

}  // namespace

std::optional<DcaseName> parse_dcase_name(std::string_view stem) {
  const std::vector<std::string> words = split_words(stem);
  DcaseName name;
  if (words.size() < 3 || words[0] != "section" || !is_number(words[1])) return std::nullopt;
  name.section = words[1];
  size_t i = 2;
  const auto take = [&](const char* one, const char* other, std::string& out) {
    if (i < words.size() && (words[i] == one || words[i] == other)) out = words[i++];
  };
  take("source", "target", name.domain);
  take("train", "test", name.split);
  take("normal", "anomaly", name.label);
  if (i >= words.size() || !is_number(words[i])) return std::nullopt;
  ++i;
  for (; i < words.size(); ++i)
    if (words[i] != "noAttribute" && !words[i].empty()) name.attributes.push_back(words[i]);
  return name;
}

std::optional<NumericAttribute> numeric_attribute(const std::string& key, std::string_view value) {
  const auto number = number_with_unit(value);
  if (!number) return std::nullopt;
  return NumericAttribute(number->second.empty() ? key : key + "_" + number->second, number->first);
}

std::vector<NumericAttribute> numeric_attributes(const std::vector<std::string>& words) {
  std::vector<NumericAttribute> out;
  const bool value_first = !words.empty() && number_with_unit(words[0]).has_value();
  for (size_t i = 0; i + 1 < words.size(); i += 2) {
    const std::string& key = value_first ? words[i + 1] : words[i];
    if (auto attribute = numeric_attribute(key, value_first ? words[i] : words[i + 1]))
      out.push_back(std::move(*attribute));
  }
  return out;
}

bool is_dcase_folder(const fs::path& folder) {
  std::vector<fs::path> found;
  find_machines(folder, search_depth, true, found);
  return !found.empty();
}

Manifest read_dcase_folder(const fs::path& folder) {
  std::vector<fs::path> machines;
  find_machines(folder, search_depth, false, machines);
  if (machines.empty())
    throw DataError("folder '" + folder.string() +
                    "' is not in DCASE layout: no <machine>/train or <machine>/test with section_*.wav below it");
  Manifest manifest;
  manifest.root = folder;
  std::vector<std::vector<NumericAttribute>> attributes;
  std::map<std::string, size_t> column;
  for (const fs::path& machine : machines) {
    const AttributeTable table = read_attributes(machine);
    for (const char* subfolder : clip_folders) {
      if (!is_folder(machine / subfolder)) continue;
      for (const fs::path& file : sorted_entries(machine / subfolder)) {
        if (!is_audio(file)) continue;
        const std::optional<DcaseName> name = parse_dcase_name(file.stem().string());
        if (!name)
          throw DataError("'" + file.string() +
                          "' is not named as in DCASE Task 2 (section_00_source_train_normal_0000.wav); rename it, "
                          "move it out, or list the recordings in a manifest");
        manifest.clips.push_back(make_clip(file.lexically_relative(folder), subfolder, *name));
        manifest.clips.back().machine = machine_name(machine);
        attributes.push_back(attributes_of(file, *name, table));
        for (const auto& [key, value] : attributes.back())
          if (column.emplace(key, column.size()).second) manifest.parameter_names.push_back(key);
      }
    }
  }
  for (size_t i = 0; i < manifest.clips.size(); ++i) {
    manifest.clips[i].parameter.assign(column.size(), std::numeric_limits<double>::quiet_NaN());
    for (const auto& [key, value] : attributes[i]) manifest.clips[i].parameter[column.at(key)] = value;
  }
  return manifest;
}

}  // namespace evenflow::io
