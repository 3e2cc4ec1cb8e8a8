#include "tests/io/damage_campaign.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

#include "io/error.h"
#include "io/hdf5_file.h"
#include "io/latents_file.h"
#include "io/model_file.h"
#include "io/parameter_list.h"
#include "io/samples_file.h"
#include "io/shard.h"
#include "tests/support/child.h"

namespace evenflow::io::testing {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Damage flip(const std::string& file, size_t byte, unsigned bit) {
  return {byte, std::string(1, static_cast<char>(file[byte] ^ (1 << bit)))};
}

/// FNV-1a 64 over values and their counts.
class Fingerprint {
 public:
  void bytes(const void* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      state_ = (state_ ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
    }
  }
  template <class T>
  void number(T value) {
    bytes(&value, sizeof value);
  }
  template <class T>
  void numbers(const std::vector<T>& values) {
    number(values.size());
    bytes(values.data(), values.size() * sizeof(T));
  }
  void text(const std::string& value) {
    number(value.size());
    bytes(value.data(), value.size());
  }
  void texts(const std::vector<std::string>& values) {
    number(values.size());
    for (const std::string& value : values) {
      text(value);
    }
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0xcbf29ce484222325;
};

void add_shard(Fingerprint& print, const fs::path& file) {
  const Shard shard(file);
  Config config;
  config.frontend = shard.frontend();
  print.text(to_toml(config));
  print.text(shard.device());
  print.texts(shard.parameter_names());
  print.numbers(shard.offsets());
  for (size_t i = 0; i < shard.clips().size(); ++i) {
    const Clip& clip = shard.clips()[i];
    print.texts({clip.path.string(), clip.machine, clip.domain, clip.section});
    print.number(clip.split);
    print.number(clip.label);
    print.numbers(clip.parameter);
    const int64_t first = shard.offsets()[i], count = shard.offsets()[i + 1] - first;
    std::vector<float> frames(static_cast<size_t>(count * shard.mel_bands()));
    shard.read_frames(first, count, frames.data());
    print.numbers(frames);
  }
  print.text(shard.data_hash());
}

void add_model(Fingerprint& print, const fs::path& file) {
  const ModelData model = read_model(file);
  print.text(to_toml(model.config));
  for (const Tensor& tensor : model.parameters) {
    print.text(tensor.name);
    print.numbers(tensor.shape);
    print.number(tensor.type);
    print.numbers(tensor.values);
    print.numbers(tensor.integers);
  }
  print.numbers(model.normaliser.mean);
  print.numbers(model.normaliser.std);
  print.texts(model.condition.names);
  for (const std::vector<double>* values :
       {&model.condition.k, &model.condition.v0, &model.condition.mean, &model.condition.std, &model.threshold.gamma}) {
    print.numbers(*values);
  }
  for (const std::vector<double>& values : model.condition.training_values) {
    print.numbers(values);
  }
  print.texts({model.threshold.score, model.threshold.method});
  print.numbers(std::vector<double>{model.threshold.quantile, model.threshold.value});
  print.number(model.threshold.clips);
  print.number(model.threshold.above);
  for (const ScoreReference& reference : model.normal.references) {
    print.text(reference.score);
    print.numbers(std::vector<double>{reference.mean, reference.deviation});
  }
  if (const auto& points = model.normal.points) {
    print.number(points->length);
    print.numbers(points->values);
  }
  if (const auto& calibration = model.normal.calibration) {
    print.number(calibration->clips);
    print.numbers(calibration->estimate);
    for (const CalibrationData::Score& score : calibration->scores) {
      print.text(score.score);
      print.numbers(score.bandwidth);
      print.numbers(score.value);
      print.numbers(score.squared_residual);
      print.numbers(score.effect);
      print.numbers(score.explained);
    }
    print.numbers(calibration->point);
    print.numbers(calibration->reach);
  }
  print.numbers(model.normal.trained_on);
  if (const auto& conformal = model.conformal) {
    print.numbers(std::vector<int64_t>{conformal->clips, conformal->clip_frames});
    print.texts({conformal->source, conformal->date, conformal->data_hash});
    for (const ConformalData::Score& score : conformal->scores) {
      print.text(score.score);
      print.numbers(score.values);
    }
    for (const std::vector<double>& distances : conformal->estimate_distance) {
      print.numbers(distances);
    }
  }
  const Provenance& provenance = model.provenance;
  print.texts({provenance.commit, provenance.data_hash, provenance.device, provenance.date, provenance.version});
  print.number(provenance.seed);
  print.texts(provenance.machines);
  print.number(model.optimizer.has_value());
  if (model.optimizer) {
    print.numbers(model.optimizer->m);
    print.numbers(model.optimizer->v);
    print.number(model.optimizer->step);
  }
  print.number(model.progress.has_value());
  if (model.progress) {
    const ProgressData& progress = *model.progress;
    print.numbers(std::vector<int64_t>{progress.epoch, progress.step_in_epoch, progress.best_epoch,
                                       progress.guard_count, static_cast<int64_t>(progress.seed)});
    print.numbers(std::vector<double>{progress.learning_rate_factor, progress.best_loss, progress.epoch_loss_sum});
  }
  print.number(model.resume.has_value());
  if (model.resume) {
    const ResumeData& resume = *model.resume;
    print.numbers(resume.parameters);
    print.numbers(resume.m);
    print.numbers(resume.v);
    print.numbers(std::vector<int64_t>{resume.step, resume.windows, resume.steps, resume.guard_events});
    print.numbers(std::vector<double>{resume.loss_sum, resume.gradient_norm_sum, resume.gradient_norm_max});
  }
}

void add_latents(Fingerprint& print, const fs::path& file) {
  const LatentsSummary summary = read_latents_summary(file);
  print.numbers(std::vector<int64_t>{summary.windows, summary.zc_size, summary.zd_size, summary.clips});
  print.texts(summary.estimated);
  const Hdf5Lock lock;
  const Hdf5File latents = Hdf5File::open(file, "evenflow latents");
  Shape shape;
  for (const char* name : {"/zc", "/zd"}) {
    print.numbers(latents.read<float>(name, shape));
  }
  print.numbers(latents.read<double>("/estimate", shape));
  if (latents.version() < 2) {
    return;
  }
  for (const std::string& name : latents.read_texts_attribute("/", "columns")) {
    print.text(name);
    print.numbers(latents.read<double>("/" + name));
  }
}

void add_samples(Fingerprint& print, const fs::path& file) {
  const Samples samples = read_samples(file);
  print.numbers(std::vector<int64_t>{samples.windows, samples.bands, samples.frames});
  print.numbers(samples.logmel_db);
  print.numbers(samples.original);
  print.texts(samples.names);
  print.numbers(samples.values);
  print.texts({samples.model, samples.from.value_or("")});
  print.number(samples.temperature);
  print.number(samples.seed);
}

// ------------------------------------------------------------------------------------------------ reading damage

enum class Result : char { refused = 'r', same = 's', changed = 'c', unnamed = 'u' };

/// A copy of the file that damage is done to, and undone.
class WorkingCopy {
 public:
  explicit WorkingCopy(const fs::path& original) : bytes_(bytes_of(original)) {
    path_ = (fs::temp_directory_path() / "evenflow_damage_XXXXXX.h5").string();
    descriptor_ = ::mkstemps(path_.data(), 3);
    if (descriptor_ < 0) {
      throw std::runtime_error("no temporary file");
    }
    write(0, bytes_);
  }
  ~WorkingCopy() {
    ::close(descriptor_);
    ::unlink(path_.c_str());
  }
  WorkingCopy(const WorkingCopy&) = delete;
  WorkingCopy& operator=(const WorkingCopy&) = delete;
  const std::string& path() const { return path_; }

