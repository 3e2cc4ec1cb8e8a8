#include "io/hdf5_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <system_error>

#include "io/error.h"
#include "io/text.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {
namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "datasets are read and written as they lie in memory");

constexpr std::array<char, 8> signature = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
constexpr const char* checksum_name = "crc32";
constexpr size_t verify_block_bytes = 4 << 20;

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
    if (text.empty()) {
      text = description;
    }
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

/// Where rows of a matrix lie in its dataset, and in memory.
struct RowsOf {
  RowsOf(const Handle& dataset, hsize_t first, hsize_t rows, hsize_t columns) : on_disk(H5Dget_space(dataset.get())) {
    // Arrays: a training that streams allocates nothing for a batch.
    const std::array<hsize_t, 2> start = {first, 0}, size = {rows, columns};
    in_memory = Handle(H5Screate_simple(2, size.data(), nullptr));
    H5Sselect_hyperslab(on_disk.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
  }
  Handle on_disk, in_memory;
};

/// Creation properties without times, so that the same content gives the same bytes, and with attributes and links in
/// the object's header however many there are: the library frees memory that it never set when the heap it would
/// otherwise keep them in fails its checksum.
Handle plain_creation(hid_t object_class) {
  constexpr unsigned always = 65535;
  Handle list(H5Pcreate(object_class));
  H5Pset_obj_track_times(list.get(), false);
  H5Pset_attr_phase_change(list.get(), always, 0);
  if (object_class != H5P_DATASET_CREATE) {
    H5Pset_link_phase_change(list.get(), always, 0);
  }
  return list;
}

/// Strings of one fixed length, one after the other.
std::string packed(const std::vector<std::string>& texts, size_t& length) {
  length = 1;
  for (const std::string& text : texts) {
    length = std::max(length, text.size());
  }
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

/// The signature stands at the file's begin or, behind a block of the user's, at 512, 1024, 2048, ...
bool has_signature(std::istream& in) {
  std::array<char, signature.size()> found{};
  for (std::streamoff at = 0; in.seekg(at) && in.read(found.data(), found.size()); at = at == 0 ? 512 : 2 * at) {
    if (found == signature) {
      return true;
    }
  }
  return false;
}

/// What is wrong with a file as far as it shows from outside. Empty: looks like HDF5.
std::string outside_fault(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (!fs::exists(status)) {
    return "does not exist; check the path";
  }
  if (fs::is_directory(status)) {
    return "is a folder, not a file; name the .h5 file in it";
  }
  if (!fs::is_regular_file(status)) {
    return "is a pipe or a device, not a file on disk; copy it to one";
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    return std::string("cannot be read: ") + std::strerror(errno);
  }
  if (fs::file_size(file, error) == 0) {
    return "is empty; copy it or make it again";
  }
  if (std::string wrapping = wrapping_of(file); !wrapping.empty()) {
    return wrapping;
  }
  if (!has_signature(in)) {
    return "is not an HDF5 file, or its beginning is damaged; check the path, or copy it again";
  }
  return {};
}

/// Whether a program holds the lock that the library's writers take. Where locks are not to be had, nobody does.
bool locked_by_writer(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    return false;
  }
  const bool locked = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

/// "float32", "int64", "text12": the type as checksums name it.
std::string type_name(hid_t type) {
  const size_t bytes = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      return "float" + std::to_string(8 * bytes);
    case H5T_INTEGER:
      return (H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int") + std::to_string(8 * bytes);
    case H5T_STRING:
      return "text" + std::to_string(bytes);
    default:
      return "other";
  }
}

/// The filters of a dataset but for checksums: "shuffle, gzip". Empty: none.
std::string filter_names(hid_t creation_list) {
  std::string names;
  for (int i = 0; i < H5Pget_nfilters(creation_list); ++i) {
    unsigned flags = 0, configuration = 0;
    size_t none = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation_list, static_cast<unsigned>(i), &flags, &none, nullptr, 0, nullptr, &configuration);
    if (filter == H5Z_FILTER_FLETCHER32) {
      continue;
    }
    if (!names.empty()) {
      names += ", ";
    }
    names += filter == H5Z_FILTER_DEFLATE   ? "gzip"
             : filter == H5Z_FILTER_SHUFFLE ? "shuffle"
             : filter == H5Z_FILTER_SZIP    ? "szip"
             : filter == 32000              ? "lzf"
                                            : "filter " + std::to_string(filter);
  }
  return names;
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
  if (!once || !silent) {
    throw DataError("the HDF5 library cannot be started");
  }
}

bool Handle::close() {
  if (id_ < 0) {
    return true;
  }
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
  const Handle creation = plain_creation(H5P_FILE_CREATE);
  out.file_ = Handle(H5Fcreate(at.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()));
  if (!out.file_.valid()) {
    throw DataError("cannot write '" + named.string() + "': " + last_reason());
  }
  return out;
}

Hdf5File Hdf5File::open(const fs::path& file) {
  Hdf5File out;
  out.named_ = file;
  const std::string fault = outside_fault(file);
  if (!fault.empty()) {
    throw DataError("'" + file.string() + "' " + fault);
  }
  if (locked_by_writer(file)) {
    out.fail("another program has it open for writing; close it there and try again");
  }
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  out.size_on_disk_ = out.unclaimed_ = error ? std::numeric_limits<uint64_t>::max() : size;
  const Handle access = access_list();
  out.file_ = Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access.get()));
  if (!out.file_.valid()) {
    const std::string reason = last_reason();
    if (reason.find("already open for") != std::string::npos) {
      out.fail(
          "another program has it open for writing, or was stopped while it had; close it there, or, if there is none, "
          "run: h5clear -s '" +
          file.string() + "'");
    }
    throw DataError("'" + file.string() + "' is damaged or cut short (" + std::to_string(out.size_on_disk_) +
                    " bytes): " + reason + "; copy it or make it again");
  }
  const htri_t ours = H5Aexists(out.id(), "kind");
  if (ours < 0) {
    out.fail_with_reason("cannot read its attributes");
  }
  if (ours == 0) {
    out.fail("an HDF5 file, but not one of evenflow's; check the path");
  }
  out.kind_ = out.read_text_attribute("/", "kind");
  out.version_ = out.read_attribute<int64_t>("/", "format_version");
  if (out.version_ < 1 || out.version_ > latest_version) {
    out.fail("has format version " + std::to_string(out.version_) + ", this program reads versions 1 to " +
             std::to_string(latest_version) + "; make it again or use the program that wrote it");
  }
  return out;
}

