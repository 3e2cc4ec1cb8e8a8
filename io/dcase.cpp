#include "io/dcase.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <system_error>

#include "io/atomic_file.h"
#include "io/audio_names.h"
#include "io/error.h"
#include "io/manifest.h"
#include "io/text.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_capital(char c) {
  return c >= 'A' && c <= 'Z';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || is_capital(c) || c == '%';
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
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
  if (text.size() <= digit || !is_digit(text[digit])) {
    return std::nullopt;
  }
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) {
    return std::nullopt;
  }
  const std::string unit(end, text.data() + text.size());
  if (!std::all_of(unit.begin(), unit.end(), is_letter)) {
    return std::nullopt;
  }
  return std::pair(value, unit);
}

/// Where the last word of a run of letters begins: "VMic" -> 1, "HzMic" -> 2, "mic" -> 0.
size_t last_word(std::string_view letters) {
  for (size_t i = letters.size(); i-- > 1;) {
    if (is_capital(letters[i]) && i + 1 < letters.size() && !is_capital(letters[i + 1])) {
      return i;
    }
  }
  return 0;
}

/// Letters and the number behind them, in a glued word: "Spd" and "28".
struct GluedPart {
  std::string letters, number;
};

/// "A1Spd28VMic1" as A 1, Spd 28, VMic 1 and the letters at the end; none if it is not of letters and numbers in turn.
std::optional<std::vector<GluedPart>> glued_parts(std::string_view word) {
  std::vector<GluedPart> parts;
  for (size_t i = 0; i < word.size();) {
    GluedPart part;
    while (i < word.size() && is_letter(word[i])) {
      part.letters += word[i++];
    }
    while (i < word.size() && (is_digit(word[i]) || (word[i] == '.' && !part.number.empty()))) {
      part.number += word[i++];
    }
    if (part.letters.empty() || (part.number.empty() && i < word.size())) {
      return std::nullopt;
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

/// The attributes of a glued word; none if it has no key of two letters or more with a number.
std::optional<Attributes> glued_attributes(std::string_view word) {
  std::optional<std::vector<GluedPart>> parts = glued_parts(word);
  if (!parts) {
    return std::nullopt;
  }
  Attributes out;
  bool any_key = false;
  for (size_t i = 0; i < parts->size(); ++i) {
    GluedPart& part = (*parts)[i];
    if (part.number.empty()) {
      break;
    }
    std::string unit;
    if (i + 1 < parts->size()) {
      GluedPart& next = (*parts)[i + 1];
      // What stands between this number and the next key is this one's unit; at the end all of it is.
      const size_t key = next.number.empty() ? next.letters.size() : last_word(next.letters);
      unit = next.letters.substr(0, key);
      next.letters.erase(0, key);
    }
    if (part.letters.size() >= 2 && numeric_attribute(part.letters, part.number + unit)) {
      out.push_back({part.letters, part.number + unit});
      any_key = true;
    } else {
      out.push_back({"", part.letters + part.number + unit});
    }
  }
  if (!any_key) {
    return std::nullopt;
  }
  return out;
}

/// normal_id_00_00000025 and, of the evaluation set, id_00_00000025.
std::optional<DcaseName> parse_2020(const std::vector<std::string>& words) {
  const bool labelled = words[0] == "normal" || words[0] == "anomaly";
  const size_t id = labelled ? 1 : 0;
  if (words.size() != id + 3 || words[id] != "id" || !is_number(words[id + 1]) || !is_number(words[id + 2])) {
    return std::nullopt;
  }
  DcaseName name;
  name.section = words[id + 1];
  if (labelled) {
    name.label = words[0];
  }
  return name;
}

}  // namespace

std::optional<DcaseName> parse_dcase_name(std::string_view stem) {
  const std::vector<std::string> words = split_words(stem);
  DcaseName name;
  if (words[0] != "section") {
    return parse_2020(words);
  }
  if (words.size() < 3 || !is_number(words[1])) {
    return std::nullopt;
  }
  name.section = words[1];
  size_t i = 2;
  const auto take = [&](const char* one, const char* other, std::string& out) {
    if (i < words.size() && (words[i] == one || words[i] == other)) {
      out = words[i++];
    }
  };
  take("source", "target", name.domain);
  take("train", "test", name.split);
  take("normal", "anomaly", name.label);
  if (i >= words.size() || !is_number(words[i])) {
    return std::nullopt;
  }
  ++i;
  const auto first = words.begin() + static_cast<std::ptrdiff_t>(i);
  // A "noAttribute" among others is a value: what stands before it is its key.
  if (!std::all_of(first, words.end(), is_unknown)) {
    name.attributes.assign(first, words.end());
  }
  return name;
}

std::optional<NumericAttribute> numeric_attribute(const std::string& key, std::string_view value) {
  const auto number = number_with_unit(value);
  if (!number) {
    return std::nullopt;
  }
  return NumericAttribute(number->second.empty() ? key : key + "_" + number->second, number->first);
}

Attributes read_attributes(const std::vector<std::string>& words) {
  Attributes out;
  const bool value_first = !words.empty() && number_with_unit(words[0]).has_value();
  for (size_t i = 0; i < words.size();) {
    if (is_unknown(words[i])) {
      ++i;
      continue;
    }
    const bool last = i + 1 == words.size();
    const bool is_key = value_first || (!last && (number_with_unit(words[i + 1]) || is_unknown(words[i + 1])));
    std::optional<Attributes> glued = is_key ? std::nullopt : glued_attributes(words[i]);
    if (glued) {
      std::move(glued->begin(), glued->end(), std::back_inserter(out));
      i += 1;
    } else if (last || (!is_key && words[i].find_first_of("0123456789") != std::string::npos &&
                        glued_attributes(words[i + 1]))) {
      out.push_back({"", words[i]});  // A1 in A1_Spd28V_Mic1
      i += 1;
    } else {
      Attribute pair{words[value_first ? i + 1 : i], words[value_first ? i : i + 1]};
      if (!is_unknown(pair.value)) {
        out.push_back(std::move(pair));
      }
      i += 2;
    }
  }
  return out;
}

AttributeTable::AttributeTable(const fs::path& folder) {
  std::error_code error;
  auto entry = fs::directory_iterator(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("attributes_") && name.ends_with(".csv")) {
      files_.push_back(entry->path());
    }
  }
  if (error) {
    throw DataError("cannot read folder '" + folder.string() + "': " + error.message());
  }
  std::sort(files_.begin(), files_.end());
  for (const fs::path& file : files_) {
    add(file);
  }
}

void AttributeTable::add(const fs::path& file) {
  const std::vector<CsvRow> rows = parse_csv(read_text(file), file.string());
  if (rows.empty() || rows[0].cells[0] != "file_name") {
    throw DataError("'" + file.string() + "' does not begin with the column file_name; get the file again");
  }
  for (size_t i = 1; i < rows.size(); ++i) {
    const std::vector<std::string>& cells = rows[i].cells;
    for (const std::string& cell : cells) {
      const auto fault = text_fault(cell);
      if (fault) {
        throw DataError(file.string() + ":" + std::to_string(rows[i].line) + ": " + in_quotes(cell) + " " +
                        fault->what + "; " + fault->cure);
      }
    }
    const fs::path recording = cells[0];
    Row row{recording.parent_path().filename().string(), {}};
    for (size_t j = 1; j < cells.size(); j += 2) {
      const std::string value = j + 1 < cells.size() ? cells[j + 1] : std::string();
      if (cells[j] != "noAttribute" && !is_unknown(value)) {
        row.attributes.push_back({cells[j], value});
      }
    }
    rows_.emplace(recording.filename().string(), std::move(row));
  }
}

const Attributes* AttributeTable::find(const fs::path& recording) const {
  const auto [begin, end] = rows_.equal_range(recording.filename().string());
  if (begin == end) {
    return nullptr;
  }
  const std::string folder = recording.parent_path().filename().string();
  const auto same = std::find_if(begin, end, [&](const auto& row) { return row.second.folder == folder; });
  // Years differ in the path they give: any will do where the name is unique.
  if (same != end) {
    return &same->second.attributes;
  }
  return std::next(begin) == end ? &begin->second.attributes : nullptr;
}

}  // namespace evenflow::io
