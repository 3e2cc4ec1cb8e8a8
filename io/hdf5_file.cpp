#include "io/hdf5_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include "io/error.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

constexpr std::array<unsigned char, 8> signature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
/// Datasets up to this size are believed without a look at the file's size.
constexpr uint64_t small_dataset_bytes = 1 << 20;

std::recursive_mutex& mutex() {
  static std::recursive_mutex one;
  return one;
}

/// The library's own words for the last failure. Every call of the library clears them, the closing of a handle too:
/// what a call takes must outlive this. The system's message where there is one, else the innermost entry.
std::string last_reason() {
  std::string reason;
  const auto visit = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    const std::string_view description = entry->desc == nullptr ? "" : entry->desc;
    constexpr std::string_view key = "error message = '";
    const size_t begin = description.find(key);
    if (begin != std::string_view::npos) {
      const std::string_view rest = description.substr(begin + key.size());
      text = rest.substr(0, rest.find('\''));
      return 1;
    }
    if (text.empty()) text = description;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, visit, &reason);
  return reason.empty() ? "unknown reason" : reason;
}

/// Version 1.10's layout puts a checksum on every piece of metadata, so that damage is reported, not followed.
Handle access_list() {
  Handle list(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
#if H5_VERSION_GE(1, 10, 7)
  // A file appears by renaming and is never changed after: a lock would only fail on some network file systems.
  H5Pset_file_locking(list.get(), false, true);
#endif
  return list;
}

Handle string_type(size_t length) {
  Handle type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), std::max<size_t>(length, 1));
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

Handle simple_space(const Shape& shape) {
  return Handle(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr));
}

/// Creation properties without times: the same content gives the same bytes.
Handle timeless(hid_t object_class) {
  Handle list(H5Pcreate(object_class));
  H5Pset_obj_track_times(list.get(), false);
  return list;
}

/// Strings of one fixed length, one after the other.
std::string packed(const std::vector<std::string>& texts, size_t& length) {
  length = 1;
  for (const std::string& text : texts) length = std::max(length, text.size());
  std::string out;
  out.reserve(length * texts.size());
  for (const std::string& text : texts) {
    out += text;
    out.append(length - text.size(), '\0');
  }
  return out;
}

std::vector<std::string> unpacked(const std::string& bytes, size_t length) {
  std::vector<std::string> texts;
  for (size_t begin = 0; begin < bytes.size(); begin += length) {
    const std::string_view field = std::string_view(bytes).substr(begin, length);
    texts.emplace_back(field.substr(0, field.find_last_not_of('\0') + 1));
  }
  return texts;
}

std::string parent(const std::string& where) {
  const size_t slash = where.rfind('/');
  return slash == 0 ? "/" : where.substr(0, slash);
}

std::string attribute_name(const std::string& where, const std::string& name) {
  return "attribute '" + name + "' of " + where;
}

/// What is wrong with a file the library cannot open, as far as it shows from outside. Empty: looks like HDF5.
std::string outside_fault(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) return "does not exist; check the path";
  if (fs::is_directory(status)) return "is a folder, not a file; name the .h5 file in it";
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::string("cannot be read: ") + std::strerror(errno);
  std::array<char, signature.size()> head{};
  in.read(head.data(), head.size());
  if (in.gcount() == 0) return "is empty; copy or make it anew";
  if (in.gcount() < static_cast<std::streamsize>(head.size()) ||
      std::memcmp(head.data(), signature.data(), signature.size()) != 0)
    return "is not an HDF5 file; check the path";
  return {};
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(mutex()) {
  static const bool once = [] {
    // Everything is closed by its owner. At exit the library would only try again to write what found no room.
    H5dont_atexit();
    return H5open() >= 0;
  }();
  // The error stack belongs to the thread, so it is silenced in each.
  thread_local const bool silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
  if (!once || !silent) throw DataError("the HDF5 library cannot be started");
}

