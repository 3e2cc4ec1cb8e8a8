#include "io/shard.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/hdf5_file.h"

namespace evenflow::io {
namespace {

constexpr const char* shard_kind = "evenflow shard";
constexpr int64_t shard_version = 1;
/// 64 KiB at 128 bands: a window touches one or two chunks.
constexpr hsize_t chunk_frames = 128;
constexpr size_t read_cache_bytes = 16 << 20;
constexpr size_t write_behind_bytes = 32 << 20;
constexpr double log_floor = 2.220446049250313e-16;

/// The rows of the feature's definition that are not settings. A shard made by another definition is refused.
struct FixedText {
  const char* name;
  const char* value;
};
struct FixedNumber {
  const char* name;
  double value;
};
constexpr std::array fixed_texts = {FixedText{"stft_window", "hann periodic"}, FixedText{"framing", "centred"},
                                    FixedText{"mel_scale", "slaney"}, FixedText{"mel_norm", "slaney"},
                                    FixedText{"unit", "dB, 10 log10(max(mel, log_floor))"}};
constexpr std::array fixed_numbers = {FixedNumber{"power", 2.0}, FixedNumber{"mel_low_hz", 0.0},
                                      FixedNumber{"log_floor", log_floor}};

void write_frontend(Hdf5File& file, const FrontendSettings& frontend, const std::string& device) {
  const std::string where = "/frontend";
  file.make_group(where);
  file.write_attribute(where, "sample_rate_hz", int64_t{frontend.sample_rate_hz});
  file.write_attribute(where, "channel", frontend.channel);
  file.write_attribute(where, "n_fft", int64_t{frontend.n_fft});
  file.write_attribute(where, "hop_samples", int64_t{frontend.hop_samples});
  file.write_attribute(where, "pad_mode", frontend.pad_mode);
  file.write_attribute(where, "mel_bands", int64_t{frontend.mel_bands});
  file.write_attribute(where, "mel_high_hz", frontend.sample_rate_hz / 2.0);
  for (const FixedText& row : fixed_texts) file.write_attribute(where, row.name, std::string(row.value));
  for (const FixedNumber& row : fixed_numbers) file.write_attribute(where, row.name, row.value);
  file.write_attribute(where, "device", device);
}

FrontendSettings read_frontend(const Hdf5File& file) {
  const std::string where = "/frontend";
  const auto positive = [&](const char* name) {
    const auto value = file.read_attribute<int64_t>(where, name);
    if (value < 1 || value > std::numeric_limits<int>::max())
      file.fail(where + " has " + name + " = " + std::to_string(value) + "; make the shard anew");
    return static_cast<int>(value);
  };
  FrontendSettings frontend;
  frontend.sample_rate_hz = positive("sample_rate_hz");
  frontend.channel = file.read_text_attribute(where, "channel");
  frontend.n_fft = positive("n_fft");
  frontend.hop_samples = positive("hop_samples");
  frontend.pad_mode = file.read_text_attribute(where, "pad_mode");
  frontend.mel_bands = positive("mel_bands");
  for (const FixedText& row : fixed_texts) {
    const std::string value = file.read_text_attribute(where, row.name);
    if (value != row.value)
      file.fail(where + " has " + row.name + " = '" + value + "', this program computes '" + row.value +
                "'; make the shard anew");
  }
  for (const FixedNumber& row : fixed_numbers) {
    const auto value = file.read_attribute<double>(where, row.name);
    if (value != row.value)
      file.fail(where + " has " + row.name + " = " + std::to_string(value) + ", this program computes with " +
                std::to_string(row.value) + "; make the shard anew");
  }
  return frontend;
}

class Fnv1a64 {
 public:
  void add(const void* data, size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) state_ = (state_ ^ bytes[i]) * 0x100000001b3;
  }
  std::string hex() const {
    std::string out(16, '0');
    for (size_t i = 0; i < 16; ++i) out[i] = "0123456789abcdef"[(state_ >> (60 - 4 * i)) & 15];
    return out;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325;
};

static_assert(std::endian::native == std::endian::little, "data_hash() is defined over little-endian bytes");

}  // namespace

// ---------------------------------------------------------------------------------------------------- writing

struct ShardWriter::State {
  // Closed in reverse: dataset, file, then the temporary is removed.
  AtomicFile atomic;
  Hdf5File file;
  Handle logmel;
  FrontendSettings frontend;
  std::vector<std::string> parameter_names;
  std::string device;
  std::vector<Clip> clips;
  std::vector<int64_t> offsets = {0};
  size_t unwritten = 0;  // bytes the system has not been asked to write yet

