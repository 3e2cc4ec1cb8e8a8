#include "tests/io/hdf5_edits.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "io/atomic_file.h"
#include "io/hdf5_file.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {
namespace fs = std::filesystem;
using io::Handle;

constexpr int most_edits = 6;
constexpr const char* checksum_name = "crc32";

/// A script from its beginning on; behind its end are zeros.
class Script {
 public:
  explicit Script(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) {
      return 0;
    }
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  size_t number() {
    const size_t high = byte();
    return high << 8 | byte();
  }
  template <class T, size_t n>
  T one_of(const std::array<T, n>& choices) {
    return choices[byte() % n];
  }
  std::string_view text(size_t length) {
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view rest_;
};

Handle open_for_edits(const fs::path& file) {
  const Handle list(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
  return Handle(H5Fopen(file.c_str(), H5F_ACC_RDWR, list.get()));
}

Handle space_of(const io::Shape& shape) {
  return Handle(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr));
}

/// Numbers at which readers err, in a type's own bytes.
std::string odd_value(hid_t type, uint8_t which) {
  const size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT && (size == sizeof(float) || size == sizeof(double))) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    constexpr std::array values = {
        0.0, -1.0, 1.0, std::numeric_limits<double>::quiet_NaN(), infinity, -infinity, 1e-45, 3e38, -0.0, 1e300};
    const double value = values[which % values.size()];
    std::string bytes(size, '\0');
    const auto narrow = static_cast<float>(value);
    std::memcpy(bytes.data(), size == sizeof(double) ? static_cast<const void*>(&value) : &narrow, size);
    return bytes;
  }
  constexpr std::array<int64_t, 8> values = {
      0, -1, 1, 2, 127, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), 1 << 30};
  std::string bytes(sizeof(int64_t), '\0');
  std::memcpy(bytes.data(), &values[which % values.size()], bytes.size());
  return bytes.substr(0, std::min(size, bytes.size()));
}

/// How a checksum names a type (docs/formats.md).
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

uint32_t checksum_of(const std::string& object, hid_t type, hid_t space, const std::string& bytes) {
  std::string text = object + " " + type_name(type) + " ";
  io::Shape shape(static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
  H5Sget_simple_extent_dims(space, shape.data(), nullptr);
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? "x" : "") + std::to_string(shape[i]);
  }
  text += "\n" + bytes;
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

/// The library keeps what it frees in lists, which is fast, but the sanitizer then misses a block that is freed twice
/// or overrun: one script of 64 goes without.
void set_free_lists(std::string_view script) {
  const auto* bytes = reinterpret_cast<const Bytef*>(script.data());
  const int limit = ::crc32_z(0, bytes, script.size()) % 64 == 0 ? 0 : -1;
  H5set_free_list_limits(limit, limit, limit, limit, limit, limit);
}

}  // namespace

/// One edit of one place in an open file. What the library refuses changes nothing.
class Hdf5Edits::Edit {
 public:
  Edit(hid_t file, const Place& place, Script& script) : file_(file), place_(place), script_(script) {}

  void make(const std::vector<Place>& places) {
    switch (script_.byte() % 8) {
      case 0:
        return overwrite();
      case 1:
        return set_odd();
      case 2:
        return remove();
      case 3:
        return reshape();
      case 4:
        return retype();
      case 5:
        return take_from(places[script_.byte() % places.size()]);
      case 6:
        return link_away();
      default:
        return store_otherwise();
    }
  }

  /// Gives a dataset the checksum of what it holds now.
  void seal() const {
    if (is_attribute()) {
      return;
    }
    const Handle opened = open();
    if (!opened.valid()) {
      return;
    }
    const Handle type = type_of(opened), space = space_of(opened), scalar(H5Screate(H5S_SCALAR));
    const uint32_t checksum = checksum_of(place_.object, type.get(), space.get(), read(opened));
    if (H5Aexists(opened.get(), checksum_name) > 0) {
      H5Adelete(opened.get(), checksum_name);
    }
    const Handle made(H5Acreate2(opened.get(), checksum_name, H5T_STD_U32LE, scalar.get(), H5P_DEFAULT, H5P_DEFAULT));
    H5Awrite(made.get(), H5T_NATIVE_UINT32, &checksum);
  }

 private:
  bool is_attribute() const { return !place_.attribute.empty(); }