bool Handle::close() {
  if (id_ < 0) return true;
  const hid_t id = std::exchange(id_, H5I_INVALID_HID);
  const std::lock_guard<std::recursive_mutex> lock(mutex());
  switch (H5Iget_type(id)) {
    case H5I_FILE:
      return H5Fclose(id) >= 0;
    case H5I_GROUP:
      return H5Gclose(id) >= 0;
    case H5I_DATASET:
      return H5Dclose(id) >= 0;
    case H5I_DATASPACE:
      return H5Sclose(id) >= 0;
    case H5I_DATATYPE:
      return H5Tclose(id) >= 0;
    case H5I_ATTR:
      return H5Aclose(id) >= 0;
    case H5I_GENPROP_LST:
      return H5Pclose(id) >= 0;
    default:
      return H5Idec_ref(id) >= 0;
  }
}

Hdf5File Hdf5File::create(const fs::path& at, const fs::path& named) {
  Hdf5File out;
  out.named_ = named;
  const Handle access = access_list();
  const Handle creation = timeless(H5P_FILE_CREATE);
  out.file_ = Handle(H5Fcreate(at.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()));
  if (!out.file_.valid()) throw DataError("cannot write '" + named.string() + "': " + last_reason());
  return out;
}

Hdf5File Hdf5File::open(const fs::path& file, std::string_view kind, int64_t format_version) {
  Hdf5File out;
  out.named_ = file;
  const std::string fault = outside_fault(file);
  if (!fault.empty()) throw DataError("'" + file.string() + "' " + fault);
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  out.size_on_disk_ = error ? std::numeric_limits<uint64_t>::max() : size;
  const Handle access = access_list();
  out.file_ = Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()));
  if (!out.file_.valid())
    throw DataError("'" + file.string() + "' is damaged or cut short (" + std::to_string(out.size_on_disk_) +
                    " bytes): " + last_reason() + "; copy or make it anew");
  if (H5Aexists(out.id(), "kind") <= 0) out.fail("an HDF5 file, but not one of evenflow's; check the path");
  const std::string found = out.read_text_attribute("/", "kind");
  if (found != kind) out.fail("is an " + found + ", expected an " + std::string(kind) + "; check the path");
  const auto version = out.read_attribute<int64_t>("/", "format_version");
  if (version != format_version)
    out.fail("has format version " + std::to_string(version) + ", this program reads version " +
             std::to_string(format_version) + "; make it anew or use the program that wrote it");
  return out;
}

void Hdf5File::fail(const std::string& what) const {
  throw DataError("'" + named_.string() + "': " + what);
}

void Hdf5File::fail_with_reason(const std::string& what) const {
  fail(what + ": " + last_reason());
}

void Hdf5File::fail_write(const std::string& what) const {
  fail("cannot write " + what + ": " + last_reason() + "; make room on the disk or choose another folder");
}

