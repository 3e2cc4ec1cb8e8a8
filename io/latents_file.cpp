#include "io/latents_file.h"

#include <algorithm>

#include "io/atomic_file.h"
#include "io/clip_table.h"
#include "io/error.h"
#include "io/hdf5_file.h"

namespace evenflow::io {
namespace {

constexpr const char* latents_kind = "evenflow latents";

/// A float matrix of known height, written row block by row block.
class RowWriter {
 public:
  RowWriter(Hdf5File& file, const std::string& where, int64_t rows, int64_t columns)
      : where_(where),
        shape_{static_cast<hsize_t>(rows), static_cast<hsize_t>(columns)},
        checksum_(Hdf5File::begin_checksum(where, H5T_IEEE_F32LE, shape_)),
        dataset_(file.create_dataset(where, shape_, H5T_IEEE_F32LE)) {}

  void append(const Hdf5File& file, std::span<const float> rows) {
    if (rows.empty()) {
      return;  // a model without a zd has rows of nothing
    }
    file.write_rows(where_, dataset_, next_, shape_[1], rows);
    checksum_.add(rows.data(), rows.size_bytes());
    next_ += rows.size() / shape_[1];
  }

  void finish(Hdf5File& file) {
    file.write_checksum(where_, dataset_, checksum_.value());
    if (!dataset_.close()) {
      file.fail_write(where_);
    }
  }

 private:
  std::string where_;
  Shape shape_;
  Crc32 checksum_;
  hsize_t next_ = 0;
  Handle dataset_;
};

}  // namespace

struct LatentsWriter::State {
  State(const std::filesystem::path& target, int64_t windows, int64_t zc_size, int64_t zd_size)
      : atomic(target),
        file(Hdf5File::create(atomic.temporary(), target)),
        zc(file, "/zc", windows, zc_size),
        zd(file, "/zd", windows, zd_size) {}

  void finish(const LatentsTable& table) {
    zc.finish(file);
    zd.finish(file);
    file.make_group("/window");
    file.write("/window/clip", table.clip);
    file.write("/window/frame", table.frame);
    std::vector<std::string> names;
    for (const auto& [name, values] : table.columns) {
      file.write("/" + name, values);
      names.push_back(name);
    }
    file.write_attribute("/", "columns", names);
    file.write("/estimate", {table.clip.size(), table.estimated.size()}, table.estimates.data());
    file.write_attribute("/estimate", "names", table.estimated);
    file.make_group("/clip");
    const int64_t version = write_clip_table(file, {table.clips, table.parameter_names, table.categories});
    file.finish(latents_kind, version);
    atomic.commit();
  }

  AtomicFile atomic;
  Hdf5File file;
  RowWriter zc, zd;
};

LatentsWriter::LatentsWriter(const std::filesystem::path& file, int64_t windows, int64_t zc_size, int64_t zd_size) {
  const Hdf5Lock lock;
  state_ = std::make_unique<State>(file, windows, zc_size, zd_size);
}

LatentsWriter::~LatentsWriter() = default;

void LatentsWriter::append(std::span<const float> zc, std::span<const float> zd) {
  const Hdf5Lock lock;
  state_->zc.append(state_->file, zc);
  state_->zd.append(state_->file, zd);
}

void LatentsWriter::finish(const LatentsTable& table) {
  const Hdf5Lock lock;
  state_->finish(table);
}

LatentsSummary read_latents_summary(const std::filesystem::path& path) {
  const Hdf5Lock lock;
  const Hdf5File file = Hdf5File::open(path, latents_kind);
  LatentsSummary summary;
  const std::vector<int32_t> clip = file.read<int32_t>("/window/clip");
  const std::vector<int64_t> frame = file.read<int64_t>("/window/frame");
  const ClipTable table = read_clip_table(file);
  summary.windows = static_cast<int64_t>(clip.size());
  summary.clips = static_cast<int64_t>(table.clips.size());
  if (frame.size() != clip.size() ||
      std::any_of(clip.begin(), clip.end(), [&](int32_t c) { return c < 0 || c >= summary.clips; }) ||
      std::any_of(frame.begin(), frame.end(), [](int64_t f) { return f < 0; })) {
    file.fail_damaged("/window does not place each window in a clip");
  }
  const auto row_size = [&](const std::string& where, hid_t type) {
    const Shape shape = file.verify(where, type);
    if (shape.empty() || shape.size() > 2 || shape[0] != clip.size()) {
      file.fail_damaged(where + " does not have a row for each of the " + std::to_string(clip.size()) + " windows");
    }
    return shape.size() == 1 ? int64_t{1} : static_cast<int64_t>(shape[1]);
  };
  summary.zc_size = row_size("/zc", H5T_IEEE_F32LE);
  summary.zd_size = row_size("/zd", H5T_IEEE_F32LE);
  summary.estimated = file.read_texts_attribute("/estimate", "names");
  if (row_size("/estimate", H5T_IEEE_F64LE) != static_cast<int64_t>(summary.estimated.size())) {
    file.fail_damaged("/estimate does not have a column for each of its names");
  }
  if (file.version() >= 2) {
    for (const std::string& name : file.read_texts_attribute("/", "columns")) {
      row_size("/" + name, H5T_IEEE_F64LE);
    }
  }
  return summary;
}

}  // namespace evenflow::io
