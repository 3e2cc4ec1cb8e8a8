#include "io/manifest.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <system_error>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/parameter_columns.h"
#include "io/text.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

std::string place(const std::string& origin, int64_t line) {
  return origin + ":" + std::to_string(line) + ": ";
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Ends in DataError if `fault` is one: "m.csv:2: machine 'x\\x1b' holds the control character U+001B; remove it".
void refuse(const std::optional<TextFault>& fault, const std::string& what, std::string_view text) {
  if (fault) {
    throw DataError(what + " " + in_quotes(text) + " " + fault->what + "; " + fault->cure);
  }
}

constexpr std::array required_columns = {"path", "split", "label", "machine"};

/// The manifest's header: where each reserved column is, and which columns are parameters.
struct Columns {
  std::map<std::string, size_t> reserved;
  std::vector<size_t> parameter;
  std::vector<std::string> parameter_names;
  std::vector<bool> is_category;  ///< by the header: "tool:category"
};

/// How the header comes to have the column.
std::string header_cure(const CsvRow& header, const std::string& missing) {
  for (const std::string& cell : header.cells) {
    if (in_small_letters(trimmed(cell)) == missing) {
      return "write '" + trimmed(cell) + "' in lower case";
    }
  }
  return "a manifest's first line is path,split,label,machine,<parameters...>";
}

/// Texts of a row that are read as they stand; the others are compared or read as numbers.
void require_texts(const Clip& clip, const std::string& at) {
  refuse(text_fault(clip.path.string()), at + "path", clip.path.string());
  refuse(name_fault(clip.machine), at + "machine", clip.machine);
  refuse(name_fault(clip.section), at + "section", clip.section);
}

/// What is all but "tool:category" would be a parameter of that name, and numbers in it no names.
void require_suffix(const std::string& name, const std::string& at) {
  const std::string_view suffix = category_suffix;
  if (!in_small_letters(name).ends_with(suffix)) {
    return;
  }
  if (name.size() == suffix.size()) {
    throw DataError(at + "column '" + name + "' has no name; write it before the colon, as in tool:category");
  }
  throw DataError(at + "column '" + name + "' is no category; write '" + name.substr(0, name.size() - suffix.size()) +
                  category_suffix + "', in lower case, or rename it");
}

Columns read_header(const CsvRow& header, const std::string& origin) {
  const std::string at = place(origin, header.line);
  if (header.cells.size() == 1 && header.cells[0].find_first_of(";\t") != std::string::npos) {
    throw DataError(at + "one column; cells must be separated by commas");
  }
  Columns columns;
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < header.cells.size(); ++i) {
    const auto [name, is_category] = declared_parameter(trimmed(header.cells[i]));
    if (name.empty()) {
      throw DataError(at + "column " + std::to_string(i + 1) + " has no name; name or remove it");
    }
    if (declared_parameter(name).is_category) {
      throw DataError(at + "column '" + name + category_suffix + "' says twice that it is a category; once will do");
    }
    refuse(name_fault(name), at + "column", name);
    require_suffix(name, at);
    if (!seen.emplace(name, i).second) {
      throw DataError(at + "column '" + name + "' occurs twice; remove or rename one");
    }
    const bool is_required =
        std::find(required_columns.begin(), required_columns.end(), name) != required_columns.end();
    if (is_required || name == "domain" || name == "section") {
      columns.reserved[name] = i;
    } else {
      columns.parameter.push_back(i);
      columns.parameter_names.push_back(name);
      columns.is_category.push_back(is_category);
    }
  }
  for (const char* name : required_columns) {
    if (columns.reserved.contains(name)) {
      continue;
    }
    throw DataError(at + "no column '" + name + "'; " + header_cure(header, name));
  }
  return columns;
}

std::optional<double> finite_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') {
    text.remove_prefix(1);
  }
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

/// True of what was meant as a number: "nan", "-inf", "1e999", "1,5".
bool is_spoilt_number(std::string text) {
  if (std::count(text.begin(), text.end(), ',') == 1) {
    std::replace(text.begin(), text.end(), ',', '.');
  }
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size();
}

int parse_label(const std::string& text, const std::string& at) {
  if (text == "normal" || text == "0") {
    return 0;
  }
  if (text == "anomaly" || text == "1") {
    return 1;
  }
  if (text == "unknown" || text == "-1") {
    return -1;
  }
  throw DataError(at + "label " + in_quotes(text) + " must be normal, anomaly or unknown (or 0, 1, -1)");
}

