#include "io/shard.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/clip_table.h"
#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/text.h"

namespace evenflow::io {
namespace {

constexpr const char* shard_kind = "evenflow shard";
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
  file.write_attribute(where, "pad_mode", std::string(name_of(frontend.pad_mode)));
  file.write_attribute(where, "mel_bands", int64_t{frontend.mel_bands});
  file.write_attribute(where, "mel_high_hz", frontend.sample_rate_hz / 2.0);
  for (const FixedText& row : fixed_texts) {
    file.write_attribute(where, row.name, std::string(row.value));
  }
  for (const FixedNumber& row : fixed_numbers) {
    file.write_attribute(where, row.name, row.value);
  }
  file.write_attribute(where, "device", device);
}

/// As of the configuration, from where the settings came.
void require_in_range(const Hdf5File& file, const FrontendSettings& frontend) {
  Config checked;
  checked.frontend = frontend;
  try {
    for (const ConfigKey& key : config_keys()) {
      if (key.name.starts_with("frontend.")) {
        key.set(checked, key.get(checked));
      }
    }
  } catch (const UsageError& error) {
    file.fail("/frontend: " + std::string(error.what()) + "; make the shard again");
  }
}

PadMode read_pad_mode(const Hdf5File& file, const std::string& where) {
  const std::string name = file.read_text_attribute(where, "pad_mode");
  if (const auto mode = value_of<PadMode>(name)) {
    return *mode;
  }
  file.fail(where + ": frontend.pad_mode = \"" + name + "\" is not allowed: it must be " + names_text<PadMode>() +
            "; make the shard again");
}

FrontendSettings read_frontend(const Hdf5File& file) {
  const std::string where = "/frontend";
  const auto positive = [&](const char* name) {
    const auto value = file.read_attribute<int64_t>(where, name);
    if (value < 1 || value > std::numeric_limits<int>::max()) {
      file.fail(where + " has " + name + " = " + std::to_string(value) + "; make the shard again");
    }
    return static_cast<int>(value);
  };
  FrontendSettings frontend;
  frontend.sample_rate_hz = positive("sample_rate_hz");
  frontend.channel = file.read_text_attribute(where, "channel");
  frontend.n_fft = positive("n_fft");
  frontend.hop_samples = positive("hop_samples");
  frontend.pad_mode = read_pad_mode(file, where);
  frontend.mel_bands = positive("mel_bands");
  for (const FixedText& row : fixed_texts) {
    const std::string value = file.read_text_attribute(where, row.name);
    if (value != row.value) {
      file.fail(where + " has " + row.name + " = '" + value + "', this program computes '" + row.value +
                "'; make the shard again");
    }
  }
  for (const FixedNumber& row : fixed_numbers) {
    const auto value = file.read_attribute<double>(where, row.name);
    if (value != row.value) {
      file.fail(where + " has " + row.name + " = " + std::to_string(value) + ", this program computes with " +
                std::to_string(row.value) + "; make the shard again");
    }
  }
  require_in_range(file, frontend);
  return frontend;
}

/// A sum of a clip's frames in which every 8 bytes count by their place: five times as fast as a CRC, and enough where
/// chunks of frames have one.
class FramesSum {
 public:
  /// All pieces but the last are a multiple of 8 bytes.
  void add(std::span<const float> frames) {
    const auto* bytes = reinterpret_cast<const char*>(frames.data());
    const size_t words = frames.size_bytes() / 8;
    for (size_t i = 0; i < words; ++i, weight_ += 2) {
      add_word(bytes + 8 * i, 8);
    }
    if (frames.size_bytes() % 8 != 0) {
      add_word(bytes + 8 * words, 4);
    }
  }
  uint64_t value() const { return sum_; }

 private:
  void add_word(const char* bytes, size_t size) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, size);
    sum_ += word * weight_;
  }
  uint64_t sum_ = 0, weight_ = 1;
};

}  // namespace

uint64_t frames_sum(std::span<const float> frames) {
  FramesSum sum;
  sum.add(frames);
  return sum.value();
}

// ---------------------------------------------------------------------------------------------------- writing

struct ShardWriter::State {
  // Closed in reverse: dataset, file, then the temporary is removed.
  AtomicFile atomic;
  Hdf5File file;
  Handle logmel;
  FrontendSettings frontend;
  std::string device;
  ClipTable table;
  std::vector<int64_t> offsets = {0};
  std::vector<uint64_t> frames_sum;  // of each clip's frames
  size_t unwritten = 0;              // bytes the system has not been asked to write yet

  State(const std::filesystem::path& target, FrontendSettings settings, ClipTable columns, std::string computed_on)
      : atomic(target),
        file(Hdf5File::create(atomic.temporary(), target)),
        frontend(std::move(settings)),
        device(std::move(computed_on)),
        table(std::move(columns)) {
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
    if (!logmel.valid()) {
      file.fail_write("/logmel");
    }
  }