  Handle open() const {
    if (is_attribute()) {
      return Handle(H5Aopen_by_name(file_, place_.object.c_str(), place_.attribute.c_str(), H5P_DEFAULT, H5P_DEFAULT));
    }
    return Handle(H5Dopen2(file_, place_.object.c_str(), H5P_DEFAULT));
  }
  Handle type_of(const Handle& opened) const {
    return Handle(is_attribute() ? H5Aget_type(opened.get()) : H5Dget_type(opened.get()));
  }
  Handle space_of(const Handle& opened) const {
    return Handle(is_attribute() ? H5Aget_space(opened.get()) : H5Dget_space(opened.get()));
  }
  std::string read(const Handle& opened) const {
    const Handle type = type_of(opened), space = space_of(opened);
    const hssize_t count = H5Sget_simple_extent_npoints(space.get());
    constexpr hssize_t most = 1 << 16;
    if (!type.valid() || count <= 0 || count > most || H5Tdetect_class(type.get(), H5T_VLEN) > 0 ||
        H5Tis_variable_str(type.get()) > 0) {
      return {};
    }
    std::string bytes(static_cast<size_t>(count) * H5Tget_size(type.get()), '\0');
    const herr_t done = is_attribute() ? H5Aread(opened.get(), type.get(), bytes.data())
                                       : H5Dread(opened.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
    return done < 0 ? std::string() : bytes;
  }
  void write(const Handle& opened, const std::string& bytes) const {
    const Handle type = type_of(opened);
    if (is_attribute()) {
      H5Awrite(opened.get(), type.get(), bytes.data());
    } else {
      H5Dwrite(opened.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
    }
  }
  void write_at(const Handle& opened, size_t at, std::string_view changed) const {
    std::string bytes = read(opened);
    if (bytes.empty()) {
      return;
    }
    at %= bytes.size();
    const size_t length = std::min(changed.size(), bytes.size() - at);
    bytes.replace(at, length, changed.substr(0, length));
    write(opened, bytes);
  }

  void overwrite() {
    const size_t at = script_.number();
    write_at(open(), at, script_.text(script_.byte() % 32));
  }
  void set_odd() {
    const Handle opened = open();
    const Handle type = type_of(opened);
    if (!type.valid()) {
      return;
    }
    const size_t element = script_.number();
    write_at(opened, element * H5Tget_size(type.get()), odd_value(type.get(), script_.byte()));
  }
  void remove() const {
    if (is_attribute()) {
      H5Adelete_by_name(file_, place_.object.c_str(), place_.attribute.c_str(), H5P_DEFAULT);
    } else {
      H5Ldelete(file_, place_.object.c_str(), H5P_DEFAULT);
    }
  }
  /// Makes the place anew, with `bytes` if they fill it.
  void make_anew(hid_t type, hid_t space, hid_t storage, const std::string& bytes) {
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    constexpr hssize_t most_in_memory = 1 << 12;  // an attribute is there whole when it is made
    if (is_attribute() && (count < 0 || count > most_in_memory)) {
      return;
    }
    remove();
    const Handle made(is_attribute()
                          ? H5Acreate_by_name(file_, place_.object.c_str(), place_.attribute.c_str(), type, space,
                                              H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)
                          : H5Dcreate2(file_, place_.object.c_str(), type, space, H5P_DEFAULT, storage, H5P_DEFAULT));
    if (made.valid() && count > 0 && static_cast<uint64_t>(count) <= bytes.size() / H5Tget_size(type)) {
      write(made, bytes);
    }
  }
  void reshape() {
    constexpr std::array<hsize_t, 12> sides = {0, 1, 2, 3, 4, 5, 8, 16, 255, 1 << 20, 1ULL << 40, 1ULL << 61};
    const Handle opened = open();
    const Handle type = type_of(opened);
    io::Shape shape(script_.byte() % 4);
    for (hsize_t& side : shape) {
      side = script_.one_of(sides);
    }
    std::string bytes = read(opened);
    constexpr size_t most = 1 << 12;
    if (type.valid()) {
      bytes.resize(std::max(bytes.size(), most));
    }
    if (type.valid()) {
      make_anew(type.get(), fuzz::space_of(shape).get(), H5P_DEFAULT, bytes);
    }
  }
  void retype() {
    const std::array<hid_t, 9> types = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I8LE,  H5T_STD_I32LE, H5T_STD_I64LE,
                                        H5T_STD_U64LE,  H5T_IEEE_F32BE, H5T_STD_I16BE, H5T_C_S1};
    const Handle opened = open();
    const Handle space = space_of(opened), type(H5Tcopy(script_.one_of(types)));
    if (!space.valid()) {
      return;
    }
    if (H5Tget_class(type.get()) == H5T_STRING) {
      H5Tset_size(type.get(), 1 + script_.byte() % 16);
    }
    if (H5Tget_class(type.get()) == H5T_STRING && script_.byte() % 4 == 0) {
      H5Tset_size(type.get(), H5T_VARIABLE);
    }
    const bool fills = H5Tis_variable_str(type.get()) <= 0;
    make_anew(type.get(), space.get(), H5P_DEFAULT, fills ? read(opened) + std::string(1 << 12, '\0') : "");
  }
  /// The other place goes where this one was.
  void take_from(const Place& other) const {
    const bool above = place_.object.starts_with(other.object);
    if (is_attribute() || !other.attribute.empty() || above) {
      return;
    }
    remove();
    H5Lmove(file_, other.object.c_str(), file_, place_.object.c_str(), H5P_DEFAULT, H5P_DEFAULT);
  }
  void link_away() {
    if (is_attribute()) {
      return;
    }
    remove();
    const char* where = place_.object.c_str();
    switch (script_.byte() % 3) {
      case 0:
        H5Lcreate_soft("/", file_, where, H5P_DEFAULT, H5P_DEFAULT);
        return;
      case 1:
        H5Lcreate_soft(where, file_, where, H5P_DEFAULT, H5P_DEFAULT);
        return;
      default:
        H5Lcreate_external("elsewhere.h5", "/", file_, where, H5P_DEFAULT, H5P_DEFAULT);
    }
  }
  void store_otherwise() {
    const Handle opened = open();
    if (is_attribute() || !opened.valid()) {
      return;
    }
    const Handle type = type_of(opened), space = space_of(opened), list(H5Pcreate(H5P_DATASET_CREATE));
    io::Shape shape(static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space.get()))));
    H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
    const uint8_t how = script_.byte() % 6;
    if (how < 3 && !shape.empty()) {
      for (hsize_t& side : shape) {
        side = std::max<hsize_t>(side, 1);
      }
      H5Pset_chunk(list.get(), static_cast<int>(shape.size()), shape.data());
    }
    if (how == 0) {
      H5Pset_deflate(list.get(), 6);
    }
    if (how == 1) {
      H5Pset_fletcher32(list.get());
    }
    if (how == 2) {
      H5Pset_shuffle(list.get());
    }
    if (how == 3) {
      H5Pset_layout(list.get(), H5D_COMPACT);
    }
    if (how == 4) {
      H5Pset_external(list.get(), "elsewhere.raw", 0, H5F_UNLIMITED);
    }
    if (how == 5) {
      H5Pset_virtual(list.get(), space.get(), "elsewhere.h5", "/", space.get());
    }
    const bool elsewhere = how >= 4;
    make_anew(type.get(), space.get(), list.get(), elsewhere ? std::string() : read(opened));
  }

  hid_t file_;
  const Place& place_;
  Script& script_;
};

