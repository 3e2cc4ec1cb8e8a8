// DCASE Task 2 file names and folders, 2021 to 2025 (read_dcase_folder is in manifest.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenflow::io {

/// What a name such as section_00_source_train_normal_0025_vel_6.wav says; empty where it says nothing.
struct DcaseName {
  std::string section, domain, split, label;
  std::vector<std::string> attributes;  ///< the words behind the running number, without noAttribute
};

/// None if `stem` (file name without extension) does not follow the scheme.
std::optional<DcaseName> parse_dcase_name(std::string_view stem);

/// An attribute whose value is a number, its unit (28V) moved into the name.
using NumericAttribute = std::pair<std::string, double>;

/// From a key and a value as in attributes_NN.csv; none if the value is not a number with at most a unit of letters.
std::optional<NumericAttribute> numeric_attribute(const std::string& key, std::string_view value);
/// From the words of a file name: key and value in turn, or value and unit where the first word is a number (2021).
std::vector<NumericAttribute> numeric_attributes(const std::vector<std::string>& words);

/// True if a machine's folder (one with train, test, source_test or target_test that holds section_* recordings) is at
/// or up to three levels below `folder`.
bool is_dcase_folder(const std::filesystem::path& folder);

}  // namespace evenflow::io
