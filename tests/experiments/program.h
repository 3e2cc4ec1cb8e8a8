// Runs the program `evenflow` as a person does and catches what it says.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace evenflow::experiments::test {

using Words = std::vector<std::string>;
Words operator+(Words words, const Words& more);

struct Outcome {
  int code = -1;  ///< exit code, or 128 + the signal that ended it
  std::string out, err;
};

struct Setting {
  uint64_t file_limit_bytes = 0;  ///< no file may grow beyond; 0: no limit
  std::string out_file = {};      ///< standard output goes there
  std::string in_file = {};       ///< standard input comes from there
};

/// A running `evenflow`. Its output goes to files, so that it never waits for a reader.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments, const Setting& setting = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  /// Waits until `met` or the program's end; false after 30 s or the end.
  bool wait_until(const std::function<bool()>& met);
  void send(int signal) const;
  Outcome finish();
  std::string out() const;

 private:
  bool ended();
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
  std::filesystem::path out_, err_;
};

Outcome run(const std::vector<std::string>& arguments, const Setting& setting = {});

/// Exit code 0, and nothing on standard error.
void expect_done(const Outcome& outcome);
/// An exit code, and one sentence on standard error that names what `names` lists.
void expect_refused(const Outcome& outcome, int code, const Words& names);

/// A folder of its own, gone at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }
  /// Every file below, sorted, relative.
  std::vector<std::string> files() const;

 private:
  std::filesystem::path path_;
};

void put(const std::filesystem::path& file, const std::string& bytes);
std::string get(const std::filesystem::path& file);

/// Clips of each speed that synth_three_speeds makes.
struct SynthClips {
  int train = 0, normal = 0, anomalous = 0;
};
/// `synth` of next to nothing: training at 100 and 300 mm/s, tests at 200 too.
Words synth_three_speeds(const std::string& folder, const SynthClips& clips);

}  // namespace evenflow::experiments::test