  State(const std::filesystem::path& target, FrontendSettings settings, std::vector<std::string> names,
        std::string computed_on)
      : atomic(target),
        file(Hdf5File::create(atomic.temporary(), target)),
        frontend(std::move(settings)),
        parameter_names(std::move(names)),
        device(std::move(computed_on)) {
    const hsize_t bands = static_cast<hsize_t>(frontend.mel_bands);
    const std::array<hsize_t, 2> none = {0, bands};
    const std::array<hsize_t, 2> unlimited = {H5S_UNLIMITED, bands};
    const std::array<hsize_t, 2> chunk = {chunk_frames, bands};
    const Handle space(H5Screate_simple(2, none.data(), unlimited.data()));
    const Handle list(H5Pcreate(H5P_DATASET_CREATE));
    H5Pset_obj_track_times(list.get(), false);
    H5Pset_chunk(list.get(), 2, chunk.data());
    H5Pset_fletcher32(list.get());
    logmel =
        Handle(H5Dcreate2(file.id(), "/logmel", H5T_IEEE_F32LE, space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT));
    if (!logmel.valid()) file.fail_write("/logmel");
  }

  void append(const Clip& clip, std::span<const float> values) {
    const hsize_t bands = static_cast<hsize_t>(frontend.mel_bands);
    const hsize_t count = values.size() / bands;
    const hsize_t first = static_cast<hsize_t>(offsets.back());
    const std::array<hsize_t, 2> extent = {first + count, bands};
    const std::array<hsize_t, 2> start = {first, 0};
    const std::array<hsize_t, 2> size = {count, bands};
    if (H5Dset_extent(logmel.get(), extent.data()) < 0) file.fail_write("/logmel");
    const Handle on_disk(H5Dget_space(logmel.get()));
    const Handle in_memory(H5Screate_simple(2, size.data(), nullptr));
    H5Sselect_hyperslab(on_disk.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
    if (H5Dwrite(logmel.get(), H5T_NATIVE_FLOAT, in_memory.get(), on_disk.get(), H5P_DEFAULT, values.data()) < 0)
      file.fail_write("/logmel");
    unwritten += values.size_bytes();
    if (unwritten >= write_behind_bytes) {
      atomic.begin_writing();
      unwritten = 0;
    }
    offsets.push_back(offsets.back() + static_cast<int64_t>(count));
    clips.push_back(clip);
  }

  void finish() {
    std::vector<std::string> path, machine, split, domain, section;
    std::vector<int8_t> label;
    std::vector<double> parameter;
    for (const Clip& clip : clips) {
      path.push_back(clip.path.string());
      machine.push_back(clip.machine);
      split.emplace_back(clip.split == Split::train ? "train" : "test");
      domain.push_back(clip.domain);
      section.push_back(clip.section);
      label.push_back(static_cast<int8_t>(clip.label));
      // One NaN for all: the hash must not depend on which operation made it.
      for (const double v : clip.parameter)
        parameter.push_back(std::isnan(v) ? std::numeric_limits<double>::quiet_NaN() : v);
    }
    file.make_group("/clip");
    file.write("/clip/offset", offsets);
    file.write_texts("/clip/path", path);
    file.write_texts("/clip/machine", machine);
    file.write_texts("/clip/split", split);
    file.write("/clip/label", label);
    file.write_texts("/clip/domain", domain);
    file.write_texts("/clip/section", section);
    file.write("/clip/parameter", {clips.size(), parameter_names.size()}, parameter.data());
    file.write_attribute("/clip/parameter", "names", parameter_names);
    write_frontend(file, frontend, device);
    file.write_attribute("/", "format_version", shard_version);
    // Last: an unfinished file does not even claim to be a shard.
    file.write_attribute("/", "kind", std::string(shard_kind));
    if (!logmel.close()) file.fail_write("/logmel");
    file.close();
    atomic.commit();
  }
};

ShardWriter::ShardWriter(const std::filesystem::path& file, const FrontendSettings& frontend,
                         const std::vector<std::string>& parameter_names, const std::string& device) {
  if (frontend.mel_bands < 1)
    throw DataError("cannot write '" + file.string() + "': mel_bands = " + std::to_string(frontend.mel_bands));
  const Hdf5Lock lock;
  state_ = std::make_unique<State>(file, frontend, parameter_names, device);
}

ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter& ShardWriter::operator=(ShardWriter&&) noexcept = default;

void ShardWriter::append(const Clip& clip, std::span<const float> logmel_db) {
  if (state_ == nullptr) throw DataError("a clip was appended to a shard that is finished or given up");
  const size_t bands = static_cast<size_t>(state_->frontend.mel_bands);
  const std::string of = "clip '" + clip.path.string() + "' ";
  if (logmel_db.empty() || logmel_db.size() % bands != 0)
    state_->file.fail(of + "has " + std::to_string(logmel_db.size()) + " values, expected whole frames of " +
                      std::to_string(bands));
  if (clip.parameter.size() != state_->parameter_names.size())
    state_->file.fail(of + "has " + std::to_string(clip.parameter.size()) + " parameters, expected " +
                      std::to_string(state_->parameter_names.size()));
  if (clip.label < -1 || clip.label > 1)
    state_->file.fail(of + "has label " + std::to_string(clip.label) + ", expected -1, 0 or 1");
  const Hdf5Lock lock;
  try {
    state_->append(clip, logmel_db);
  } catch (...) {
    state_.reset();
    throw;
  }
}

void ShardWriter::finish() {
  if (state_ == nullptr) throw DataError("a shard was finished that is finished or given up already");
  const Hdf5Lock lock;
  // Whatever comes of it, the state ends here, and with it the temporary.
  const std::unique_ptr<State> state = std::move(state_);
  state->finish();
}

// ---------------------------------------------------------------------------------------------------- reading

struct Shard::State {
  Hdf5File file;
  Handle logmel;
  FrontendSettings frontend;
  std::string device = "cpu";  // older shards do not say: there was nothing else
  std::vector<std::string> parameter_names;
  std::vector<Clip> clips;
  std::vector<int64_t> offsets;
  int64_t frames = 0;