  void apply(const Damage& damage) const {
    write(damage.at, damage.bytes);
    if (damage.length < bytes_.size() && ::ftruncate(descriptor_, static_cast<off_t>(damage.length)) != 0) {
      throw std::runtime_error("cannot cut " + path_);
    }
  }
  void restore() const { write(0, bytes_); }

 private:
  void write(size_t at, const std::string& bytes) const {
    if (::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("cannot write " + path_);
    }
  }

  std::string bytes_, path_;
  int descriptor_ = -1;
};

Result read_one(const std::string& path, const std::string& kind, uint64_t undamaged, std::string& text) {
  try {
    if (fingerprint(path, kind) == undamaged) {
      return Result::same;
    }
    text = "read as something else";
    return Result::changed;
  } catch (const DataError& error) {
    text = error.what();
    return text.find(path) == std::string::npos ? Result::unnamed : Result::refused;
  } catch (const std::exception& error) {
    text = error.what();
    return Result::unnamed;
  }
}

std::string described(const Damage& damage, const std::string& text) {
  return std::to_string(damage.bytes.size()) + " bytes from " + std::to_string(damage.at) +
         (damage.length == SIZE_MAX ? "" : ", cut at " + std::to_string(damage.length)) + ": " + text;
}

}  // namespace

uint64_t fingerprint(const fs::path& file, const std::string& kind) {
  Fingerprint print;
  if (kind == "evenflow shard") {
    add_shard(print, file);
  }
  if (kind == "evenflow model") {
    add_model(print, file);
  }
  if (kind == "evenflow latents") {
    add_latents(print, file);
  }
  if (kind == "evenflow samples") {
    add_samples(print, file);
  }
  return print.value();
}

std::vector<Damage> random_flips(const std::string& file, int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Damage> damages;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bit = random() % (8 * file.size());
    damages.push_back(flip(file, bit / 8, static_cast<unsigned>(bit % 8)));
  }
  return damages;
}

