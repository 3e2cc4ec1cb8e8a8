// Damage to a file on disk: every reader must answer with its error or with values, never with a crash.
#pragma once

#include <hdf5.h>

#include <functional>
#include <random>

#include "tests/io/no_leak_check.h"
#include "tests/io/testing.h"

namespace evenflow::io::testing {

/// Runs `read` over the file cut at many lengths; each must be a DataError that names the file.
inline void expect_cut_is_told(const std::filesystem::path& whole, const std::filesystem::path& cut,
                               const std::function<void()>& read) {
  const std::string bytes = get(whole);
  std::vector<size_t> lengths = {0, 1, 7, 8, 9, bytes.size() - 1, bytes.size() - 2, bytes.size() / 2};
  for (size_t length = 16; length < bytes.size(); length += 1 + bytes.size() / 400) lengths.push_back(length);
  for (const size_t length : lengths) {
    put(cut, bytes.substr(0, length));
    const std::string error = error_of<DataError>(read);
    ASSERT_THAT(error, ::testing::HasSubstr(cut.string())) << "at length " << length;
    ASSERT_THAT(error, ::testing::AnyOf(::testing::HasSubstr("anew"), ::testing::HasSubstr("check the path")));
  }
}

/// Runs `read` over the file with a few bytes changed; it may succeed or throw DataError.
inline void expect_damage_is_survived(const std::filesystem::path& whole, const std::filesystem::path& damaged,
                                      int rounds, const std::function<void()>& read) {
  const std::string bytes = get(whole);
  std::mt19937 random(7);
  const NoLeakCheck library_leaks_on_damage;
  int told = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string changed = bytes;
    // Metadata gathers at the two ends of the file.
    const size_t window = round % 2 == 0 ? std::min<size_t>(changed.size(), 4096) : changed.size();
    const size_t begin = round % 4 == 0 ? changed.size() - window : 0;
    for (int i = 0; i < 1 + round % 3; ++i) changed[begin + random() % window] = static_cast<char>(random());
    put(damaged, changed);
    try {
      read();
    } catch (const DataError& error) {
      ++told;
      ASSERT_THAT(error.what(), ::testing::HasSubstr(damaged.string()));
    }
  }
  EXPECT_GT(told, rounds / 10);
  EXPECT_EQ(H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL), 0) << "a handle was left open";
}

}  // namespace evenflow::io::testing
