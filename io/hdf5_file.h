// The HDF5 C library behind a few calls that own their handles and throw (internal to io).
//
// Every object here must be made and used under an Hdf5Lock: the library is one per process and not assumed to be
// thread-safe. Its printed error stack is silenced; a failure becomes a DataError that names file and dataset.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/checksum.h"
#include "io/text.h"

namespace evenflow::io {

/// Holds the process-wide mutex (recursive: objects close themselves wherever they end).
class Hdf5Lock {
 public:
  Hdf5Lock();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// Owns one HDF5 identifier of any kind.
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      close();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
    }
    return *this;
  }
  ~Handle() { close(); }
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// False if the library reports an error, as a file does whose last blocks find no room.
  bool close();

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using Shape = std::vector<hsize_t>;

/// The HDF5 type that stores T: little-endian, as in memory.
template <class T>
struct Hdf5Type;
template <>
struct Hdf5Type<float> {
  static hid_t stored() { return H5T_IEEE_F32LE; }
};
template <>
struct Hdf5Type<double> {
  static hid_t stored() { return H5T_IEEE_F64LE; }
};
template <>
struct Hdf5Type<int8_t> {
  static hid_t stored() { return H5T_STD_I8LE; }
};
template <>
struct Hdf5Type<int32_t> {
  static hid_t stored() { return H5T_STD_I32LE; }
};
template <>
struct Hdf5Type<int64_t> {
  static hid_t stored() { return H5T_STD_I64LE; }
};
template <>
struct Hdf5Type<uint64_t> {
  static hid_t stored() { return H5T_STD_U64LE; }
};

/// The layout that this program writes. Version 1 had no checksums and no list of a model's parameters; it is read.
constexpr int64_t format_version = 2;
/// That of files with parameters that are names, whose codes an older program would take for numbers.
constexpr int64_t categories_version = 3;
/// Of a model whose calibrated scores know what operating points have of their own.
constexpr int64_t point_effects_version = 4;
/// The latest that is read.
constexpr int64_t latest_version = point_effects_version;

/// An HDF5 file. `where` arguments are absolute object paths: "/clip/offset".
///
/// From version 2 on every dataset carries a checksum over its name, type, shape and bytes, which reading verifies; the
/// library itself has one on every other block. Only plain datasets behind hard links are opened, and all that is read
/// together is no larger than the file, so that neither damage nor a stranger's file can make a reader follow a link to
/// somewhere else, wait, or take memory that the file does not account for.
class Hdf5File {
 public:
  /// A new file in the place of `at`, a temporary. Errors name `named`, the file it is to become.
  static Hdf5File create(const std::filesystem::path& at, const std::filesystem::path& named);
  /// Opens for reading a file of ours, of any kind. DataError says what it is instead and what helps.
  static Hdf5File open(const std::filesystem::path& file);
  /// The same of this kind.
  static Hdf5File open(const std::filesystem::path& file, std::string_view kind);

  const std::filesystem::path& named() const { return named_; }
  const std::string& kind() const { return kind_; }
  int64_t version() const { return version_; }
  /// DataError: "'<file>': <what>".
  [[noreturn]] void fail(const std::string& what) const;
  /// "'<file>': <what>: damaged; <cure>".
  [[noreturn]] void fail_damaged(const std::string& what) const;
  /// The same with the library's reason for the last failure.
  [[noreturn]] void fail_with_reason(const std::string& what) const;
  /// A write that failed, with the library's reason.
  [[noreturn]] void fail_write(const std::string& what) const;

  void make_group(const std::string& where);
  /// DataError if it is there but is a link to somewhere else, or if damage leaves that open.
  bool exists(const std::string& where) const;

  template <class T>
  void write(const std::string& where, const Shape& shape, const T* data) {
    write_raw(where, shape, data, Hdf5Type<T>::stored());
  }
  template <class T>
  void write(const std::string& where, const std::vector<T>& data) {
    write(where, {data.size()}, data.data());
  }
  void write_text(const std::string& where, const std::string& text);
  void write_texts(const std::string& where, const std::vector<std::string>& texts);
  /// For a dataset that is written in pieces: it is made, filled by the caller, and sealed by its checksum, which
  /// begins with what the dataset is, so that two that changed places do not pass for each other.
  Handle create_dataset(const std::string& where, const Shape& shape, hid_t stored);
  static Crc32 begin_checksum(const std::string& where, hid_t stored, const Shape& shape);
  void write_checksum(const std::string& where, const Handle& dataset, uint32_t checksum);