std::vector<Damage> flips_of_begin(const std::string& file, size_t bytes, size_t stride) {
  std::vector<Damage> damages;
  for (size_t bit = 0; bit < 8 * std::min(bytes, file.size()); bit += stride) {
    damages.push_back(flip(file, bit / 8, static_cast<unsigned>(bit % 8)));
  }
  return damages;
}

std::vector<Damage> truncations(const std::string& file, size_t step) {
  std::vector<Damage> damages;
  for (size_t length = 0; length < file.size(); length += step) {
    damages.push_back({0, "", length});
  }
  return damages;
}

std::vector<Damage> lost_pages(const std::string& file) {
  std::vector<Damage> damages;
  for (const size_t page : {512, 4096, 65536}) {
    for (size_t at = 0; at < file.size(); at += std::min<size_t>(page, 4096)) {
      damages.push_back({at, std::string(std::min(page, file.size() - at), '\0')});
    }
  }
  return damages;
}

std::vector<Damage> duplicated_pages(const std::string& file) {
  std::vector<Damage> damages;
  std::mt19937_64 random(3);
  for (const size_t page : {512, 4096}) {
    const size_t pages = file.size() / page;
    for (size_t i = 0; i < pages; ++i) {
      for (const size_t from : {(i + 1) % pages, static_cast<size_t>(random() % pages)}) {
        damages.push_back({i * page, file.substr(from * page, page)});
      }
    }
  }
  return damages;
}

