// DCASE Task 2's file names, 2020 to 2026, and the attributes in them and in attributes_NN.csv.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenflow::io {

/// What a name such as section_00_source_train_normal_0025_vel_6.wav, or normal_id_00_00000025.wav (2020), says; empty
/// where it says nothing.
struct DcaseName {
  std::string section, domain, split, label;
  std::vector<std::string> attributes;  ///< the words behind the running number, without noAttribute
};

/// None if `stem` (file name without extension) does not follow the scheme.
std::optional<DcaseName> parse_dcase_name(std::string_view stem);

/// An attribute whose value is a number, its unit (28V) moved into the name.
using NumericAttribute = std::pair<std::string, double>;

struct Attribute {
  std::string key;  ///< none of a word that stands alone
  std::string value;
};
using Attributes = std::vector<Attribute>;

/// From a key and a value as in attributes_NN.csv; none if the value is not a number with at most a unit of letters.
std::optional<NumericAttribute> numeric_attribute(const std::string& key, std::string_view value);

/// From the words of a file name: key and value in turn; value and unit where the first word is a number (2021:
/// 25_mm_2000_mV); or one word of keys, numbers and units (2021: A1Spd28VMic1 is Spd_V = 28, Mic = 1, and A1 alone). In
/// such a word a key has two letters or more, and a unit ends where the next key's capital begins.
Attributes read_attributes(const std::vector<std::string>& words);

/// A machine's attributes_NN.csv files: file_name, d1p, d1v, d2p, d2v, ...
class AttributeTable {
 public:
  /// Reads those in `folder`. DataError names file and line.
  explicit AttributeTable(const std::filesystem::path& folder);
  /// Of a recording, by the folder it lies in and its name; null if no file lists it.
  const Attributes* find(const std::filesystem::path& recording) const;
  /// Files that were read.
  const std::vector<std::filesystem::path>& files() const { return files_; }

 private:
  struct Row {
    std::string folder;
    Attributes attributes;
  };
  void add(const std::filesystem::path& file);
  std::vector<std::filesystem::path> files_;
  std::multimap<std::string, Row> rows_;  // by the recording's name
};

}  // namespace evenflow::io
