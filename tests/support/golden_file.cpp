#include "tests/support/golden_file.h"

#include <hdf5.h>

#include <stdexcept>

namespace evenflow::tests {
namespace {

/// Closes an identifier of any kind.
class Id {
 public:
  Id(hid_t id, const std::string& what) : id_(id) {
    if (id < 0) {
      throw std::runtime_error("cannot open " + what);
    }
  }
  ~Id() { H5Idec_ref(id_); }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor)

 private:
  hid_t id_;
};

void require(herr_t status, const std::string& what) {
  if (status < 0) {
    throw std::runtime_error("cannot read " + what);
  }
}

}  // namespace

GoldenFile::GoldenFile(const std::filesystem::path& file)
    : path_(file.string()), id_(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)) {
  if (id_ < 0) {
    throw std::runtime_error("cannot open " + path_);
  }
}

GoldenFile::~GoldenFile() {
  H5Fclose(id_);
}

GoldenFile::Array GoldenFile::read(const std::string& name) const {
  const std::string what = path_ + ":" + name;
  const Id dataset(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), what);
  const Id space(H5Dget_space(dataset), what);
  std::vector<hsize_t> dims(static_cast<size_t>(H5Sget_simple_extent_ndims(space)));
  H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  Array out;
  out.shape.assign(dims.begin(), dims.end());
  out.values.resize(static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
  require(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.values.data()), what);
  return out;
}

double GoldenFile::read_scalar(const std::string& name) const {
  const Array array = read(name);
  if (array.values.size() != 1) {
    throw std::runtime_error(path_ + ":" + name + " is not a scalar");
  }
  return array.values[0];
}

bool GoldenFile::has(const std::string& object) const {
  return H5Lexists(id_, object.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> GoldenFile::names(const std::string& group) const {
  const std::string what = path_ + ":" + group;
  const Id opened(H5Gopen2(id_, group.c_str(), H5P_DEFAULT), what);
  std::vector<std::string> out;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  require(H5Literate(opened, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &out), what);
  return out;
}

int64_t GoldenFile::integer_attribute(const std::string& name) const {
  const std::string what = path_ + " attribute " + name;
  const Id attribute(H5Aopen(id_, name.c_str(), H5P_DEFAULT), what);
  int64_t value = 0;
  require(H5Aread(attribute, H5T_NATIVE_INT64, &value), what);
  return value;
}

std::string GoldenFile::text_attribute(const std::string& name) const {
  const std::string what = path_ + " attribute " + name;
  const Id attribute(H5Aopen(id_, name.c_str(), H5P_DEFAULT), what);
  const Id type(H5Aget_type(attribute), what);
  if (H5Tis_variable_str(type) <= 0) {
    throw std::runtime_error(what + " is not a string of variable length");
  }
  char* text = nullptr;
  require(H5Aread(attribute, type, static_cast<void*>(&text)), what);
  std::string out = text;
  H5free_memory(text);
  return out;
}

}  // namespace evenflow::tests
