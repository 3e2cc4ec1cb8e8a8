// Edits of a valid HDF5 file by the library itself. Flipped bytes end at the checksums of HDF5's structure; what is
// edited is sound HDF5 of wrong contents, types, shapes, links and storage, and gets to evenflow's readers.
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

  /// Writes the file `name` in folder(): the valid one after the edits of `script`. Any bytes are a script; the empty
  /// one leaves the file as it is, and one that begins as an HDF5 file does is taken for the file.
  std::filesystem::path edited(std::string_view script, const std::string& name) const;

 private:
  struct Place {
    std::string object, attribute;  ///< no attribute: the object itself
  };
  class Edit;
  std::string bytes_;
  std::vector<Place> places_;
};

}  // namespace evenflow::fuzz
