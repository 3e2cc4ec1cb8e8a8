// The campaign of damage_test.cpp at any length: damage_files [--flips N] [--seed S] [FILE ...]. Without a file, one of
// each kind is made. Prints a row per file and kind of damage; the exit code is 1 if any read crashed, hung, or gave
// something other than the undamaged file (a file of version 1, without checksums, may give that).
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "io/hdf5_file.h"
#include "tests/io/damage_campaign.h"
#include "tests/io/testing.h"

namespace evenflow::io {
namespace {

namespace fs = std::filesystem;

bool damage(const fs::path& file, const char* what, const std::vector<testing::Damage>& damages) {
  const testing::Tally tally = testing::read_damaged(file, damages);
  std::printf("%-24s %-18s %8zu %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64 "\n",
              file.filename().c_str(), what, damages.size(), tally.refused, tally.same, tally.changed, tally.crashed,
              tally.hung, tally.unnamed);
  if (!tally.first_fault.empty()) {
    std::printf("    first: %s\n", tally.first_fault.c_str());
  }
  std::fflush(stdout);
  return tally.faults() == 0;
}

int run(int argc, char** argv) {
  int64_t flips = 10'000;
  uint64_t seed = 1;
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--flips") == 0 && i + 1 < argc) {
      flips = std::atoll(argv[++i]);
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      files.emplace_back(argv[i]);
    }
  }
  const testing::TempFolder folder;
  if (files.empty()) {
    files = testing::write_examples(folder.path());
  }
  std::printf("%-24s %-18s %8s %8s %8s %8s %8s %8s %8s\n", "file", "damage", "tried", "refused", "same", "changed",
              "crashed", "hung", "unnamed");
  bool all_told = true;
  for (const fs::path& file : files) {
    const std::string bytes = testing::get(file);
    all_told &= damage(file, "random bit", testing::random_flips(bytes, flips, seed));
    all_told &= damage(file, "bit of first 2 KiB", testing::flips_of_begin(bytes, 2048, 1));
    all_told &= damage(file, "cut", testing::truncations(bytes, 512));
    all_told &= damage(file, "lost pages", testing::lost_pages(bytes));
    all_told &= damage(file, "duplicated pages", testing::duplicated_pages(bytes));
  }
  return all_told ? 0 : 1;
}

}  // namespace
}  // namespace evenflow::io

int main(int argc, char** argv) {
  return evenflow::io::run(argc, argv);
}
