// Which recordings there are: a manifest CSV, a plain folder, or a DCASE Task 2 folder, as one list of clips.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace evenflow::io {

enum class Split : int8_t { train = 0, test = 1 };

/// One recording and what is known of it.
struct Clip {
  std::filesystem::path path;  ///< as written in the manifest (relative to its folder)
  std::string machine;
  Split split = Split::test;
  int label = -1;                 ///< 0 normal, 1 anomaly, -1 unknown
  std::vector<double> parameter;  ///< one per parameter name; NaN = unknown
  std::string domain;             ///< "source", "target" or empty
  std::string section;            ///< DCASE section ("00"), or empty
};

struct Manifest {
  std::filesystem::path root;                ///< clip paths are relative to this folder
  std::vector<std::string> parameter_names;  ///< units in the name: velocity_mm_s
  std::vector<Clip> clips;
};

/// Reads a manifest CSV (columns path, split, label, machine, optional domain and section, the rest parameters).
/// `split` is train or test; `label` normal, anomaly or unknown (or 0, 1, -1); a parameter cell a finite number, or
/// empty for unknown. DataError names file, line and cure: missing column, a column that is no parameter, duplicate
/// path, bad split, label or number. Whether the recordings exist is not looked at.
Manifest read_manifest(const std::filesystem::path& csv);
/// The same from text; `csv` is named in errors and its folder becomes the root.
Manifest parse_manifest(std::string_view text, const std::filesystem::path& csv);

/// Reads a DCASE Task 2 folder, 2021 to 2025: one machine's folder (train, test, source_test, target_test below it), or
/// a folder of such up to three levels up. Split, domain, section and label come from the file name, what it does not
/// say from the subfolder; a test clip without a label is -1. Attributes come from attributes_NN.csv (file_name, d1p,
/// d1v, ...), otherwise from the name; the numeric ones become parameters, NaN where a clip has none. A unit behind the
/// number goes into the name (spd 28V -> spd_V = 28); 2021 names that give value and unit (25_mm) are named by the
/// unit. `supplemental/` (2025) is left out: it holds noise alone or the machine without noise, neither is a normal
/// clip. DataError names an audio file in train or test whose name does not follow the scheme.
Manifest read_dcase_folder(const std::filesystem::path& folder);

/// Every audio file (audio_names.h; no hidden ones) below a folder, sorted, as unlabelled test clips without a
/// machine. DataError if there is none.
Manifest read_folder(const std::filesystem::path& folder);

/// What `path` is, by looking: a CSV file, a single recording, a folder in DCASE layout, a plain folder.
Manifest read_recordings(const std::filesystem::path& path);

/// RFC 4180: quoted cells, doubled quotes, CRLF, a byte-order mark; blank lines are skipped. Each row a list of cells.
/// DataError on a quote that is never closed, text behind a closing quote, or a binary file.
std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& file);
/// A row and the line it starts on, from 1.
struct CsvRow {
  int64_t line = 0;
  std::vector<std::string> cells;
};
/// read_csv from text; `origin` is named in errors.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& origin);
/// Quotes a cell where it must be.
std::string csv_cell(const std::string& text);

}  // namespace evenflow::io
