#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/score_name.h"
#include "io/text.h"
#include "io/wrapped_file.h"
#include "train/detect/score_table.h"

namespace evenflow::train {
namespace {

constexpr const char* estimate_prefix = "estimate_";
constexpr const char* probability_suffix = "_p";  // of a category's estimate
const std::vector<std::string> leading = {"path", "machine", "label"};
const std::vector<std::string> trailing = {"decision", "split", "domain", "section"};
const std::string p_value_column = "p_value";              // older tables lack it
const std::string outside_column = "outside_calibration";  // where scores are calibrated

std::string cell_of(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{}", value);
}

double value_or_nan(const std::vector<double>& values, size_t i) {
  return i < values.size() ? values[i] : std::numeric_limits<double>::quiet_NaN();
}

std::string join_cells(std::vector<std::string> cells) {
  for (std::string& cell : cells) {
    cell = io::csv_cell(cell);
  }
  return fmt::format("{}\n", fmt::join(cells, ","));
}

bool is_calibrated(const ScoreTable& table) {
  return std::any_of(table.clips.begin(), table.clips.end(),
                     [](const ClipScore& clip) { return clip.outside_calibration >= 0; });
}

std::optional<double> number_of(const std::string& cell) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size()) {
    return std::nullopt;
  }
  return value;
}

/// What a column of these names, or of numbers, has behind its own name.
const char* suffix_of(const std::vector<std::string>& names) {
  const bool like_numbers =
      std::any_of(names.begin(), names.end(), [](const std::string& name) { return number_of(name).has_value(); });
  return like_numbers ? io::category_suffix : "";
}

std::string header_of(const ScoreTable& table) {
  std::vector<std::string> cells = leading;
  for (size_t p = 0; p < table.parameter_names.size(); ++p) {
    cells.push_back(table.parameter_names[p] + suffix_of(io::categories_of(table.categories, p)));
  }
  cells.emplace_back("score");
  cells.insert(cells.end(), table.score_names.begin(), table.score_names.end());
  for (size_t p = 0; p < table.estimated_names.size(); ++p) {
    const std::vector<std::string>& names = io::categories_of(table.estimated_categories, p);
    const std::string column = estimate_prefix + table.estimated_names[p];
    cells.push_back(column + suffix_of(names));
    if (!names.empty()) {
      cells.push_back(column + probability_suffix);
    }
  }
  cells.insert(cells.end(), trailing.begin(), trailing.end());
  cells.push_back(p_value_column);
  if (is_calibrated(table)) {
    cells.push_back(outside_column);
  }
  return join_cells(cells);
}

std::string row(const ClipScore& score, const ScoreTable& table, bool calibrated) {
  const io::Clip& clip = score.clip;
  std::vector<std::string> cells = {clip.path.string(), clip.machine, std::to_string(clip.label)};
  const auto add = [&](const std::vector<double>& values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      cells.push_back(cell_of(value_or_nan(values, i)));
    }
  };
  for (size_t p = 0; p < table.parameter_names.size(); ++p) {
    cells.push_back(io::value_text(value_or_nan(clip.parameter, p), io::categories_of(table.categories, p)));
  }
  cells.push_back(cell_of(score.score));
  add(score.scores, table.score_names.size());
  for (size_t p = 0; p < table.estimated_names.size(); ++p) {
    const std::vector<std::string>& names = io::categories_of(table.estimated_categories, p);
    cells.push_back(io::value_text(value_or_nan(score.estimate, p), names));
    if (!names.empty()) {
      cells.push_back(cell_of(value_or_nan(score.probability, p)));
    }
  }
  cells.push_back(std::to_string(score.decision));
  cells.emplace_back(clip.split == io::Split::train ? "train" : "test");
  cells.push_back(clip.domain);
  cells.push_back(clip.section);
  cells.push_back(cell_of(score.p_value));
  if (calibrated) {
    cells.push_back(score.outside_calibration < 0 ? std::string() : std::to_string(score.outside_calibration));
  }
  return join_cells(cells);
}

/// True of a column that the scores have, or may have, beside the parameters'.
bool is_reserved(const std::string& column) {
  const std::string name = io::in_small_letters(column);
  if (name == "score" || name == p_value_column || name == outside_column || io::is_score_name(name) ||
      name.starts_with(estimate_prefix)) {
    return true;
  }
  for (const auto& group : {leading, trailing}) {
    if (std::find(group.begin(), group.end(), name) != group.end()) {
      return true;
    }
  }
  return false;
}

