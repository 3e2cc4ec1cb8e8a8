// Golden arrays out of an HDF5 file, read with the HDF5 library alone: no code under test lies between.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace evenflow::tests {

class GoldenFile {
 public:
  /// std::runtime_error names the file.
  explicit GoldenFile(const std::filesystem::path& file);
  ~GoldenFile();
  GoldenFile(const GoldenFile&) = delete;
  GoldenFile& operator=(const GoldenFile&) = delete;

  struct Array {
    std::vector<int64_t> shape;
    std::vector<double> values;
  };
  /// std::runtime_error names file and dataset.
  Array read(const std::string& dataset) const;
  double read_scalar(const std::string& dataset) const;
  bool has(const std::string& object) const;
  std::vector<std::string> names(const std::string& group) const;
  int64_t integer_attribute(const std::string& name) const;
  std::string text_attribute(const std::string& name) const;

 private:
  std::string path_;
  int64_t id_;
};

}  // namespace evenflow::tests
