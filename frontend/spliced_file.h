// A sound file read behind another head than its own.
#pragma once

#include <sndfile.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace evenflow::frontend {

/// To libsndfile, through access(), a file of `head` followed by the bytes from begin to end of `file`. It must outlive
/// the SNDFILE.
class SplicedFile {
 public:
  SplicedFile(const std::filesystem::path& file, std::string head, uint64_t begin, uint64_t end);
  static SF_VIRTUAL_IO access();
  /// Whether all has been read.
  bool at_end() const { return at_ >= length(); }

 private:
  sf_count_t length() const;
  sf_count_t seek(sf_count_t offset, int whence);
  sf_count_t read(char* out, sf_count_t count);

  std::ifstream in_;
  std::string head_;
  sf_count_t begin_, end_;
  sf_count_t at_ = 0;
};

}  // namespace evenflow::frontend