  explicit State(const std::filesystem::path& path) : file(Hdf5File::open(path, shard_kind, shard_version)) {
    frontend = read_frontend(file);
    if (file.has_attribute("/frontend", "device")) device = file.read_text_attribute("/frontend", "device");
    open_logmel();
    read_clips();
    check_offsets();
  }

  void open_logmel() {
    Shape shape;
    Handle plain = file.open_dataset("/logmel", H5T_IEEE_F32LE, shape);
    if (shape.size() != 2 || shape[1] != static_cast<hsize_t>(frontend.mel_bands))
      file.fail("/logmel is not [frames, " + std::to_string(frontend.mel_bands) + "]; make the shard anew");
    // Missing chunks would read as zeros.
    if (shape[0] > file.size_on_disk() / (shape[1] * sizeof(float)) ||
        H5Dget_storage_size(plain.get()) < shape[0] * shape[1] * sizeof(float))
      file.fail("/logmel claims more frames than the file holds: damaged; copy or make it anew");
    frames = static_cast<int64_t>(shape[0]);
    plain.close();
    const Handle access(H5Pcreate(H5P_DATASET_ACCESS));
    // Oldest chunks go first: with any other weight, those that random windows leave partly read stay for good.
    H5Pset_chunk_cache(access.get(), 4099, read_cache_bytes, 0.0);
    logmel = Handle(H5Dopen2(file.id(), "/logmel", access.get()));
    if (!logmel.valid()) file.fail_with_reason("cannot open /logmel");
  }

  void read_clips() {
    parameter_names = file.read_texts_attribute("/clip/parameter", "names");
    offsets = file.read<int64_t>("/clip/offset");
    if (offsets.empty()) file.fail("/clip/offset is empty; make the shard anew");
    const size_t count = offsets.size() - 1;
    const auto texts = [&](const char* where) {
      std::vector<std::string> out = file.read_texts(where);
      check_count(where, out.size(), count);
      return out;
    };
    std::vector<std::string> path = texts("/clip/path");
    std::vector<std::string> machine = texts("/clip/machine");
    const std::vector<std::string> split = texts("/clip/split");
    std::vector<std::string> domain = texts("/clip/domain");
    std::vector<std::string> section = texts("/clip/section");
    const std::vector<int8_t> label = file.read<int8_t>("/clip/label");
    check_count("/clip/label", label.size(), count);
    Shape shape;
    const std::vector<double> parameter = file.read<double>("/clip/parameter", shape);
    const size_t width = parameter_names.size();
    if (shape != Shape{count, width})
      file.fail("/clip/parameter is not [" + std::to_string(count) + " clips, " + std::to_string(width) +
                " names]; make the shard anew");
    clips.resize(count);
    for (size_t i = 0; i < count; ++i) {
      Clip& clip = clips[i];
      if (split[i] != "train" && split[i] != "test")
        file.fail("/clip/split of clip " + std::to_string(i) + " is '" + split[i] +
                  "', expected train or test; make the shard anew");
      if (label[i] < -1 || label[i] > 1)
        file.fail("/clip/label of clip " + std::to_string(i) + " is " + std::to_string(label[i]) +
                  ", expected -1, 0 or 1; make the shard anew");
      clip.path = std::move(path[i]);
      clip.machine = std::move(machine[i]);
      clip.split = split[i] == "train" ? Split::train : Split::test;
      clip.label = label[i];
      clip.domain = std::move(domain[i]);
      clip.section = std::move(section[i]);
      const auto row = parameter.begin() + static_cast<std::ptrdiff_t>(i * width);
      clip.parameter.assign(row, row + static_cast<std::ptrdiff_t>(width));
    }
  }

