// Any bytes as a manifest CSV are a list of clips or a DataError; as a CSV, rows that survive being written again.
#include <cstdlib>
#include <string>
#include <vector>

#include "io/error.h"
#include "io/manifest.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {

std::string written(const std::vector<io::CsvRow>& rows) {
  std::string text;
  for (const io::CsvRow& row : rows) {
    const std::string& first = row.cells[0];
    // A row of one blank cell would be a blank line.
    const bool blank = row.cells.size() == 1 && first.find_first_not_of(" \t") == std::string::npos;
    text += blank ? '"' + first + '"' : io::csv_cell(first);
    for (size_t i = 1; i < row.cells.size(); ++i) {
      text += "," + io::csv_cell(row.cells[i]);
    }
    text += '\n';
  }
  return text;
}

void read_again(std::string_view input) {
  try {
    const std::vector<io::CsvRow> rows = io::parse_csv(input, "fuzz.csv");
    const std::vector<io::CsvRow> again = io::parse_csv(written(rows), "again.csv");
    if (again.size() != rows.size()) {
      std::abort();
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      if (again[i].cells != rows[i].cells) {
        std::abort();
      }
    }
  } catch (const io::DataError&) {
    return;
  }
}

}  // namespace

bool reads(std::string_view input) {
  read_again(input);
  try {
    const io::Manifest manifest = io::parse_manifest(input, "fuzz/manifest.csv");
    for (const io::Clip& clip : manifest.clips) {
      if (clip.parameter.size() != manifest.parameter_names.size() || clip.path.empty()) {
        std::abort();
      }
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
