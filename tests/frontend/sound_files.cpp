#include "tests/frontend/sound_files.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <random>
#include <stdexcept>

namespace evenflow::frontend::test {
namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "evenflow-frontend-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> TemporaryFolder::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

template <class T, class Write>
void write_with(const fs::path& file, const std::vector<T>& samples, const SoundFormat& format, Write write) {
  SF_INFO info{};
  info.format = format.format;
  info.samplerate = format.rate_hz;
  info.channels = format.channels;
  SNDFILE* sound = sf_open(file.c_str(), SFM_WRITE, &info);
  if (!sound) throw std::runtime_error("cannot write " + file.string() + ": " + sf_strerror(nullptr));
  const auto frames = static_cast<sf_count_t>(samples.size()) / format.channels;
  // In pieces: libsndfile's Vorbis encoder overflows its stack on one long call.
  for (sf_count_t at = 0; at < frames; at += 4096) {
    const sf_count_t count = std::min<sf_count_t>(4096, frames - at);
    if (write(sound, samples.data() + at * format.channels, count) != count) {
      throw std::runtime_error("cannot write " + file.string());
    }
  }
  sf_close(sound);
}

}  // namespace

void write_sound(const fs::path& file, const std::vector<float>& samples, const SoundFormat& format) {
  write_with(file, samples, format, sf_writef_float);
}

void write_sound(const fs::path& file, const std::vector<int16_t>& samples, const SoundFormat& format) {
  write_with(file, samples, format, sf_writef_short);
}

std::vector<float> sine(double frequency_hz, double amplitude, int rate_hz, size_t count) {
  std::vector<float> samples(count);
  for (size_t i = 0; i < count; ++i) {
    const double turns = frequency_hz * static_cast<double>(i) / rate_hz;
    samples[i] = static_cast<float>(amplitude * std::sin(2.0 * std::numbers::pi * turns));
  }
  return samples;
}

std::vector<float> noise(double amplitude, size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> samples(count);
  for (float& sample : samples)
    sample = static_cast<float>(amplitude * (static_cast<double>(random()) / 2147483648.0 - 1.0));
  return samples;
}

void cut(const fs::path& file, uint64_t bytes) {
  fs::resize_file(file, bytes);
}

void patch(const fs::path& file, uint64_t at, const std::string& bytes) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(at));
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out) throw std::runtime_error("cannot patch " + file.string());
}

}  // namespace evenflow::frontend::test