Hdf5Edits::Hdf5Edits(const fs::path& valid) : bytes_(io::read_text(valid)) {
  const io::Hdf5Lock lock;
  const Handle file(H5Fopen(valid.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  const auto visit = [](hid_t object, const char* name, const H5O_info_t* info, void* out) -> herr_t {
    auto& places = *static_cast<std::vector<Place>*>(out);
    const std::string path = std::string("/") + (std::strcmp(name, ".") == 0 ? "" : name);
    if (path != "/") {
      places.push_back({path, ""});
    }
    for (hsize_t i = 0; i < info->num_attrs; ++i) {
      std::array<char, 256> attribute{};
      H5Aget_name_by_idx(object, name, H5_INDEX_NAME, H5_ITER_INC, i, attribute.data(), attribute.size(), H5P_DEFAULT);
      places.push_back({path, attribute.data()});
    }
    return 0;
  };
  if (H5Ovisit(file.get(), H5_INDEX_NAME, H5_ITER_INC, visit, &places_) < 0 || places_.empty()) {
    std::abort();
  }
  has_checksums_ =
      std::any_of(places_.begin(), places_.end(), [](const Place& place) { return place.attribute == checksum_name; });
}

fs::path Hdf5Edits::edited(std::string_view script, const std::string& name) const {
  if (script.starts_with("\x89HDF")) {
    return as_file(script, name);
  }
  const fs::path file = as_file(bytes_, name);
  if (script.empty()) {
    return file;
  }
  const io::Hdf5Lock lock;
  set_free_lists(script);
  Script rest(script);
  const bool sealed = rest.byte() % 4 != 0;
  Handle opened = open_for_edits(file);
  std::vector<Edit> edits;
  for (int i = 0; i < most_edits && !rest.at_end(); ++i) {
    const Place& place = places_[rest.byte() % places_.size()];
    edits.emplace_back(opened.get(), place, rest).make(places_);
  }
  if (sealed && has_checksums_) {
    for (const Edit& edit : edits) {
      edit.seal();
    }
  }
  if (!opened.close()) {
    std::abort();
  }
  return file;
}

}  // namespace evenflow::fuzz
