// The HDF5 C library behind a few calls that own their handles and throw (internal to io).
//
// Every object here must be made and used under an Hdf5Lock: the library is one per process and not assumed to be
// thread-safe. Its printed error stack is silenced; a failure becomes a DataError that names file and dataset.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// The HDF5 type that stores T and the one that holds it in memory.
template <class T>
struct Hdf5Type;
template <>
struct Hdf5Type<float> {
  static hid_t stored() { return H5T_IEEE_F32LE; }
  static hid_t native() { return H5T_NATIVE_FLOAT; }
};
template <>
struct Hdf5Type<double> {
  static hid_t stored() { return H5T_IEEE_F64LE; }
  static hid_t native() { return H5T_NATIVE_DOUBLE; }
};
template <>
struct Hdf5Type<int8_t> {
  static hid_t stored() { return H5T_STD_I8LE; }
  static hid_t native() { return H5T_NATIVE_INT8; }
};
template <>
struct Hdf5Type<int32_t> {
  static hid_t stored() { return H5T_STD_I32LE; }
  static hid_t native() { return H5T_NATIVE_INT32; }
};
template <>
struct Hdf5Type<int64_t> {
  static hid_t stored() { return H5T_STD_I64LE; }
  static hid_t native() { return H5T_NATIVE_INT64; }
};
template <>
struct Hdf5Type<uint64_t> {
  static hid_t stored() { return H5T_STD_U64LE; }
  static hid_t native() { return H5T_NATIVE_UINT64; }
};

/// An HDF5 file. `where` arguments are absolute object paths: "/clip/offset".
class Hdf5File {
 public:
  /// A new file in the place of `at`, a temporary. Errors name `named`, the file it is to become.
  static Hdf5File create(const std::filesystem::path& at, const std::filesystem::path& named);
  /// Opens for reading and checks that it is one of ours: root attribute `kind` as given, `format_version` as given.
  static Hdf5File open(const std::filesystem::path& file, std::string_view kind, int64_t format_version);

  const std::filesystem::path& named() const { return named_; }
  /// DataError: "'<file>': <what>".
  [[noreturn]] void fail(const std::string& what) const;
  /// The same with the library's reason for the last failure.
  [[noreturn]] void fail_with_reason(const std::string& what) const;

  /// fail_with_reason for a write: the cure is elsewhere.
  [[noreturn]] void fail_write(const std::string& what) const;

  void make_group(const std::string& where);
  bool exists(const std::string& where) const;
  /// Names below a group, in the order they were made.
  std::vector<std::string> children(const std::string& group) const;

  template <class T>
  void write(const std::string& where, const Shape& shape, const T* data) {
    write_raw(where, shape, data, Hdf5Type<T>::stored(), Hdf5Type<T>::native());
  }
  template <class T>
  void write(const std::string& where, const std::vector<T>& data) {
    write(where, {data.size()}, data.data());
  }
  void write_text(const std::string& where, const std::string& text);
  void write_texts(const std::string& where, const std::vector<std::string>& texts);

  /// The whole dataset. `shape` gets its shape; the type must be of T's class, sign and size.
  template <class T>
  std::vector<T> read(const std::string& where, Shape& shape) const {
    const Handle dataset = open_dataset(where, Hdf5Type<T>::stored(), shape);
    std::vector<T> out(checked_count(where, dataset, shape, sizeof(T)));
    read_raw(where, dataset, Hdf5Type<T>::native(), out.data(), out.size());
    return out;
  }
  /// The whole dataset, which must have one dimension.
  template <class T>
  std::vector<T> read(const std::string& where) const {
    Shape shape;
    std::vector<T> out = read<T>(where, shape);
    if (shape.size() != 1) fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected 1");
    return out;
  }
  std::string read_text(const std::string& where) const;
  std::vector<std::string> read_texts(const std::string& where) const;
  /// The stored type of a dataset.
  Handle type_of(const std::string& where) const;
  /// Opens a dataset whose type must be `stored`.
  Handle open_dataset(const std::string& where, hid_t stored, Shape& shape) const;

  template <class T>
  void write_attribute(const std::string& where, const std::string& name, T value) {
    write_attribute_raw(where, name, &value, Hdf5Type<T>::stored(), Hdf5Type<T>::native());
  }
  void write_attribute(const std::string& where, const std::string& name, const std::string& value);
  void write_attribute(const std::string& where, const std::string& name, const std::vector<std::string>& values);
  template <class T>
  T read_attribute(const std::string& where, const std::string& name) const {
    T value{};
    read_attribute_raw(where, name, &value, Hdf5Type<T>::stored(), Hdf5Type<T>::native());
    return value;
  }
  bool has_attribute(const std::string& where, const std::string& name) const;
  std::string read_text_attribute(const std::string& where, const std::string& name) const;
  std::vector<std::string> read_texts_attribute(const std::string& where, const std::string& name) const;

  hid_t id() const { return file_.get(); }
  uint64_t size_on_disk() const { return size_on_disk_; }
  void flush();
  /// Flushes and closes; DataError if that fails.
  void close();

 private:
  void write_raw(const std::string& where, const Shape& shape, const void* data, hid_t stored, hid_t native);
  void read_raw(const std::string& where, const Handle& dataset, hid_t native, void* out, size_t count) const;
  /// The number of elements, refused where the file cannot hold as much: a damaged shape must not claim all memory.
  size_t checked_count(const std::string& where, const Handle& dataset, const Shape& shape, size_t size) const;
  void write_attribute_raw(const std::string& where, const std::string& name, const void* value, hid_t stored,
                           hid_t native);
  void read_attribute_raw(const std::string& where, const std::string& name, void* value, hid_t stored,
                          hid_t native) const;
  std::vector<std::string> read_strings_attribute(const std::string& where, const std::string& name, bool scalar) const;

  Handle file_;
  std::filesystem::path named_;
  uint64_t size_on_disk_ = 0;
};

/// The root attribute `kind` of a readable HDF5 file, or empty. Never throws on what the file holds.
std::string hdf5_kind(const std::filesystem::path& file);

}  // namespace evenflow::io
