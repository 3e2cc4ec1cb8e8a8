// Edits of a valid HDF5 file by the library itself. Flipped bytes end at a checksum, of HDF5's structure or of
// evenflow's datasets; what is edited and sealed again is sound, of wrong contents, types, shapes, links and storage,
// and gets to the code behind.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace evenflow::fuzz {

class Hdf5Edits {
 public:
  /// Of `valid`, a file that evenflow has written; it is kept in memory.
  explicit Hdf5Edits(const std::filesystem::path& valid);

  /// Writes the file `name` in folder(): the valid one after the edits of `script`. Any bytes are a script: the first
  /// says whether the datasets get right checksums after the edits (three of four values do). The empty script leaves
  /// the file as it is, and one that begins as an HDF5 file does is taken for the file.
  std::filesystem::path edited(std::string_view script, const std::string& name) const;

 private:
  struct Place {
    std::string object, attribute;  ///< no attribute: the object itself
  };
  class Edit;
  std::string bytes_;
  std::vector<Place> places_;
  bool has_checksums_ = false;
};

}  // namespace evenflow::fuzz