// One row being read: knows where it is, for its errors.
class Row {
 public:
  Row(const std::string& file, const std::map<std::string, size_t>& columns, const io::CsvRow& row)
      : file_(file), columns_(columns), row_(row) {}

  /// Behind the decision; before it, an older table may have a parameter of that name.
  bool has(const std::string& column) const {
    const auto found = columns_.find(column);
    return found != columns_.end() && found->second > columns_.at("decision");
  }
  const std::string& text(const std::string& column) const { return row_.cells[columns_.at(column)]; }

  double real(const std::string& column) const {
    const std::string& cell = text(column);
    if (cell.empty()) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    const std::optional<double> value = number_of(cell);
    if (!value) {
      fail(column, "a number");
    }
    return *value;
  }

  int one_of(const std::string& column, int low, int high) const {
    const std::string& cell = text(column);
    for (int value = low; value <= high; ++value) {
      if (cell == std::to_string(value)) {
        return value;
      }
    }
    fail(column, fmt::format("a whole number from {} to {}", low, high));
  }

  [[noreturn]] void fail(const std::string& column, const std::string& expected) const {
    throw io::DataError(fmt::format("'{}', line {}: column {} holds '{}', expected {}; write the scores again", file_,
                                    row_.line, column, text(column), expected));
  }

 private:
  const std::string& file_;
  const std::map<std::string, size_t>& columns_;
  const io::CsvRow& row_;
};

ClipScore read_row(const Row& row, const ScoreTable& table) {
  ClipScore out;
  out.clip.path = row.text("path");
  out.clip.machine = row.text("machine");
  out.clip.label = row.one_of("label", -1, 1);
  for (size_t p = 0; p < table.parameter_names.size(); ++p) {
    const std::string& name = table.parameter_names[p];
    const std::vector<std::string>& names = table.categories[p];
    out.clip.parameter.push_back(names.empty() ? row.real(name) : io::code_of(row.text(name), names));
    if (std::isinf(out.clip.parameter.back())) {
      row.fail(name, "a finite number, or nothing where it is unknown");
    }
  }
  out.score = row.real("score");
  for (const std::string& name : table.score_names) {
    out.scores.push_back(row.real(name));
  }
  for (size_t p = 0; p < table.estimated_names.size(); ++p) {
    const std::string column = estimate_prefix + table.estimated_names[p];
    const std::vector<std::string>& names = table.estimated_categories[p];
    out.estimate.push_back(names.empty() ? row.real(column) : io::code_of(row.text(column), names));
    out.probability.push_back(names.empty() ? std::numeric_limits<double>::quiet_NaN()
                                            : row.real(column + probability_suffix));
    if (!names.empty() && !std::isnan(out.probability.back()) &&
        !(out.probability.back() >= 0.0 && out.probability.back() <= 1.0)) {
      row.fail(column + probability_suffix, "a number from 0 to 1, or nothing");
    }
  }
  out.decision = row.one_of("decision", -1, 1);
  const std::string& split = row.text("split");
  if (split != "train" && split != "test") {
    row.fail("split", "train or test");
  }
  out.clip.split = split == "train" ? io::Split::train : io::Split::test;
  out.clip.domain = row.text("domain");
  out.clip.section = row.text("section");
  if (row.has(p_value_column)) {
    out.p_value = row.real(p_value_column);
    if (!std::isnan(out.p_value) && !(out.p_value > 0.0 && out.p_value <= 1.0)) {
      row.fail(p_value_column, "a number above 0 and up to 1, or nothing");
    }
  }
  if (row.has(outside_column) && !row.text(outside_column).empty()) {
    out.outside_calibration = row.one_of(outside_column, 0, 1);
  }
  return out;
}

// Columns by name. Parameters stand between label and score, the other scores and then estimates between score and
// decision.
std::map<std::string, size_t> read_header(const std::string& file, const std::vector<std::string>& cells,
                                          ScoreTable& table) {
  std::map<std::string, size_t> columns;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!columns.emplace(cells[i], i).second) {
      throw io::DataError("'" + file + "' has column " + cells[i] + " twice; write the scores again");
    }
  }
  for (const auto& group : {leading, std::vector<std::string>{"score"}, trailing}) {
    for (const std::string& name : group) {
      if (columns.contains(name)) {
        continue;
      }
      throw io::DataError("'" + file + "' has no column " + name + "; is it a scores CSV of evenflow?");
    }
  }
  for (size_t i = columns["label"] + 1; i < columns["score"]; ++i) {
    table.parameter_names.push_back(io::declared_parameter(cells[i]).name);
    columns.emplace(table.parameter_names.back(), i);
  }
  size_t next = columns["score"] + 1;
  for (; next < columns["decision"] && io::is_score_name(cells[next]); ++next) {
    table.score_names.push_back(cells[next]);
  }
  for (; next < columns["decision"]; ++next) {
    if (!cells[next].starts_with(estimate_prefix)) {
      throw io::DataError("'" + file + "': column " + cells[next] +
                          " is neither a score nor an estimate; is it a scores CSV of evenflow?");
    }
    const std::string column = io::declared_parameter(cells[next]).name;
    table.estimated_names.push_back(column.substr(std::string(estimate_prefix).size()));
    columns.emplace(column, next);
  }
  if (table.score_names.empty()) {
    throw io::DataError("'" + file + "' has no score behind the column score; is it a scores CSV of evenflow?");
  }
  return columns;
}

