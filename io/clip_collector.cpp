#include "io/clip_collector.h"

#include <algorithm>
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
  const auto require_name = [&](const std::string& what, const std::string& text) {
    if (const auto fault = name_fault(text)) {
      throw DataError("'" + (manifest_.root / clip.path).string() + "': " + what + " " + in_quotes(text) + " " +
                      fault->what + "; " + fault->cure);
    }
  };
  Attributes named;
  const Attribute* word = nullptr;
  for (const Attribute& attribute : attributes) {
    if (attribute.key.empty()) {
      word = word == nullptr ? &attribute : word;
      continue;
    }
    require_name("the attribute", attribute.key);
    require_name("the value of '" + attribute.key + "',", attribute.value);
    (numeric_attribute(attribute.key, attribute.value) ? with_numbers_ : with_names_).insert(attribute.key);
    named.push_back(attribute);
  }
  if (word != nullptr && words_++ == 0) {
    word_example_ = word->value;
  }
  manifest_.clips.push_back(std::move(clip));
  attributes_.push_back(std::move(named));
}

ClipCollector::Value ClipCollector::value_of(const Attribute& attribute) const {
  const auto is_name = [&](const std::string& name) { return with_names_.contains(name) || declared_.contains(name); };
  const auto number = numeric_attribute(attribute.key, attribute.value);
  if (!number || is_name(attribute.key)) {
    return {attribute.key, {attribute.value}, true};
  }
  return {number->first, {value_text(number->second, {}), number->second}, is_name(number->first)};
}

size_t ClipCollector::column_of(const Value& value) {
  std::vector<std::string>& names = manifest_.parameter_names;
  const auto found = std::find(names.begin(), names.end(), value.name);
  const auto column = static_cast<size_t>(found - names.begin());
  if (found == names.end()) {
    names.push_back(value.name);
    is_category_.push_back(value.is_category);
  }
  return column;
}

Manifest ClipCollector::finish() {
  std::vector<std::vector<ParameterCell>> rows(attributes_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const Attribute& attribute : attributes_[i]) {
      Value value = value_of(attribute);
      const size_t column = column_of(value);
      rows[i].resize(is_category_.size());
      ParameterCell& cell = rows[i][column];
      if (!cell.text.empty() && cell.text != value.cell.text) {
        contradict(manifest_.root / manifest_.clips[i].path, "has two values of the attribute '" + value.name + "'");
      }
      cell = std::move(value.cell);
    }
  }
  for (std::vector<ParameterCell>& row : rows) {
    row.resize(is_category_.size());
  }
  set_parameters(manifest_, rows, is_category_);
  for (const std::string& name : with_names_) {
    if (with_numbers_.contains(name)) {
      note("the attribute " + in_quotes(name) + " has numbers and names; all are taken for names");
    }
  }
  if (words_ > 0) {
    note("left out: words without a name (" + count_of(words_, "clip") + ", such as " + in_quotes(word_example_) + ")");
  }
  return std::move(manifest_);
}

}  // namespace evenflow::io