void Hdf5File::make_group(const std::string& where) {
  const Handle list = timeless(H5P_GROUP_CREATE);
  H5Pset_link_creation_order(list.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  const Handle group(H5Gcreate2(id(), where.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
  if (!group.valid()) fail_write("group " + where);
}

bool Hdf5File::exists(const std::string& where) const {
  if (where == "/") return true;
  return exists(parent(where)) && H5Lexists(id(), where.c_str(), H5P_DEFAULT) > 0 &&
         H5Oexists_by_name(id(), where.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Hdf5File::children(const std::string& group) const {
  if (!exists(group)) fail("has no " + group + "; make it anew");
  const Handle opened(H5Gopen2(id(), group.c_str(), H5P_DEFAULT));
  if (!opened.valid()) fail_with_reason(group + " is not a readable group");
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Literate(opened.get(), H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr, visit, &names) < 0)
    fail_with_reason("cannot list " + group);
  return names;
}

void Hdf5File::write_raw(const std::string& where, const Shape& shape, const void* data, hid_t stored, hid_t native) {
  const Handle space = simple_space(shape);
  const Handle list = timeless(H5P_DATASET_CREATE);
  const Handle dataset(H5Dcreate2(id(), where.c_str(), stored, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
  if (!dataset.valid()) fail_write(where);
  const bool empty = std::find(shape.begin(), shape.end(), hsize_t{0}) != shape.end();
  if (!empty && H5Dwrite(dataset.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) fail_write(where);
}

void Hdf5File::write_text(const std::string& where, const std::string& text) {
  const Handle type = string_type(text.size());
  const Handle space(H5Screate(H5S_SCALAR));
  const Handle list = timeless(H5P_DATASET_CREATE);
  const Handle dataset(H5Dcreate2(id(), where.c_str(), type.get(), space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
  if (!dataset.valid() || H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()) < 0)
    fail_write(where);
}

void Hdf5File::write_texts(const std::string& where, const std::vector<std::string>& texts) {
  size_t length = 0;
  const std::string bytes = packed(texts, length);
  const Handle type = string_type(length);
  write_raw(where, {texts.size()}, bytes.data(), type.get(), type.get());
}

Handle Hdf5File::open_dataset(const std::string& where, hid_t stored, Shape& shape) const {
  if (!exists(where)) fail("has no " + where + "; make it anew");
  Handle dataset(H5Dopen2(id(), where.c_str(), H5P_DEFAULT));
  if (!dataset.valid()) fail_with_reason("cannot open " + where);
  const Handle type(H5Dget_type(dataset.get()));
  const bool same = stored == H5T_C_S1 ? H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0
                                       : H5Tequal(type.get(), stored) > 0;
  if (!same) fail(where + " holds another type of values than expected; make the file anew");
  const Handle space(H5Dget_space(dataset.get()));
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0) fail_with_reason("cannot read the shape of " + where);
  shape.assign(static_cast<size_t>(rank), 0);
  if (rank > 0) H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
  return dataset;
}

size_t Hdf5File::checked_count(const std::string& where, const Handle& dataset, const Shape& shape, size_t size) const {
  uint64_t count = 1;
  bool overflow = false;
  for (const hsize_t n : shape) overflow = __builtin_mul_overflow(count, n, &count) || overflow;
  uint64_t bytes = 0;
  overflow = __builtin_mul_overflow(count, size, &bytes) || overflow;
  if (overflow ||
      (bytes > small_dataset_bytes && (bytes > size_on_disk_ || H5Dget_storage_size(dataset.get()) < bytes)))
    fail(where + " claims more values than the file holds: damaged; copy or make it anew");
  return static_cast<size_t>(count);
}

void Hdf5File::read_raw(const std::string& where, const Handle& dataset, hid_t native, void* out, size_t count) const {
  if (count == 0) return;
  if (H5Dread(dataset.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
    fail_with_reason("cannot read " + where + " (damaged; copy or make the file anew)");
}

std::string Hdf5File::read_text(const std::string& where) const {
  Shape shape;
  const Handle dataset = open_dataset(where, H5T_C_S1, shape);
  if (!shape.empty()) fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected a single text");
  const Handle type(H5Dget_type(dataset.get()));
  const size_t length = H5Tget_size(type.get());
  std::string bytes(checked_count(where, dataset, shape, length) * length, '\0');
  read_raw(where, dataset, type.get(), bytes.data(), bytes.size());
  return unpacked(bytes, length).at(0);
}

std::vector<std::string> Hdf5File::read_texts(const std::string& where) const {
  Shape shape;
  const Handle dataset = open_dataset(where, H5T_C_S1, shape);
  if (shape.size() != 1) fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected 1");
  const Handle type(H5Dget_type(dataset.get()));
  const size_t length = H5Tget_size(type.get());
  std::string bytes(checked_count(where, dataset, shape, length) * length, '\0');
  read_raw(where, dataset, type.get(), bytes.data(), bytes.size());
  return unpacked(bytes, length);
}

Handle Hdf5File::type_of(const std::string& where) const {
  if (!exists(where)) fail("has no " + where + "; make it anew");
  const Handle dataset(H5Dopen2(id(), where.c_str(), H5P_DEFAULT));
  if (!dataset.valid()) fail_with_reason("cannot open " + where);
  return Handle(H5Dget_type(dataset.get()));
}

void Hdf5File::write_attribute_raw(const std::string& where, const std::string& name, const void* value, hid_t stored,
                                   hid_t native) {
  const Handle object(H5Oopen(id(), where.c_str(), H5P_DEFAULT));
  const Handle space(H5Screate(H5S_SCALAR));
  const Handle attribute(H5Acreate2(object.get(), name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || H5Awrite(attribute.get(), native, value) < 0) fail_write(attribute_name(where, name));
}

void Hdf5File::write_attribute(const std::string& where, const std::string& name, const std::string& value) {
  const Handle type = string_type(value.size());
  write_attribute_raw(where, name, value.c_str(), type.get(), type.get());
}

void Hdf5File::write_attribute(const std::string& where, const std::string& name,
                               const std::vector<std::string>& values) {
  size_t length = 0;
  const std::string bytes = packed(values, length);
  const Handle type = string_type(length);
  const Handle object(H5Oopen(id(), where.c_str(), H5P_DEFAULT));
  const Handle space = simple_space({values.size()});
  const Handle attribute(H5Acreate2(object.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || (!values.empty() && H5Awrite(attribute.get(), type.get(), bytes.data()) < 0))
    fail_write(attribute_name(where, name));
}

void Hdf5File::read_attribute_raw(const std::string& where, const std::string& name, void* value, hid_t stored,
                                  hid_t native) const {
  if (!exists(where)) fail("has no " + where + "; make it anew");
  if (H5Aexists_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT) <= 0)
    fail("has no " + attribute_name(where, name) + "; make it anew");
  const Handle attribute(H5Aopen_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  if (H5Tequal(type.get(), stored) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1)
    fail(attribute_name(where, name) + " holds another type of value than expected; make the file anew");
  if (H5Aread(attribute.get(), native, value) < 0) fail_with_reason("cannot read " + attribute_name(where, name));
}

std::vector<std::string> Hdf5File::read_strings_attribute(const std::string& where, const std::string& name,
                                                          bool scalar) const {
  if (!exists(where)) fail("has no " + where + "; make it anew");
  if (H5Aexists_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT) <= 0)
    fail("has no " + attribute_name(where, name) + "; make it anew");
  const Handle attribute(H5Aopen_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  const size_t length = H5Tget_size(type.get());
  // An attribute is metadata and lies in memory already: its size is the library's to vouch for.
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 || length == 0 || count < 0 ||
      (scalar && count != 1) || H5Aget_storage_size(attribute.get()) != static_cast<hsize_t>(count) * length)
    fail(attribute_name(where, name) + " holds another type of value than expected; make the file anew");
  std::string bytes(static_cast<size_t>(count) * length, '\0');
  if (count > 0 && H5Aread(attribute.get(), type.get(), bytes.data()) < 0)
    fail_with_reason("cannot read " + attribute_name(where, name));
  return unpacked(bytes, length);
}

bool Hdf5File::has_attribute(const std::string& where, const std::string& name) const {
  return H5Aexists_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::string Hdf5File::read_text_attribute(const std::string& where, const std::string& name) const {
  return read_strings_attribute(where, name, true).at(0);
}

std::vector<std::string> Hdf5File::read_texts_attribute(const std::string& where, const std::string& name) const {
  return read_strings_attribute(where, name, false);
}

void Hdf5File::flush() {
  if (H5Fflush(id(), H5F_SCOPE_LOCAL) < 0) fail_write("its last blocks");
}

void Hdf5File::close() {
  flush();
  if (!file_.close()) fail_write("its last blocks");
}

std::string hdf5_kind(const fs::path& file) {
  if (!outside_fault(file).empty()) return {};
  const Hdf5Lock lock;
  const Handle opened(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access_list().get()));
  if (!opened.valid() || H5Aexists(opened.get(), "kind") <= 0) return {};
  const Handle attribute(H5Aopen(opened.get(), "kind", H5P_DEFAULT));
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  const size_t length = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 || length > 256 ||
      H5Sget_simple_extent_npoints(space.get()) != 1)
    return {};
  std::string bytes(length, '\0');
  if (H5Aread(attribute.get(), type.get(), bytes.data()) < 0) return {};
  return bytes.substr(0, bytes.find_last_not_of('\0') + 1);
}

}  // namespace evenflow::io