/// The names in a column of a parameter, sorted; none if it is of numbers.
std::vector<std::string> names_of_column(const std::vector<io::CsvRow>& rows, size_t column) {
  std::set<std::string> names;
  bool numbers = false;
  for (size_t i = 1; i < rows.size(); ++i) {
    if (const std::string& cell = rows[i].cells[column]; !cell.empty()) {
      numbers = numbers || number_of(cell);
      names.insert(cell);
    }
  }
  if (numbers && !io::declared_parameter(rows[0].cells[column]).is_category) {
    return {};
  }
  return {names.begin(), names.end()};
}

}  // namespace

namespace {

/// Of an estimate whose column has names, these; the column of their probabilities behind it is no estimate of its own.
void find_estimated_names(const std::vector<io::CsvRow>& rows, const std::map<std::string, size_t>& columns,
                          ScoreTable& table) {
  std::vector<std::string> estimated;
  for (size_t p = 0; p < table.estimated_names.size(); ++p) {
    const std::string& name = table.estimated_names[p];
    const bool probability_follows =
        p + 1 < table.estimated_names.size() && table.estimated_names[p + 1] == name + probability_suffix;
    std::vector<std::string> names;
    if (probability_follows) {
      names = names_of_column(rows, columns.at(estimate_prefix + name));
    }
    p += names.empty() ? 0 : 1;
    estimated.push_back(name);
    table.estimated_categories.push_back(std::move(names));
  }
  table.estimated_names = std::move(estimated);
}

}  // namespace

void require_parameter_names(const std::vector<std::string>& names, const std::filesystem::path& file) {
  for (const std::string& name : names) {
    // Of a parameter that is a name the scores have estimate_<name> and estimate_<name>_p.
    const auto longer = std::find(names.begin(), names.end(), name + probability_suffix);
    if (longer != names.end()) {
      throw io::DataError(
          fmt::format("'{}' has parameters '{}' and '{}', and columns of the scores would have one name; rename one in "
                      "the manifest",
                      file.string(), name, *longer));
    }
    if (!is_reserved(name)) {
      continue;
    }
    throw io::DataError(
        fmt::format("'{}' has a parameter '{}', but a column of the scores has that name; rename it in the "
                    "manifest",
                    file.string(), name));
  }
}

void write_scores(const std::filesystem::path& file, const ScoreTable& table) {
  std::string text = header_of(table);
  const bool calibrated = is_calibrated(table);
  for (const ClipScore& clip : table.clips) {
    text += row(clip, table, calibrated);
  }
  io::write_text(file, text);
}

ScoreTable read_scores(const std::filesystem::path& file) {
  const std::string named = file.string();
  const std::vector<io::CsvRow> rows = io::parse_csv(io::read_plain_text(file), named);
  if (rows.empty()) {
    throw io::DataError("'" + named + "' is empty; write the scores again");
  }
  ScoreTable table;
  const std::map<std::string, size_t> columns = read_header(named, rows[0].cells, table);
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].cells.size() != rows[0].cells.size()) {
      throw io::DataError(fmt::format("'{}', line {}: {} cells, the header has {}; write the scores again", named,
                                      rows[i].line, rows[i].cells.size(), rows[0].cells.size()));
    }
  }
  for (const std::string& name : table.parameter_names) {
    table.categories.push_back(names_of_column(rows, columns.at(name)));
    for (const std::string& category : table.categories.back()) {
      if (const auto fault = io::name_fault(category)) {
        throw io::DataError(fmt::format("'{}': column {} holds {}, which {}; write the scores again", named, name,
                                        io::in_quotes(category), fault->what));
      }
    }
  }
  find_estimated_names(rows, columns, table);
  for (size_t i = 1; i < rows.size(); ++i) {
    table.clips.push_back(read_row(Row(named, columns, rows[i]), table));
  }
  return table;
}

}  // namespace evenflow::train