Hdf5File Hdf5File::open(const fs::path& file, std::string_view kind) {
  Hdf5File out = open(file);
  if (out.kind_ != kind) {
    out.fail("is an " + out.kind_ + ", expected an " + std::string(kind) + "; check the path");
  }
  return out;
}

void Hdf5File::fail(const std::string& what) const {
  throw DataError("'" + named_.string() + "': " + what);
}

void Hdf5File::fail_damaged(const std::string& what) const {
  fail(what + ": damaged; copy it or make it again");
}

void Hdf5File::fail_with_reason(const std::string& what) const {
  fail_damaged(what + " (" + last_reason() + ")");
}

void Hdf5File::fail_write(const std::string& what) const {
  fail("cannot write " + what + ": " + last_reason() + "; make room on the disk or choose another folder");
}

void Hdf5File::make_group(const std::string& where) {
  const Handle list = plain_creation(H5P_GROUP_CREATE);
  const Handle group(H5Gcreate2(id(), where.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
  if (!group.valid()) {
    fail_write("group " + where);
  }
}

bool Hdf5File::exists(const std::string& where) const {
  if (where == "/") {
    return true;
  }
  if (!exists(parent(where))) {
    return false;
  }
  const htri_t there = H5Lexists(id(), where.c_str(), H5P_DEFAULT);
  if (there == 0) {
    return false;
  }
  H5L_info_t info{};
  if (there < 0 || H5Lget_info(id(), where.c_str(), &info, H5P_DEFAULT) < 0) {
    fail_with_reason("cannot find " + where);
  }
  if (info.type != H5L_TYPE_HARD) {
    fail(where + " is a link to another " + (info.type == H5L_TYPE_EXTERNAL ? "file" : "place") +
         ", and links are not followed; make the file again with the values in it");
  }
  return true;
}

// ---------------------------------------------------------------------------------------------------- writing

Handle Hdf5File::create_dataset(const std::string& where, const Shape& shape, hid_t stored) {
  const Handle space = shape.empty() ? Handle(H5Screate(H5S_SCALAR)) : simple_space(shape);
  const Handle list = plain_creation(H5P_DATASET_CREATE);
  Handle dataset(H5Dcreate2(id(), where.c_str(), stored, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
  if (!dataset.valid()) {
    fail_write(where);
  }
  return dataset;
}

/// "/clip/offset int64 16\n", "/zc float32 128x8192\n", "/config text512 \n".
Crc32 Hdf5File::begin_checksum(const std::string& where, hid_t stored, const Shape& shape) {
  std::string line = where + " " + type_name(stored) + " ";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) {
      line += 'x';
    }
    line += std::to_string(shape[i]);
  }
  line += '\n';
  Crc32 checksum;
  checksum.add(line.data(), line.size());
  return checksum;
}

void Hdf5File::write_checksum(const std::string& where, const Handle& dataset, uint32_t checksum) {
  const Handle space(H5Screate(H5S_SCALAR));
  const Handle attribute(
      H5Acreate2(dataset.get(), checksum_name, H5T_STD_U32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || H5Awrite(attribute.get(), H5T_STD_U32LE, &checksum) < 0) {
    fail_write(where);
  }
}

void Hdf5File::write_raw(const std::string& where, const Shape& shape, const void* data, hid_t stored) {
  const Handle dataset = create_dataset(where, shape, stored);
  const size_t bytes = element_count(shape) * H5Tget_size(stored);
  if (bytes > 0 && H5Dwrite(dataset.get(), stored, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
    fail_write(where);
  }
  Crc32 checksum = begin_checksum(where, stored, shape);
  checksum.add(data, bytes);
  write_checksum(where, dataset, checksum.value());
}

void Hdf5File::write_text(const std::string& where, const std::string& text) {
  require_utf8(where, {text});
  const Handle type = string_type(text.size());
  write_raw(where, {}, text.c_str(), type.get());
}

void Hdf5File::write_texts(const std::string& where, const std::vector<std::string>& texts) {
  require_utf8(where, texts);
  size_t length = 0;
  const std::string bytes = packed(texts, length);
  const Handle type = string_type(length);
  write_raw(where, {texts.size()}, bytes.data(), type.get());
}

void Hdf5File::write_attribute_raw(const std::string& where, const std::string& name, const void* value, hid_t stored) {
  const Handle object(H5Oopen(id(), where.c_str(), H5P_DEFAULT));
  const Handle space(H5Screate(H5S_SCALAR));
  const Handle attribute(H5Acreate2(object.get(), name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || H5Awrite(attribute.get(), stored, value) < 0) {
    fail_write(attribute_name(where, name));
  }
}

void Hdf5File::write_attribute(const std::string& where, const std::string& name, const std::string& value) {
  require_utf8(attribute_name(where, name), {value});
  const Handle type = string_type(value.size());
  write_attribute_raw(where, name, value.c_str(), type.get());
}

void Hdf5File::write_attribute(const std::string& where, const std::string& name,
                               const std::vector<std::string>& values) {
  require_utf8(attribute_name(where, name), values);
  size_t length = 0;
  const std::string bytes = packed(values, length);
  const Handle type = string_type(length);
  const Handle object(H5Oopen(id(), where.c_str(), H5P_DEFAULT));
  const Handle space = simple_space({values.size()});
  const Handle attribute(H5Acreate2(object.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid() || (!values.empty() && H5Awrite(attribute.get(), type.get(), bytes.data()) < 0)) {
    fail_write(attribute_name(where, name));
  }
}

void Hdf5File::finish(const std::string& kind, int64_t version) {
  write_attribute("/", "format_version", version);
  write_attribute("/", "kind", kind);
  if (H5Fflush(id(), H5F_SCOPE_LOCAL) < 0 || !file_.close()) {
    fail_write("its last blocks");
  }
}

// ---------------------------------------------------------------------------------------------------- reading

size_t Hdf5File::element_count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
}

Handle Hdf5File::open_any(const std::string& where, Shape& shape) const {
  if (!exists(where)) {
    fail("has no " + where + "; make it again");
  }
  Handle dataset(H5Dopen2(id(), where.c_str(), H5P_DEFAULT));
  if (!dataset.valid()) {
    fail_with_reason("cannot open " + where);
  }
  const Handle space(H5Dget_space(dataset.get()));
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || H5Sget_simple_extent_type(space.get()) == H5S_NULL) {
    fail_damaged(where + " has no shape");
  }
  shape.assign(static_cast<size_t>(rank), 0);
  if (rank > 0) {
    H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
  }
  const Handle type(H5Dget_type(dataset.get()));
  uint64_t bytes = H5Tget_size(type.get());
  bool overflow = bytes == 0;
  for (const hsize_t n : shape) {
    overflow = __builtin_mul_overflow(bytes, n, &bytes) || overflow;
  }
  if (overflow) {
    bytes = std::numeric_limits<uint64_t>::max();
  }
  require_plain(where, dataset, bytes);
  claim(where, bytes);
  return dataset;
}

Handle Hdf5File::open_dataset(const std::string& where, hid_t stored, Shape& shape) const {
  Handle dataset = open_any(where, shape);
  const Handle type(H5Dget_type(dataset.get()));
  const bool same = stored == H5T_C_S1 ? H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0
                                       : H5Tequal(type.get(), stored) > 0;
  if (!same) {
    fail(where + " holds another type of values than expected; make the file again");
  }
  return dataset;
}

/// All `bytes` of the values lie in this file, one after the other or in chunks, as they are.
void Hdf5File::require_plain(const std::string& where, const Handle& dataset, uint64_t bytes) const {
  const Handle list(H5Dget_create_plist(dataset.get()));
  const H5D_layout_t layout = H5Pget_layout(list.get());
  if (layout == H5D_VIRTUAL || H5Pget_external_count(list.get()) != 0) {
    fail(where + " keeps its values in another file, which is not opened; make the file again with the values in it");
  }
  if (layout < 0) {
    fail_with_reason("cannot read the layout of " + where);
  }
  const std::string filters = filter_names(list.get());
  if (!filters.empty()) {
    fail(where + " was compressed (" + filters +
         ") by another program, and is read only as evenflow writes it; run: h5repack -f NONE '" + named_.string() +
         "' NEW.h5");
  }
  // Values that were never written would read as zeros.
  const hsize_t stored = H5Dget_storage_size(dataset.get());
  if (stored < bytes) {
    fail_damaged(where + " claims more values than the file holds");
  }
  if (layout == H5D_CHUNKED) {
    Shape chunk(H5S_MAX_RANK);
    const int rank = H5Pget_chunk(list.get(), H5S_MAX_RANK, chunk.data());
    chunk.resize(static_cast<size_t>(std::max(rank, 0)));
    const Handle type(H5Dget_type(dataset.get()));
    uint64_t chunk_bytes = bytes == 0 ? 0 : H5Tget_size(type.get());
    for (const hsize_t n : chunk) {
      if (__builtin_mul_overflow(chunk_bytes, n, &chunk_bytes)) {
        chunk_bytes = std::numeric_limits<uint64_t>::max();
      }
    }
    if (chunk_bytes > size_on_disk_) {
      fail_damaged(where + " has chunks larger than the file");
    }
  }
}

/// Counts what is to be read against the file's size.
void Hdf5File::claim(const std::string& what, uint64_t bytes) const {
  if (!claimed_.insert(what).second) {
    return;
  }
  if (bytes > unclaimed_) {
    fail_damaged(what + " claims more values than the file holds");
  }
  unclaimed_ -= bytes;
}

void Hdf5File::compare_checksum(const std::string& where, const Handle& dataset, uint32_t found) const {
  if (version_ < 2) {
    return;
  }
  const htri_t there = H5Aexists(dataset.get(), checksum_name);
  if (there < 0) {
    fail_with_reason("cannot read the checksum of " + where);
  }
  if (there == 0) {
    fail(where + " has no checksum: it was written by another program; make the file again");
  }
  const Handle attribute(H5Aopen(dataset.get(), checksum_name, H5P_DEFAULT));
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  uint32_t stored = 0;
  if (H5Tequal(type.get(), H5T_STD_U32LE) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1 ||
      H5Aread(attribute.get(), H5T_STD_U32LE, &stored) < 0) {
    fail_with_reason("cannot read the checksum of " + where);
  }
  if (stored != found) {
    fail(where + " does not match its checksum: damaged, or changed by another program; copy it or make it again");
  }
}

void Hdf5File::read_raw(const std::string& where, const Handle& dataset, const Shape& shape, void* out) const {
  const Handle type(H5Dget_type(dataset.get()));
  const size_t bytes = element_count(shape) * H5Tget_size(type.get());
  if (bytes > 0 && H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0) {
    fail_with_reason("cannot read " + where);
  }
  Crc32 checksum = begin_checksum(where, type.get(), shape);
  checksum.add(out, bytes);
  compare_checksum(where, dataset, checksum.value());
}

void Hdf5File::write_rows(const std::string& where, const Handle& dataset, hsize_t first, hsize_t columns,
                          std::span<const float> rows) const {
  const RowsOf at(dataset, first, rows.size() / columns, columns);
  if (H5Dwrite(dataset.get(), H5T_IEEE_F32LE, at.in_memory.get(), at.on_disk.get(), H5P_DEFAULT, rows.data()) < 0) {
    fail_write(where);
  }
}

void Hdf5File::read_rows(const std::string& where, const Handle& dataset, hsize_t first, hsize_t columns,
                         std::span<float> rows) const {
  const RowsOf at(dataset, first, rows.size() / columns, columns);
  if (H5Dread(dataset.get(), H5T_IEEE_F32LE, at.in_memory.get(), at.on_disk.get(), H5P_DEFAULT, rows.data()) < 0) {
    fail_with_reason("cannot read " + where + " from row " + std::to_string(first));
  }
}

Shape Hdf5File::verify(const std::string& where, hid_t stored) const {
  Shape shape;
  const Handle dataset = open_dataset(where, stored, shape);
  if (version_ < 2) {
    return shape;
  }
  if (shape.empty()) {
    fail(where + " is a single value, expected rows; make the file again");
  }
  const size_t row_bytes = element_count({shape.begin() + 1, shape.end()}) * H5Tget_size(stored);
  const hsize_t rows_at_once = std::max<size_t>(1, verify_block_bytes / std::max<size_t>(row_bytes, 1));
  std::vector<char> block(row_bytes * std::min(rows_at_once, shape[0]));
  Crc32 checksum = begin_checksum(where, stored, shape);
  const Handle on_disk(H5Dget_space(dataset.get()));
  Shape start(shape.size(), 0), size = shape;
  for (hsize_t row = 0; row_bytes > 0 && row < shape[0]; row += size[0]) {
    start[0] = row;
    size[0] = std::min(rows_at_once, shape[0] - row);
    const Handle in_memory = simple_space(size);
    H5Sselect_hyperslab(on_disk.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
    if (H5Dread(dataset.get(), stored, in_memory.get(), on_disk.get(), H5P_DEFAULT, block.data()) < 0) {
      fail_with_reason("cannot read " + where);
    }
    checksum.add(block.data(), static_cast<size_t>(size[0]) * row_bytes);
  }
  compare_checksum(where, dataset, checksum.value());
  return shape;
}

void Hdf5File::require_utf8(const std::string& where, const std::vector<std::string>& texts) const {
  if (!std::all_of(texts.begin(), texts.end(), is_utf8)) {
    fail(where + " holds text that is not UTF-8; save its source as UTF-8 and make the file again");
  }
}

void Hdf5File::require_lines(const std::string& where, const std::vector<std::string>& texts) const {
  for (const std::string& text : texts) {
    if (const auto fault = text_fault(text)) {
      refuse_text(where, text, *fault);
    }
  }
}

void Hdf5File::require_names(const std::string& where, const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (const auto fault = name_fault(name)) {
      refuse_text(where, name, *fault);
    }
  }
}

void Hdf5File::refuse_text(const std::string& where, const std::string& text, const TextFault& fault) const {
  fail(where + " holds " + in_quotes(text) + ", which " + fault.what +
       "; mend it where it comes from and make the file again");
}

std::string Hdf5File::read_text(const std::string& where) const {
  Shape shape;
  const Handle dataset = open_dataset(where, H5T_C_S1, shape);
  if (!shape.empty()) {
    fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected a single text");
  }
  const Handle type(H5Dget_type(dataset.get()));
  std::string bytes(H5Tget_size(type.get()), '\0');
  read_raw(where, dataset, shape, bytes.data());
  const std::vector<std::string> texts = unpacked(bytes, bytes.size());
  require_utf8(where, texts);
  return texts.at(0);
}

std::vector<std::string> Hdf5File::read_texts(const std::string& where) const {
  Shape shape;
  const Handle dataset = open_dataset(where, H5T_C_S1, shape);
  if (shape.size() != 1) {
    fail(where + " has " + std::to_string(shape.size()) + " dimensions, expected 1");
  }
  const Handle type(H5Dget_type(dataset.get()));
  const size_t length = H5Tget_size(type.get());
  std::string bytes(shape[0] * length, '\0');
  read_raw(where, dataset, shape, bytes.data());
  std::vector<std::string> texts = unpacked(bytes, length);
  require_lines(where, texts);
  return texts;
}

Handle Hdf5File::type_of(const std::string& where) const {
  Shape shape;
  const Handle dataset = open_any(where, shape);
  return Handle(H5Dget_type(dataset.get()));
}

bool Hdf5File::has_attribute(const std::string& where, const std::string& name) const {
  if (!exists(where)) {
    fail("has no " + where + "; make it again");
  }
  const htri_t there = H5Aexists_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT);
  if (there < 0) {
    fail_with_reason("cannot find " + attribute_name(where, name));
  }
  return there > 0;
}

Handle Hdf5File::open_attribute(const std::string& where, const std::string& name) const {
  if (!has_attribute(where, name)) {
    fail("has no " + attribute_name(where, name) + "; make it again");
  }
  Handle attribute(H5Aopen_by_name(id(), where.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute.valid()) {
    fail_with_reason("cannot open " + attribute_name(where, name));
  }
  claim(attribute_name(where, name), H5Aget_storage_size(attribute.get()));
  return attribute;
}

void Hdf5File::read_attribute_raw(const std::string& where, const std::string& name, void* value, hid_t stored) const {
  const Handle attribute = open_attribute(where, name);
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  if (H5Tequal(type.get(), stored) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1) {
    fail(attribute_name(where, name) + " holds another type of value than expected; make the file again");
  }
  if (H5Aread(attribute.get(), stored, value) < 0) {
    fail_with_reason("cannot read " + attribute_name(where, name));
  }
}

std::vector<std::string> Hdf5File::read_strings_attribute(const std::string& where, const std::string& name,
                                                          bool scalar) const {
  const Handle attribute = open_attribute(where, name);
  const Handle type(H5Aget_type(attribute.get()));
  const Handle space(H5Aget_space(attribute.get()));
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  const size_t length = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 || length == 0 || count < 0 ||
      (scalar && count != 1) || H5Aget_storage_size(attribute.get()) != static_cast<hsize_t>(count) * length) {
    fail(attribute_name(where, name) + " holds another type of value than expected; make the file again");
  }
  std::string bytes(static_cast<size_t>(count) * length, '\0');
  if (count > 0 && H5Aread(attribute.get(), type.get(), bytes.data()) < 0) {
    fail_with_reason("cannot read " + attribute_name(where, name));
  }
  std::vector<std::string> texts = unpacked(bytes, length);
  require_lines(attribute_name(where, name), texts);
  return texts;
}

std::string Hdf5File::read_text_attribute(const std::string& where, const std::string& name) const {
  return read_strings_attribute(where, name, true).at(0);
}

std::vector<std::string> Hdf5File::read_texts_attribute(const std::string& where, const std::string& name) const {
  return read_strings_attribute(where, name, false);
}

bool looks_like_hdf5(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return false;
  }
  if (file.extension() == ".h5") {
    return true;
  }
  std::ifstream in(file, std::ios::binary);
  return in && has_signature(in);
}

std::string read_kind(const fs::path& file) {
  const Hdf5Lock lock;
  return Hdf5File::open(file).kind();
}

std::string hdf5_kind(const fs::path& file) {
  try {
    return read_kind(file);
  } catch (const DataError&) {
    return {};
  }
}

}  // namespace evenflow::io