Tally read_damaged(const fs::path& file, const std::vector<Damage>& damages) {
  const std::string kind = read_kind(file);
  const uint64_t undamaged = fingerprint(file, kind);
  const WorkingCopy copy(file);
  Tally tally;
  const auto fault = [&](size_t i, const std::string& text) {
    if (tally.first_fault.empty()) {
      tally.first_fault = described(damages[i], text);
    }
  };
  for (size_t next = 0; next < damages.size();) {
    int ends[2];
    if (::pipe(ends) != 0) {
      throw std::runtime_error("no pipe");
    }
    const pid_t child = tests::in_child([&] {
      for (size_t i = next; i < damages.size(); ++i) {
        copy.apply(damages[i]);
        ::alarm(60);
        std::string text;
        const auto result = static_cast<char>(read_one(copy.path(), kind, undamaged, text));
        ::alarm(0);
        copy.restore();
        text.resize(255);
        const std::string message = result + text;
        if (::write(ends[1], message.data(), message.size()) != static_cast<ssize_t>(message.size())) {
          return 1;
        }
      }
      return 0;
    });
    ::close(ends[1]);
    std::string message(256, '\0');
    while (next < damages.size() && ::read(ends[0], message.data(), message.size()) == 256) {
      const auto result = static_cast<Result>(message[0]);
      tally.refused += result == Result::refused;
      tally.same += result == Result::same;
      tally.changed += result == Result::changed;
      tally.unnamed += result == Result::unnamed;
      if (result == Result::changed || result == Result::unnamed) {
        fault(next, message.substr(1));
      }
      ++next;
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (next == damages.size()) {
      break;
    }
    const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    ++(hung ? tally.hung : tally.crashed);
    fault(next, hung ? "hung" : "crashed, status " + std::to_string(status));
    copy.restore();
    ++next;
  }
  return tally;
}

// ------------------------------------------------------------------------------------------------------ examples

namespace {

ModelData example_model() {
  ModelData model;
  model.config.frontend.mel_bands = 16;
  model.config.window.window_frames = 8;
  model.config.model.blocks = 2;
  model.config.model.steps = 2;
  model.config.model.hidden = 4;
  model.normaliser = {std::vector<float>(16, -60.5f), std::vector<float>(16, 3.25f)};
  model.condition = {{"speed_rpm", "load_kg"},           {0.01, 0.5}, {200.0, 3.0}, {201.0, 3.5}, {81.0, 1.0},
                     {{100.0, 200.0, 300.0}, {1.0, 4.0}}};
  model.parameters = parameter_list(model.config, model.condition);
  float next = -1.0f;
  for (Tensor& tensor : model.parameters) {
    int64_t count = 1;
    for (const int64_t side : tensor.shape) {
      count *= side;
    }
    for (int64_t i = 0; i < count; ++i) {
      if (tensor.type == Tensor::Type::float32) {
        tensor.values.push_back(next += 0.001f);
      }
      if (tensor.type == Tensor::Type::int32) {
        tensor.integers.push_back(static_cast<int32_t>(i));
      }
      if (tensor.type == Tensor::Type::int8) {
        tensor.integers.push_back(i % 2 == 0 ? 1 : -1);
      }
    }
  }
  model.threshold = {"nll", "gamma", 0.9, 123.5, {2.0, -1.0, 3.0}, 84, 3};
  model.normal.references = {{"score_zc", 80.5, 7.25}, {"nll", 110.0, 9.5}};
  model.provenance = {"0123abcd", "cbf29ce484222325", "a CPU", "2026-01-02T03:04:05Z", "1.0", 7, {"fan", "pump"}};
  return model;
}

ModelData example_checkpoint() {
  ModelData model = example_model();
  std::vector<float> all;
  for (const Tensor& tensor : model.parameters) {
    all.insert(all.end(), tensor.values.begin(), tensor.values.end());
  }
  const std::vector<float> moments(all.size(), 0.125f);
  model.optimizer = OptimizerData{moments, moments, 77};
  model.progress = ProgressData{5, 3, 7, 0.5, 1.25, 4, 3.5, 0};
  model.resume = ResumeData{all, moments, moments, 76, 24, 3, 0, 3.5, 9.0, 4.0};
  return model;
}

std::vector<Clip> example_clips() {
  return {{"a/1.wav", "fan", Split::train, 0, {100.0, 1.0}, "source", "00"},
          {"a/2.wav", "fan", Split::train, 0, {200.0, 4.0}, "source", "00"},
          {"b/\xC3\xBC.wav", "pump", Split::test, 1, {300.0, std::nan("")}, "target", "01"}};
}

std::vector<float> noise(size_t count) {
  std::mt19937 random(5);
  std::vector<float> out(count);
  for (float& value : out) {
    value = -80.0f + static_cast<float>(random() % 60'000) * 0.001f;
  }
  return out;
}

}  // namespace

std::vector<fs::path> write_examples(const fs::path& folder) {
  const FrontendSettings frontend{8000, "mean", 512, 256, PadMode::zero, 16};
  ShardWriter shard(folder / "shard.h5", frontend, {"speed_rpm", "load_kg"});
  for (const Clip& clip : example_clips()) {
    shard.append(clip, noise(150 * 16));
  }
  shard.finish();
  write_model(folder / "model.h5", example_model());
  write_model(folder / "checkpoint.h5", example_checkpoint());
  LatentsWriter latents(folder / "latents.h5", 4, 60, 20);
  latents.append(noise(240), noise(80));
  latents.finish({{0, 0, 1, 2},
                  {0, 16, 0, 0},
                  {{"log_det", {1.0, 2.0, 3.0, 4.0}}, {"nll", {5.0, 6.0, 7.0, std::nan("")}}},
                  {"speed_rpm"},
                  {100.0, 101.0, 200.0, 300.0},
                  example_clips(),
                  {"speed_rpm", "load_kg"}});
  Samples samples;
  samples.windows = 3;
  samples.bands = 16;
  samples.frames = 8;
  samples.logmel_db = noise(3 * 16 * 8);
  samples.names = {"speed_rpm"};
  samples.values = {std::nan("")};
  samples.model = "model.h5";
  write_samples(folder / "samples.h5", samples);
  return {folder / "shard.h5", folder / "model.h5", folder / "checkpoint.h5", folder / "latents.h5",
          folder / "samples.h5"};
}

}  // namespace evenflow::io::testing
