#include "tests/support/child.h"

#include <gtest/gtest.h>
#include <spawn.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace evenflow::tests {
namespace {

constexpr const char* folder_variable = "EVENFLOW_TEST_FOLDER";

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

/// This process's, but for what GoogleTest would take its part of the tests and the place of its report from.
std::vector<std::string> environment_for(const std::filesystem::path& folder) {
  std::vector<std::string> variables{std::string(folder_variable) + "=" + folder.string(), "TMPDIR=" + folder.string()};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (!text.starts_with("GTEST_") && !text.starts_with("TMPDIR=") && !text.starts_with(folder_variable)) {
      variables.emplace_back(text);
    }
  }
  return variables;
}

}  // namespace

pid_t rerun_this_test(const std::filesystem::path& folder) {
  const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::vector<std::string> words{program, std::string("--gtest_filter=") + test.test_suite_name() + "." + test.name()};
  std::vector<std::string> environment = environment_for(folder);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, program.c_str(), nullptr, nullptr, pointers_to(words).data(),
                                  pointers_to(environment).data());
  if (error != 0) {
    throw std::system_error(error, std::generic_category(), program);
  }
  return child;
}

std::optional<std::filesystem::path> folder_from_parent() {
  const char* folder = std::getenv(folder_variable);
  return folder == nullptr ? std::nullopt : std::optional<std::filesystem::path>(folder);
}

}  // namespace evenflow::tests
