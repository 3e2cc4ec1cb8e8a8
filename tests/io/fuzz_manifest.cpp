// libFuzzer entry: any bytes as a manifest CSV are a list of clips or a DataError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "io/error.h"
#include "io/manifest.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer\'s
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace evenflow::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Manifest manifest = parse_manifest(text, "fuzz/manifest.csv");
    for (const Clip& clip : manifest.clips)
      if (clip.parameter.size() != manifest.parameter_names.size() || clip.path.empty()) std::abort();
  } catch (const DataError&) {
  }
  try {
    // What was read must survive being written again.
    const std::vector<CsvRow> rows = parse_csv(text, "fuzz.csv");
    std::string again;
    for (const CsvRow& row : rows) {
      for (size_t i = 0; i < row.cells.size(); ++i) again += (i == 0 ? "" : ",") + csv_cell(row.cells[i]);
      // A row of one blank cell would be a blank line.
      if (row.cells.size() == 1 && row.cells[0].find_first_not_of(" \t") == std::string::npos)
        again = again.substr(0, again.size() - row.cells[0].size()) + '"' + row.cells[0] + '"';
      again += '\n';
    }
    const std::vector<CsvRow> reread = parse_csv(again, "again.csv");
    if (reread.size() != rows.size()) std::abort();
    for (size_t i = 0; i < rows.size(); ++i)
      if (reread[i].cells != rows[i].cells) std::abort();
  } catch (const DataError&) {
  }
  return 0;
}