/// A cell of a parameter, `named` if it is declared a category. DataError: a text that is no name, or a number that was
/// spoilt.
ParameterCell read_cell(const std::string& text, const std::string& name, bool named, const std::string& at) {
  if (is_unknown(text)) {
    return {};
  }
  const std::optional<double> value = finite_number(text);
  if (value) {
    return {text, *value};
  }
  refuse(name_fault(text), at + "column '" + name + "': name", text);
  if (named && is_spoilt_number(text)) {
    throw DataError(
        at + "column '" + name + "' holds '" + excerpt(text) +
        "', which programs write for a number; leave the cell empty where the name is unknown, or spell the "
        "name otherwise");
  }
  if (is_spoilt_number(text)) {
    throw DataError(at + "column '" + name + "' holds '" + excerpt(text) +
                    "', not a number; a parameter is a name or a number with a decimal point, or empty where unknown");
  }
  return {text};
}

Clip read_row(const CsvRow& row, const Columns& columns, size_t width, const std::string& origin) {
  const std::string at = place(origin, row.line);
  if (row.cells.size() != width) {
    throw DataError(at + std::to_string(row.cells.size()) + " cells where the header has " + std::to_string(width) +
                    "; give every column a cell, and quote a cell that holds a comma");
  }
  const auto cell = [&](const char* name) {
    const auto found = columns.reserved.find(name);
    return found == columns.reserved.end() ? std::string() : trimmed(row.cells[found->second]);
  };
  Clip clip;
  clip.line = row.line;
  clip.path = row.cells[columns.reserved.at("path")];
  if (clip.path.empty()) {
    throw DataError(at + "the path is empty; name a recording");
  }
  clip.machine = cell("machine");
  const std::string split = cell("split");
  if (split != "train" && split != "test") {
    throw DataError(at + "split " + in_quotes(split) + " must be train or test");
  }
  clip.split = split == "train" ? Split::train : Split::test;
  clip.label = parse_label(cell("label"), at);
  clip.domain = cell("domain");
  if (!clip.domain.empty() && clip.domain != "source" && clip.domain != "target") {
    throw DataError(at + "domain " + in_quotes(clip.domain) + " must be source, target or empty");
  }
  clip.section = cell("section");
  require_texts(clip, at);
  return clip;
}

std::vector<ParameterCell> read_cells(const CsvRow& row, const Columns& columns, const std::string& origin) {
  std::vector<ParameterCell> cells;
  for (size_t p = 0; p < columns.parameter.size(); ++p) {
    cells.push_back(read_cell(trimmed(row.cells[columns.parameter[p]]), columns.parameter_names[p],
                              columns.is_category[p], place(origin, row.line)));
  }
  return cells;
}

