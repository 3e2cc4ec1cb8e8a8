#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "frontend/features.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "train/config_match.h"
#include "train/detector_state.h"

namespace evenflow::train {
namespace {

constexpr const char* latents_kind = "evenflow latents";
constexpr int64_t latents_version = 1;
constexpr int64_t group_windows = 128;

// A float matrix of known height, written row block by row block.
class RowWriter {
 public:
  RowWriter(io::Hdf5File& file, std::string where, int64_t rows, int64_t columns)
      : file_(file), where_(std::move(where)), columns_(static_cast<hsize_t>(columns)) {
    const std::array<hsize_t, 2> shape = {static_cast<hsize_t>(rows), columns_};
    const io::Handle space(H5Screate_simple(2, shape.data(), nullptr));
    dataset_ = io::Handle(
        H5Dcreate2(file_.id(), where_.c_str(), H5T_IEEE_F32LE, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    if (!dataset_.valid()) file_.fail_with_reason("cannot write " + where_);
  }

  void append(const std::vector<float>& rows) {
    if (rows.empty()) return;  // a model without a zd has rows of nothing
    const std::array<hsize_t, 2> start = {next_, 0};
    const std::array<hsize_t, 2> size = {rows.size() / columns_, columns_};
    const io::Handle on_disk(H5Dget_space(dataset_.get()));
    const io::Handle in_memory(H5Screate_simple(2, size.data(), nullptr));
    H5Sselect_hyperslab(on_disk.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
    if (H5Dwrite(dataset_.get(), H5T_NATIVE_FLOAT, in_memory.get(), on_disk.get(), H5P_DEFAULT, rows.data()) < 0) {
      file_.fail_with_reason("cannot write " + where_);
    }
    next_ += size[0];
  }

  void close() {
    if (!dataset_.close()) file_.fail_with_reason("cannot write " + where_);
  }

 private:
  io::Hdf5File& file_;
  std::string where_;
  hsize_t columns_, next_ = 0;
  io::Handle dataset_;
};

// What is one number (or one per parameter) a window; small enough to be kept until the end.
struct LatentWindows {
  std::vector<int32_t> clip;
  std::vector<int64_t> frame;
  std::vector<flow::WindowScores> scores;

  std::vector<double> column(double flow::WindowScores::*member) const {
    std::vector<double> values;
    for (const flow::WindowScores& window : scores) values.push_back(window.*member);
    return values;
  }
  std::vector<double> estimates() const {
    std::vector<double> values;
    for (const flow::WindowScores& window : scores) {
      values.insert(values.end(), window.estimate.begin(), window.estimate.end());
    }
    return values;
  }
};

void write_windows(io::Hdf5File& file, const std::string& kind, const LatentWindows& table,
                   const std::vector<std::string>& estimated) {
  file.make_group("/window");
  file.write("/window/clip", table.clip);
  file.write("/window/frame", table.frame);
  const auto column = [&](const char* name, double flow::WindowScores::*member) {
    file.write(fmt::format("/{}", name), table.column(member));
  };
  if (kind == "glow") {
    column("log_det", &flow::WindowScores::log_det);
    column("log_p_zc", &flow::WindowScores::log_p_zc);
  }
  for (const NamedScore& score : scores_of_kind(kind)) column(score.name, score.of_window);
  const std::vector<double> estimates = table.estimates();
  file.write("/estimate", {table.scores.size(), estimated.size()}, estimates.data());
  file.write_attribute("/estimate", "names", estimated);
}

void write_clips(io::Hdf5File& file, const io::Shard& shard) {
  std::vector<std::string> path, machine, split, domain, section;
  std::vector<int8_t> label;
  std::vector<double> parameter;
  for (const io::Clip& clip : shard.clips()) {
    path.push_back(clip.path.string());
    machine.push_back(clip.machine);
    split.emplace_back(clip.split == io::Split::train ? "train" : "test");
    domain.push_back(clip.domain);
    section.push_back(clip.section);
    label.push_back(static_cast<int8_t>(clip.label));
    parameter.insert(parameter.end(), clip.parameter.begin(), clip.parameter.end());
  }
  file.make_group("/clip");
  file.write_texts("/clip/path", path);
  file.write_texts("/clip/machine", machine);
  file.write_texts("/clip/split", split);
  file.write("/clip/label", label);
  file.write_texts("/clip/domain", domain);
  file.write_texts("/clip/section", section);
  file.write("/clip/parameter", {path.size(), shard.parameter_names().size()}, parameter.data());
  file.write_attribute("/clip/parameter", "names", shard.parameter_names());
}

int64_t count_windows(const io::Shard& shard, const io::WindowSettings& window) {
  int64_t total = 0;
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    total += frontend::windows_in(shard.offsets()[i + 1] - shard.offsets()[i], window);
  }
  return total;
}

// Where each of a group's windows stands; `clip` counts the shard's clips and goes on.
void place_windows(const ClipGroup& group, const io::WindowSettings& window, int32_t& clip, LatentWindows& table) {
  for (size_t c = 0; c + 1 < group.first.size(); ++c, ++clip) {
    for (int64_t w = 0; w < group.first[c + 1] - group.first[c]; ++w) {
      table.clip.push_back(clip);
      table.frame.push_back(w * window.window_hop_frames);
    }
  }
}

}  // namespace

void Detector::encode(const io::Shard& shard, const std::filesystem::path& out,
                      const std::function<void(int64_t done, int64_t total)>& progress) {
  State& s = *state_;
  require_frontend(shard, s.model.config.frontend, "the model");
  const io::WindowSettings& window = s.model.config.window;

  io::AtomicFile atomic(out);
  const io::Hdf5Lock lock;
  io::Hdf5File file = io::Hdf5File::create(atomic.temporary(), out);
  const int64_t rows = count_windows(shard, window);
  RowWriter zc_out(file, "/zc", rows, s.network->zc_size()), zd_out(file, "/zd", rows, s.network->zd_size());
  LatentWindows table;
  int32_t clip = 0;
  std::vector<float> zc, zd;
  const auto encode_group = [&](ClipGroup& group) {
    std::vector<flow::WindowScores> scores(group.start.size());
    zc.clear();
    zd.clear();
    s.engine->encode(group.batch(), scores,
                     [&](int64_t, std::span<const float> window_zc, std::span<const float> window_zd) {
                       zc.insert(zc.end(), window_zc.begin(), window_zc.end());
                       zd.insert(zd.end(), window_zd.begin(), window_zd.end());
                     });
    zc_out.append(zc);
    zd_out.append(zd);
    place_windows(group, window, clip, table);
    table.scores.insert(table.scores.end(), scores.begin(), scores.end());
    if (progress) progress(clip, static_cast<int64_t>(shard.clips().size()));
  };
  std::vector<int32_t> all(shard.clips().size());
  std::iota(all.begin(), all.end(), 0);
  for_each_group(shard, all, s.model.condition.names, window, group_windows, encode_group);
  zc_out.close();
  zd_out.close();
  write_windows(file, s.model.config.model.kind, table, s.model.condition.names);
  write_clips(file, shard);
  file.write_attribute("/", "format_version", latents_version);
  file.write_attribute("/", "kind", std::string(latents_kind));
  file.close();
  atomic.commit();
}

}  // namespace evenflow::train