  void append(const Clip& clip, std::span<const float> values) {
    const hsize_t bands = static_cast<hsize_t>(frontend.mel_bands);
    const hsize_t count = values.size() / bands;
    const hsize_t first = static_cast<hsize_t>(offsets.back());
    const std::array<hsize_t, 2> extent = {first + count, bands};
    if (H5Dset_extent(logmel.get(), extent.data()) < 0) {
      file.fail_write("/logmel");
    }
    file.write_rows("/logmel", logmel, first, bands, values);
    unwritten += values.size_bytes();
    if (unwritten >= write_behind_bytes) {
      atomic.begin_writing();
      unwritten = 0;
    }
    offsets.push_back(offsets.back() + static_cast<int64_t>(count));
    table.clips.push_back(clip);
    frames_sum.push_back(io::frames_sum(values));
  }

  void finish() {
    file.make_group("/clip");
    file.write("/clip/offset", offsets);
    file.write("/clip/frames_sum", frames_sum);
    const int64_t version = write_clip_table(file, table);
    write_frontend(file, frontend, device);
    if (!logmel.close()) {
      file.fail_write("/logmel");
    }
    file.finish(shard_kind, version);
    atomic.commit();
  }
};

ShardWriter::ShardWriter(const std::filesystem::path& file, const FrontendSettings& frontend,
                         const std::vector<std::string>& parameter_names, const std::string& device,
                         const Categories& categories) {
  if (frontend.mel_bands < 1) {
    throw DataError("cannot write '" + file.string() + "': mel_bands = " + std::to_string(frontend.mel_bands));
  }
  const Hdf5Lock lock;
  state_ = std::make_unique<State>(file, frontend, ClipTable{{}, parameter_names, categories}, device);
}

ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter& ShardWriter::operator=(ShardWriter&&) noexcept = default;

void ShardWriter::append(const Clip& clip, std::span<const float> logmel_db) {
  if (state_ == nullptr) {
    throw DataError("a clip was appended to a shard that is finished or given up");
  }
  const size_t bands = static_cast<size_t>(state_->frontend.mel_bands);
  const std::string of = "clip '" + clip.path.string() + "' ";
  if (logmel_db.empty() || logmel_db.size() % bands != 0) {
    state_->file.fail(of + "has " + std::to_string(logmel_db.size()) + " values, expected whole frames of " +
                      std::to_string(bands));
  }
  const size_t parameters = state_->table.parameter_names.size();
  if (clip.parameter.size() != parameters) {
    state_->file.fail(of + "has " + std::to_string(clip.parameter.size()) + " parameters, expected " +
                      std::to_string(parameters));
  }
  for (size_t p = 0; p < parameters; ++p) {
    const std::vector<std::string>& names = categories_of(state_->table.categories, p);
    if (!names.empty() && !is_code(clip.parameter[p], names)) {
      state_->file.fail(of + "has the value " + value_text(clip.parameter[p], {}) + " of '" +
                        state_->table.parameter_names[p] + "', expected the place of one of " +
                        std::to_string(names.size()) + " names");
    }
  }
  // At once, not after hours of work.
  if (!is_utf8(clip.path.string()) || !is_utf8(clip.machine) || !is_utf8(clip.domain) || !is_utf8(clip.section)) {
    state_->file.fail(of + "has a path, machine, domain or section that is not UTF-8; rename it");
  }
  if (clip.label < -1 || clip.label > 1) {
    state_->file.fail(of + "has label " + std::to_string(clip.label) + ", expected -1, 0 or 1");
  }
  const Hdf5Lock lock;
  try {
    state_->append(clip, logmel_db);
  } catch (...) {
    state_.reset();
    throw;
  }
}