  void check_count(const char* where, size_t got, size_t expected) const {
    if (got != expected)
      file.fail(std::string(where) + " has " + std::to_string(got) + " entries, expected " + std::to_string(expected) +
                "; make the shard anew");
  }

  void check_offsets() const {
    const bool ends_fit = offsets.front() == 0 && offsets.back() == frames;
    if (!ends_fit || !std::is_sorted(offsets.begin(), offsets.end()))
      file.fail("/clip/offset does not rise from 0 to the " + std::to_string(frames) +
                " frames of /logmel; make the shard anew");
  }

  void read_frames(int64_t first, int64_t count, float* out) const {
    if (first < 0 || count < 0 || first > frames || count > frames - first)
      file.fail("frames " + std::to_string(first) + " + " + std::to_string(count) + " are outside the shard's " +
                std::to_string(frames));
    if (count == 0) return;
    const std::array<hsize_t, 2> start = {static_cast<hsize_t>(first), 0};
    const std::array<hsize_t, 2> size = {static_cast<hsize_t>(count), static_cast<hsize_t>(frontend.mel_bands)};
    const Handle on_disk(H5Dget_space(logmel.get()));
    const Handle in_memory(H5Screate_simple(2, size.data(), nullptr));
    H5Sselect_hyperslab(on_disk.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
    if (H5Dread(logmel.get(), H5T_NATIVE_FLOAT, in_memory.get(), on_disk.get(), H5P_DEFAULT, out) < 0)
      file.fail_with_reason("cannot read /logmel from frame " + std::to_string(first) +
                            " (damaged; copy or make the shard anew)");
  }
};

Shard::Shard(const std::filesystem::path& file) {
  const Hdf5Lock lock;
  try {
    state_ = std::make_unique<State>(file);
  } catch (const std::bad_alloc&) {
    throw DataError("'" + file.string() + "': not enough memory for its list of clips");
  }
}

Shard::~Shard() = default;
Shard::Shard(Shard&&) noexcept = default;
Shard& Shard::operator=(Shard&&) noexcept = default;

const std::filesystem::path& Shard::path() const {
  return state_->file.named();
}
const FrontendSettings& Shard::frontend() const {
  return state_->frontend;
}
const std::string& Shard::device() const {
  return state_->device;
}
const std::vector<std::string>& Shard::parameter_names() const {
  return state_->parameter_names;
}
const std::vector<Clip>& Shard::clips() const {
  return state_->clips;
}
const std::vector<int64_t>& Shard::offsets() const {
  return state_->offsets;
}
int64_t Shard::frames() const {
  return state_->frames;
}
int Shard::mel_bands() const {
  return state_->frontend.mel_bands;
}

void Shard::read_frames(int64_t first, int64_t count, float* out) const {
  const Hdf5Lock lock;
  state_->read_frames(first, count, out);
}

std::string Shard::data_hash() const {
  constexpr int64_t block = 4096;
  Fnv1a64 hash;
  std::vector<float> buffer(static_cast<size_t>(std::min(block, frames())) * static_cast<size_t>(mel_bands()));
  for (int64_t first = 0; first < frames(); first += block) {
    const int64_t count = std::min(block, frames() - first);
    read_frames(first, count, buffer.data());
    hash.add(buffer.data(), static_cast<size_t>(count) * static_cast<size_t>(mel_bands()) * sizeof(float));
  }
  hash.add(offsets().data(), offsets().size() * sizeof(int64_t));
  for (const Clip& clip : clips()) hash.add(clip.parameter.data(), clip.parameter.size() * sizeof(double));
  return hash.hex();
}

bool is_shard(const std::filesystem::path& file) {
  return hdf5_kind(file) == shard_kind;
}

}  // namespace evenflow::io
