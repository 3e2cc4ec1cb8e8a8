// Which recordings there are and what is known of them: from a manifest CSV, or from names and folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/categories.h"

namespace evenflow::io {

enum class Split : int8_t { train = 0, test = 1 };

/// One recording and what is known of it.
struct Clip {
  std::filesystem::path path;  ///< as written in the manifest (relative to its folder)
  std::string machine;
  Split split = Split::test;
  int label = -1;  ///< 0 normal, 1 anomaly, -1 unknown
  std::vector<double>
      parameter;        ///< one per parameter name; NaN = unknown; a code (io/categories.h) where it is a name
  std::string domain;   ///< "source", "target" or empty
  std::string section;  ///< DCASE section ("00"), or empty
  int64_t line = 0;     ///< of the manifest that lists it; 0: none does, or a file keeps it
};

struct Manifest {
  std::filesystem::path root;                ///< clip paths are relative to this folder
  std::vector<std::string> parameter_names;  ///< units in the name: velocity_mm_s
  std::vector<Clip> clips;
  std::vector<std::string> notes;  ///< what was guessed or left out: a sentence each, for the person
  Categories categories;           ///< the names of each parameter that is one, sorted by byte value
};

/// Names of parameters that are categories, even if all of their values look like numbers.
using DeclaredCategories = std::vector<std::string>;

/// Reads a manifest CSV (columns path, split, label, machine, optional domain and section, the rest parameters).
/// `split` is train or test; `label` normal, anomaly or unknown (or 0, 1, -1); a parameter cell a finite number or a
/// name, empty or "noAttribute" where it is unknown. A parameter is a category where no known cell is a number, where
/// its column is called "tool:category", or where it is declared. DataError names file, line and cure: missing column,
/// numbers and names in one column that is not declared, duplicate path, bad split or label, a text that io/text.h
/// refuses. Whether the recordings exist is not looked at.
Manifest read_manifest(const std::filesystem::path& csv, const DeclaredCategories& declared = {});
/// The same from text; `csv` is named in errors and its folder becomes the root.
Manifest parse_manifest(std::string_view text, const std::filesystem::path& csv,
                        const DeclaredCategories& declared = {});

/// Reads every recording below a folder (io/audio_names.h; no hidden ones) by its name and the folders it lies in:
/// - DCASE Task 2, 2020 to 2026: one machine's folder (train, test, source_test, ... with recordings named by the
///   scheme) or any folder above such; then only recordings in those folders are clips. Split, domain, section and
///   label come from the name, what it does not say from the folder. Attributes come from attributes_NN.csv beside the
///   folder, otherwise from the name, and become parameters: numbers where all values of an attribute are (io/dcase.h),
///   else, and where it is declared, categories.
/// - Otherwise folders named normal, good, abnormal, bad, ... give the label, train and test the split, id_NN the
///   section, the folder above them the machine (docs/formats.md); a recording in no such folder is an unlabelled test
///   clip.
/// `notes` say what was taken from where and what was left out. DataError: no recording, a name in a DCASE folder that
/// does not follow the scheme, names and folders that contradict each other, a name that io/text.h refuses.
Manifest read_folder(const std::filesystem::path& folder, const DeclaredCategories& declared = {});
/// True if the folder is read as one of DCASE.
bool is_dcase_folder(const std::filesystem::path& folder);

/// What `path` is, by looking: a manifest, a single recording (what its name and folder say of it is taken from them as
/// above), or a folder: read by the manifest.csv in it, otherwise as above. UsageError names another manifest that lies
/// in the folder: which of the two is meant is not guessed.
Manifest read_recordings(const std::filesystem::path& path, const DeclaredCategories& declared = {});

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
