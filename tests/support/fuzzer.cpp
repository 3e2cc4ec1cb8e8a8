#include "tests/support/fuzzer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace evenflow::fuzz {
namespace {
namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "evenflow_fuzz_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      std::abort();
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

class Tally {
 public:
  ~Tally() { std::fprintf(stderr, "accepted %lld of %lld\n", accepted_, inputs_); }
  void count(bool accepted) {
    ++inputs_;
    accepted_ += accepted ? 1 : 0;
  }

 private:
  long long inputs_ = 0, accepted_ = 0;
};

}  // namespace

const fs::path& folder() {
  static const TemporaryFolder one;
  return one.path();
}

fs::path as_file(std::string_view input, const std::string& name) {
  fs::path file = folder() / name;
  const int out = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out < 0 || ::write(out, input.data(), input.size()) != static_cast<ssize_t>(input.size()) || ::close(out) != 0) {
    std::abort();
  }
  return file;
}

}  // namespace evenflow::fuzz

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static evenflow::fuzz::Tally tally;
  tally.count(evenflow::fuzz::reads({reinterpret_cast<const char*>(data), size}));
  return 0;
}