  /// The whole dataset. `shape` gets its shape; the type must be T's.
  template <class T>
  std::vector<T> read(const std::string& where, Shape& shape) const {
    const Handle dataset = open_dataset(where, Hdf5Type<T>::stored(), shape);
    std::vector<T> out(element_count(shape));
    read_raw(where, dataset, shape, out.data());
    return out;
  }
  /// The whole dataset, which must have one dimension.
  template <class T>
  std::vector<T> read(const std::string& where) const {
    Shape shape;
    std::vector<T> out = read<T>(where, shape);
    if (shape.size() != 1) {
      fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected 1");
    }
    return out;
  }
  std::string read_text(const std::string& where) const;
  /// Each a line that io/text.h lets in, as of attributes.
  std::vector<std::string> read_texts(const std::string& where) const;
  /// DataError if one of them is no name that io/text.h lets in.
  void require_names(const std::string& where, const std::vector<std::string>& names) const;
  /// The stored type of a dataset.
  Handle type_of(const std::string& where) const;
  /// Opens a dataset whose type must be `stored` (H5T_C_S1: text of a fixed length).
  Handle open_dataset(const std::string& where, hid_t stored, Shape& shape) const;
  /// Rows from `first` on of a float matrix: as many as `rows` holds of `columns` each.
  void write_rows(const std::string& where, const Handle& dataset, hsize_t first, hsize_t columns,
                  std::span<const float> rows) const;
  void read_rows(const std::string& where, const Handle& dataset, hsize_t first, hsize_t columns,
                 std::span<float> rows) const;
  /// Reads a dataset of floats of any size in pieces, for its checksum alone. Returns its shape.
  Shape verify(const std::string& where, hid_t stored) const;

  template <class T>
  void write_attribute(const std::string& where, const std::string& name, T value) {
    write_attribute_raw(where, name, &value, Hdf5Type<T>::stored());
  }
  void write_attribute(const std::string& where, const std::string& name, const std::string& value);
  void write_attribute(const std::string& where, const std::string& name, const std::vector<std::string>& values);
  template <class T>
  T read_attribute(const std::string& where, const std::string& name) const {
    T value{};
    read_attribute_raw(where, name, &value, Hdf5Type<T>::stored());
    return value;
  }
  bool has_attribute(const std::string& where, const std::string& name) const;
  std::string read_text_attribute(const std::string& where, const std::string& name) const;
  std::vector<std::string> read_texts_attribute(const std::string& where, const std::string& name) const;

  hid_t id() const { return file_.get(); }
  /// Writes version and kind, flushes and closes; DataError if that fails. Last: an unfinished file claims no kind.
  void finish(const std::string& kind, int64_t version = format_version);

  static size_t element_count(const Shape& shape);

 private:
  void write_raw(const std::string& where, const Shape& shape, const void* data, hid_t stored);
  void read_raw(const std::string& where, const Handle& dataset, const Shape& shape, void* out) const;
  Handle open_any(const std::string& where, Shape& shape) const;
  void require_plain(const std::string& where, const Handle& dataset, uint64_t bytes) const;
  void claim(const std::string& what, uint64_t bytes) const;
  void compare_checksum(const std::string& where, const Handle& dataset, uint32_t found) const;
  void require_utf8(const std::string& where, const std::vector<std::string>& texts) const;
  void require_lines(const std::string& where, const std::vector<std::string>& texts) const;
  [[noreturn]] void refuse_text(const std::string& where, const std::string& text, const TextFault& fault) const;
  Handle open_attribute(const std::string& where, const std::string& name) const;
  void write_attribute_raw(const std::string& where, const std::string& name, const void* value, hid_t stored);
  void read_attribute_raw(const std::string& where, const std::string& name, void* value, hid_t stored) const;
  std::vector<std::string> read_strings_attribute(const std::string& where, const std::string& name, bool scalar) const;

  Handle file_;
  std::filesystem::path named_;
  std::string kind_;
  int64_t version_ = format_version;
  uint64_t size_on_disk_ = 0;
  mutable std::set<std::string> claimed_;  // what has been read, and how much of the file it leaves to others
  mutable uint64_t unclaimed_ = 0;
};

/// True if it is to be treated as HDF5: a file with the format's signature where it may stand, or one named `.h5`.
bool looks_like_hdf5(const std::filesystem::path& file);

/// The kind of a file of ours: "evenflow shard". DataError as opening it would give.
std::string read_kind(const std::filesystem::path& file);
/// The kind of a readable file of ours, or empty. Never throws on what the file holds.
std::string hdf5_kind(const std::filesystem::path& file);

}  // namespace evenflow::io
