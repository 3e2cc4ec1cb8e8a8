// Damage to a file on disk: every reader must answer with its error or with values, never with a crash.
#pragma once

#include <hdf5.h>
#include <zlib.h>

#include <functional>
#include <random>

#include "tests/io/testing.h"

namespace evenflow::io::testing {

/// Gives a dataset that a test has changed the checksum that docs/formats.md says it should have.
inline void reseal(hid_t file, const std::string& where) {
  const hid_t dataset = H5Dopen2(file, where.c_str(), H5P_DEFAULT);
  const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  const size_t size = H5Tget_size(type);
  hsize_t shape[H5S_MAX_RANK];
  const int rank = H5Sget_simple_extent_dims(space, shape, nullptr);
  std::string text = H5Tget_class(type) == H5T_STRING  ? "text" + std::to_string(size)
                     : H5Tget_class(type) == H5T_FLOAT ? "float" + std::to_string(8 * size)
                                                       : "int" + std::to_string(8 * size);
  text = where + " " + text + " ";
  for (int i = 0; i < rank; ++i) {
    text += (i > 0 ? "x" : "") + std::to_string(shape[i]);
  }
  text += "\n";
  std::string bytes(static_cast<size_t>(H5Sget_simple_extent_npoints(space)) * size, '\0');
  EXPECT_GE(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), 0);
  text += bytes;
  const uLong crc = ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  const auto value = static_cast<uint32_t>(crc);
  if (H5Aexists(dataset, "crc32") > 0) {
    H5Adelete(dataset, "crc32");
  }
  const hid_t scalar = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(dataset, "crc32", H5T_STD_U32LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_GE(H5Awrite(attribute, H5T_STD_U32LE, &value), 0);
  H5Aclose(attribute);
  H5Sclose(scalar);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(dataset);
}

/// Runs `read` over the file cut at many lengths; each must be a DataError that names the file and a cure. In a child,
/// as below.
inline void expect_cut_is_told(const std::filesystem::path& whole, const std::filesystem::path& cut,
                               const std::function<void()>& read) {
  const auto told_each_time = [&] {
    const std::string bytes = get(whole);
    std::vector<size_t> lengths = {0, 1, 7, 8, 9, bytes.size() - 1, bytes.size() - 2, bytes.size() / 2};
    for (size_t length = 16; length < bytes.size(); length += 1 + bytes.size() / 400) {
      lengths.push_back(length);
    }
    for (const size_t length : lengths) {
      put(cut, bytes.substr(0, length));
      std::string error;
      try {
        read();
      } catch (const DataError& data_error) {
        error = data_error.what();
      }
      const bool cure = error.find("again") != std::string::npos || error.find("check the path") != std::string::npos;
      if (error.find(cut.string()) == std::string::npos || !cure) {
        fprintf(stderr, "at length %zu: '%s'\n", length, error.c_str());
        return 1;
      }
      if (H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL) != 0) {
        return 2;
      }
    }
    return 0;
  };
  EXPECT_EQ(exit_code(in_child(told_each_time)), 0) << "1: no error, or file or cure not named, 2: a handle left open";
}

/// Runs `read` over the file with a few bytes changed; it may succeed or throw DataError, and leaves nothing open. In a
/// child: a crash is one failed test, and the memory libhdf5 1.10.8 itself loses on damaged files is not counted as
/// ours.
inline void expect_damage_is_survived(const std::filesystem::path& whole, const std::filesystem::path& damaged,
                                      int rounds, const std::function<void()>& read) {
  const auto survive = [&] {
    const std::string bytes = get(whole);
    std::mt19937 random(7);
    int told = 0;
    for (int round = 0; round < rounds; ++round) {
      std::string changed = bytes;
      // Metadata gathers at the two ends of the file.
      const size_t window = round % 2 == 0 ? std::min<size_t>(changed.size(), 4096) : changed.size();
      const size_t begin = round % 4 == 0 ? changed.size() - window : 0;
      for (int i = 0; i < 1 + round % 3; ++i) {
        changed[begin + random() % window] = static_cast<char>(random());
      }
      put(damaged, changed);
      try {
        read();
      } catch (const DataError& error) {
        ++told;
        if (std::string(error.what()).find(damaged.string()) == std::string::npos) {
          fprintf(stderr, "round %d: %s\n", round, error.what());
          return 1;
        }
      }
      if (H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL) != 0) {
        return 2;
      }
    }
    return told > rounds / 10 ? 0 : 3;
  };
  EXPECT_EQ(exit_code(in_child(survive)), 0) << "1: file not named, 2: a handle left open, 3: hardly any damage told";
}

}  // namespace evenflow::io::testing