void ShardWriter::finish() {
  if (state_ == nullptr) {
    throw DataError("a shard was finished that is finished or given up already");
  }
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
  ClipTable table;
  std::vector<int64_t> offsets;
  std::vector<uint64_t> frames_sum;  // of each clip's frames; empty: an older shard
  int64_t frames = 0;

  explicit State(const std::filesystem::path& path) : file(Hdf5File::open(path, shard_kind)) {
    frontend = read_frontend(file);
    if (file.has_attribute("/frontend", "device")) {
      device = file.read_text_attribute("/frontend", "device");
    }
    open_logmel();
    offsets = file.read<int64_t>("/clip/offset");
    if (offsets.empty()) {
      file.fail("/clip/offset is empty; make the shard again");
    }
    table = read_clip_table(file);
    require_per_clip("/clip/path", table.clips.size());
    check_offsets();
    if (file.version() < 2) {
      return;
    }
    frames_sum = file.read<uint64_t>("/clip/frames_sum");
    require_per_clip("/clip/frames_sum", frames_sum.size());
  }

  void require_per_clip(const std::string& where, size_t got) const {
    if (got != offsets.size() - 1) {
      file.fail(where + " has " + std::to_string(got) + " entries, expected " + std::to_string(offsets.size() - 1) +
                "; make the shard again");
    }
  }

  void open_logmel() {
    Shape shape;
    Handle plain = file.open_dataset("/logmel", H5T_IEEE_F32LE, shape);
    if (shape.size() != 2 || shape[1] != static_cast<hsize_t>(frontend.mel_bands)) {
      file.fail("/logmel is not [frames, " + std::to_string(frontend.mel_bands) + "]; make the shard again");
    }
    frames = static_cast<int64_t>(shape[0]);
    plain.close();
    const Handle access(H5Pcreate(H5P_DATASET_ACCESS));
    // Oldest chunks go first: with any other weight, those that random windows leave partly read stay for good.
    H5Pset_chunk_cache(access.get(), 4099, read_cache_bytes, 0.0);
    logmel = Handle(H5Dopen2(file.id(), "/logmel", access.get()));
    if (!logmel.valid()) {
      file.fail_with_reason("cannot open /logmel");
    }
  }

  void check_offsets() const {
    const bool ends_fit = offsets.front() == 0 && offsets.back() == frames;
    if (!ends_fit || !std::is_sorted(offsets.begin(), offsets.end())) {
      file.fail("/clip/offset does not rise from 0 to the " + std::to_string(frames) +
                " frames of /logmel; make the shard again");
    }
  }

  void read(int64_t first, int64_t count, float* out) const {
    if (first < 0 || count < 0 || first > frames || count > frames - first) {
      file.fail("frames " + std::to_string(first) + " + " + std::to_string(count) + " are outside the shard's " +
                std::to_string(frames));
    }
    if (count == 0) {
      return;
    }
    const auto bands = static_cast<hsize_t>(frontend.mel_bands);
    file.read_rows("/logmel", logmel, static_cast<hsize_t>(first), bands, {out, static_cast<size_t>(count) * bands});
  }

  /// Chunks have checksums of their own, but one that was lost and reads as zeros fits its own. So every clip that was
  /// read whole is compared, as all are before a training and when they are scored.
  void check_whole_clips(int64_t first, int64_t count, const float* out) const {
    if (frames_sum.empty()) {
      return;
    }
    const auto begin = std::lower_bound(offsets.begin(), offsets.end() - 1, first);
    for (auto clip = static_cast<size_t>(begin - offsets.begin()); clip < frames_sum.size(); ++clip) {
      const int64_t end = offsets[clip + 1];
      if (end > first + count) {
        return;
      }
      const auto bands = static_cast<size_t>(frontend.mel_bands);
      const float* frames_of = out + static_cast<size_t>(offsets[clip] - first) * bands;
      check_clip(clip, io::frames_sum({frames_of, static_cast<size_t>(end - offsets[clip]) * bands}));
    }
  }

  void check_clip(size_t clip, uint64_t found) const {
    if (!frames_sum.empty() && found != frames_sum[clip]) {
      file.fail_damaged("/logmel does not match the sum of clip '" + table.clips[clip].path.string() + "'");
    }
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
  return state_->table.parameter_names;
}
const Categories& Shard::categories() const {
  return state_->table.categories;
}
const std::vector<Clip>& Shard::clips() const {
  return state_->table.clips;
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
  state_->read(first, count, out);
  state_->check_whole_clips(first, count, out);
}

std::vector<float> Shard::clip_frames(size_t clip) const {
  const int64_t first = offsets()[clip], count = offsets()[clip + 1] - first;
  std::vector<float> frames(static_cast<size_t>(count * mel_bands()));
  read_frames(first, count, frames.data());
  return frames;
}

std::string Shard::data_hash() const {
  constexpr int64_t block = 4096;  // frames; a multiple of 8 bytes
  const Hdf5Lock lock;
  const auto bands = static_cast<size_t>(mel_bands());
  Fnv1a64 hash;
  std::vector<float> buffer;
  for (size_t clip = 0; clip < clips().size(); ++clip) {
    FramesSum sum;
    const int64_t end = offsets()[clip + 1];
    for (int64_t first = offsets()[clip]; first < end; first += block) {
      const int64_t count = std::min(block, end - first);
      buffer.resize(static_cast<size_t>(count) * bands);
      state_->read(first, count, buffer.data());
      hash.add(buffer.data(), buffer.size() * sizeof(float));
      sum.add(buffer);
    }
    state_->check_clip(clip, sum.value());
  }
  hash.add(offsets().data(), offsets().size() * sizeof(int64_t));
  for (const Clip& clip : clips()) {
    hash.add(clip.parameter.data(), clip.parameter.size() * sizeof(double));
  }
  for (const std::vector<std::string>& names : categories()) {
    for (const std::string& name : names) {
      hash.add(name.c_str(), name.size() + 1);
    }
  }
  return hash.hex();
}

bool is_shard(const std::filesystem::path& file) {
  return hdf5_kind(file) == shard_kind;
}

}  // namespace evenflow::io