/// Is it one by its cells? DataError names the first name among numbers: a slip of the pen must not make names of them.
bool is_category(const std::vector<std::vector<ParameterCell>>& rows, size_t p, const Manifest& manifest,
                 const std::string& origin) {
  const auto is_name = [p](const auto& row) { return !row[p].text.empty() && std::isnan(row[p].number); };
  const auto name = std::find_if(rows.begin(), rows.end(), is_name);
  const auto number =
      std::find_if(rows.begin(), rows.end(), [p](const auto& row) { return !std::isnan(row[p].number); });
  if (name == rows.end() || number == rows.end()) {
    return name != rows.end();
  }
  const std::string& column = manifest.parameter_names[p];
  const auto line_of = [&](auto row) { return manifest.clips[static_cast<size_t>(row - rows.begin())].line; };
  throw DataError(place(origin, line_of(name)) + "column '" + column + "' holds '" + excerpt((*name)[p].text) +
                  "', not a number as on line " + std::to_string(line_of(number)) +
                  "; write numbers with a decimal point and leave unknown cells empty, or, if all are names, call the "
                  "column '" +
                  column + ":category'");
}

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& origin) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.remove_prefix(3);
  }
  std::vector<CsvRow> rows;
  int64_t line = 1;
  size_t i = 0;
  while (i < text.size()) {
    CsvRow row{line, {}};
    bool quoted_any = false;
    for (bool more = true; more;) {
      std::string cell;
      if (i < text.size() && text[i] == '"') {
        quoted_any = true;
        const int64_t opened = line;
        for (++i;; ++i) {
          if (i >= text.size()) {
            throw DataError(place(origin, opened) + "a quote is never closed; add the closing quote");
          }
          if (text[i] == '"') {
            if (i + 1 >= text.size() || text[i + 1] != '"') {
              break;
            }
            ++i;
          }
          if (text[i] == '\n') {
            ++line;
          }
          cell += text[i];
        }
        ++i;
        if (i < text.size() && text[i] != ',' && text[i] != '\n' && text[i] != '\r') {
          throw DataError(place(origin, line) + "text after a closing quote; double the quotes inside a quoted cell");
        }
      } else {
        const size_t end = std::min(text.find_first_of(",\n", i), text.size());
        cell = text.substr(i, end - i);
        i = end;
        const bool ends_line = i >= text.size() || text[i] == '\n';
        if (ends_line && cell.ends_with('\r')) {
          cell.pop_back();
        }
      }
      if (cell.find('\0') != std::string::npos) {
        throw DataError(place(origin, line) + "a zero byte: not a CSV text file in ASCII or UTF-8");
      }
      row.cells.push_back(std::move(cell));
      more = i < text.size() && text[i] == ',';
      if (more) {
        ++i;
      }
    }
    if (i < text.size() && text[i] == '\r') {
      ++i;
    }
    if (i < text.size() && text[i] != '\n') {
      throw DataError(place(origin, line) + "text after a closing quote; double the quotes inside a quoted cell");
    }
    if (i < text.size()) {
      ++i;
    }
    ++line;
    const bool blank = !quoted_any && row.cells.size() == 1 && trimmed(row.cells[0]).empty();
    if (!blank) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<std::vector<std::string>> read_csv(const fs::path& file) {
  std::vector<std::vector<std::string>> rows;
  for (CsvRow& row : parse_csv(read_plain_text(file), file.string())) {
    rows.push_back(std::move(row.cells));
  }
  return rows;
}

std::string csv_cell(const std::string& text) {
  // A byte-order mark at the start of a file would be taken for the file's.
  if (text.find_first_of(",\"\r\n") == std::string::npos && !text.starts_with("\xef\xbb\xbf")) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') {
      out += '"';
    }
    out += c;
  }
  return out + '"';
}

Manifest parse_manifest(std::string_view text, const fs::path& csv, const DeclaredCategories& declared) {
  const std::string origin = csv.string();
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    throw DataError("'" + origin + "' is written in UTF-16; save the file as CSV in UTF-8");
  }
  if (text.find('\r') != std::string_view::npos && text.find('\n') == std::string_view::npos) {
    throw DataError("'" + origin + "' ends its lines by CR alone; save it with LF or CRLF (Unix or Windows text)");
  }
  const std::vector<CsvRow> rows = parse_csv(text, origin);
  if (rows.empty()) {
    throw DataError("'" + origin + "' is empty; a manifest's first line is path,split,label,machine,<parameters...>");
  }
  Columns columns = read_header(rows[0], origin);
  for (size_t p = 0; p < columns.is_category.size(); ++p) {
    const auto named = std::find(declared.begin(), declared.end(), columns.parameter_names[p]);
    columns.is_category[p] = columns.is_category[p] || named != declared.end();
  }
  if (rows.size() == 1) {
    throw DataError("'" + origin + "' lists no recordings; add one line per recording");
  }

  Manifest manifest;
  manifest.root = csv.has_parent_path() ? csv.parent_path() : fs::path(".");
  manifest.parameter_names = columns.parameter_names;
  std::vector<std::vector<ParameterCell>> cells;
  std::map<std::string, int64_t> line_of;
  for (size_t i = 1; i < rows.size(); ++i) {
    manifest.clips.push_back(read_row(rows[i], columns, rows[0].cells.size(), origin));
    cells.push_back(read_cells(rows[i], columns, origin));
    const std::string path = manifest.clips.back().path.lexically_normal().string();
    const auto [first, is_new] = line_of.emplace(path, rows[i].line);
    if (!is_new) {
      throw DataError(place(origin, rows[i].line) + "'" + path + "' is already listed on line " +
                      std::to_string(first->second) + "; remove one of the two");
    }
  }
  std::vector<bool> categories = columns.is_category;
  for (size_t p = 0; p < categories.size(); ++p) {
    categories[p] = categories[p] || is_category(cells, p, manifest, origin);
  }
  set_parameters(manifest, cells, categories);
  return manifest;
}

Manifest read_manifest(const fs::path& csv, const DeclaredCategories& declared) {
  return parse_manifest(read_plain_text(csv), csv, declared);
}

}  // namespace evenflow::io
