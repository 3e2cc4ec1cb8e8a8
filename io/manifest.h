// Which recordings there are: a manifest CSV, a plain folder, or a DCASE Task 2 folder, as one list of clips.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
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
/// DataError names file, row and cure: missing or unknown column, duplicate row, bad split, label or number.
Manifest read_manifest(const std::filesystem::path& csv);

/// Reads a DCASE Task 2 folder (file names of 2021 to 2025, attributes from names or attributes_*.csv, noAttribute).
Manifest read_dcase_folder(const std::filesystem::path& folder);

/// Every audio file below a folder, as unlabelled test clips.
Manifest read_folder(const std::filesystem::path& folder);

/// What `path` is, by looking: a CSV file, a folder in DCASE layout, a plain folder.
Manifest read_recordings(const std::filesystem::path& path);

/// RFC 4180: quoted cells, doubled quotes, CRLF, a byte-order mark. Each row a list of cells.
std::vector<std::vector<std::string>> read_csv(const std::filesystem::path& file);
/// Quotes a cell where it must be.
std::string csv_cell(const std::string& text);

}  // namespace evenflow::io
