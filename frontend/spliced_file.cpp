#include "frontend/spliced_file.h"

#include <algorithm>
#include <cstdio>

namespace evenflow::frontend {

SplicedFile::SplicedFile(const std::filesystem::path& file, std::string head, uint64_t begin, uint64_t end)
    : in_(file, std::ios::binary),
      head_(std::move(head)),
      begin_(static_cast<sf_count_t>(begin)),
      end_(static_cast<sf_count_t>(end)) {}

SF_VIRTUAL_IO SplicedFile::access() {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* file) { return static_cast<SplicedFile*>(file)->length(); };
  io.seek = [](sf_count_t offset, int whence, void* file) {
    return static_cast<SplicedFile*>(file)->seek(offset, whence);
  };
  io.read = [](void* out, sf_count_t count, void* file) {
    return static_cast<SplicedFile*>(file)->read(static_cast<char*>(out), count);
  };
  io.tell = [](void* file) { return static_cast<SplicedFile*>(file)->at_; };
  return io;
}

sf_count_t SplicedFile::length() const {
  return static_cast<sf_count_t>(head_.size()) + end_ - begin_;
}

sf_count_t SplicedFile::seek(sf_count_t offset, int whence) {
  const sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? at_ : length();
  at_ = std::clamp<sf_count_t>(from + offset, 0, length());
  return at_;
}

sf_count_t SplicedFile::read(char* out, sf_count_t count) {
  const auto head = static_cast<sf_count_t>(head_.size());
  sf_count_t done = 0;
  if (at_ < head) {
    done = std::min(count, head - at_);
    std::copy_n(head_.data() + at_, done, out);
  }
  const sf_count_t rest = std::min(count, length() - at_) - done;
  if (rest > 0) {
    in_.clear();
    in_.seekg(begin_ + at_ + done - head);
    in_.read(out + done, rest);
    done += in_.gcount();
  }
  at_ += done;
  return done;
}

}  // namespace evenflow::frontend
