#include "tests/experiments/program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace evenflow::experiments::test {

namespace fs = std::filesystem;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

void expect_done(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err, "");
}

void expect_refused(const Outcome& outcome, int code, const Words& names) {
  EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("evenflow: ")) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.ends_with("\n"));
  for (const std::string& name : names) {
    EXPECT_THAT(outcome.err, ::testing::HasSubstr(name));
  }
}

namespace {

fs::path fresh_name(const std::string& what) {
  static std::atomic<int> count{0};
  return fs::temp_directory_path() /
         ("evenflow_cli_" + std::to_string(::getpid()) + "_" + std::to_string(count++) + "_" + what);
}

void redirect(const fs::path& file, int descriptor) {
  const int opened = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (opened < 0 || ::dup2(opened, descriptor) < 0) {
    ::_exit(99);
  }
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const Setting& setting)
    : out_(setting.out_file.empty() ? fresh_name("out") : fs::path(setting.out_file)), err_(fresh_name("err")) {
  std::vector<std::string> words = {EVENFLOW_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) {
    throw std::runtime_error("fork failed");
  }
  if (pid_ > 0) {
    return;
  }
  if (!setting.in_file.empty()) {
    const int opened = ::open(setting.in_file.c_str(), O_RDONLY);
    if (opened < 0 || ::dup2(opened, STDIN_FILENO) < 0) {
      ::_exit(96);
    }
  }
  redirect(out_, STDOUT_FILENO);
  redirect(err_, STDERR_FILENO);
  if (setting.file_limit_bytes > 0) {
    const rlimit limit = {setting.file_limit_bytes, setting.file_limit_bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
      ::_exit(98);
    }
  }
  ::execv(argv[0], argv.data());
  ::_exit(97);
}

Program::~Program() {
  if (!ended()) {
    send(SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  std::error_code ignored;
  fs::remove(err_, ignored);
  if (fs::is_regular_file(out_, ignored)) {
    fs::remove(out_, ignored);
  }
}

bool Program::ended() {
  if (!ended_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) {
    ended_ = true;
  }
  return ended_;
}

bool Program::wait_until(const std::function<bool()>& met) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!met()) {
    if (ended() || std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

void Program::send(int signal) const {
  ::kill(pid_, signal);
}

Outcome Program::finish() {
  if (!ended_) {
    ::waitpid(pid_, &status_, 0);
  }
  ended_ = true;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), out(), get(err_)};
}

std::string Program::out() const {
  return fs::is_regular_file(out_) ? get(out_) : std::string();
}

Outcome run(const std::vector<std::string>& arguments, const Setting& setting) {
  return Program(arguments, setting).finish();
}

Folder::Folder() {
  std::string name = (fs::temp_directory_path() / "evenflow_cli_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("no temporary folder");
  }
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> Folder::files() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(path_)) {
    if (!entry.is_directory()) {
      names.push_back(entry.path().lexically_relative(path_).string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void put(const fs::path& file, const std::string& bytes) {
  if (file.has_parent_path()) {
    fs::create_directories(file.parent_path());
  }
  std::ofstream out(file, std::ios::binary);
  out << bytes;
  if (!out.flush()) {
    throw std::runtime_error("cannot write " + file.string());
  }
}

std::string get(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Words synth_three_speeds(const std::string& folder, const SynthClips& clips) {
  return {"synth",
          folder,
          "--train-velocities",
          "100,300",
          "--test-velocities",
          "100,200,300",
          "--train-distances",
          "250",
          "--test-distances",
          "250",
          "--duration",
          "1.6",
          "--train-clips",
          std::to_string(clips.train),
          "--normal-clips",
          std::to_string(clips.normal),
          "--anomaly-clips",
          std::to_string(clips.anomalous)};
}

}  // namespace evenflow::experiments::test
