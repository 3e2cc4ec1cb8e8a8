#include "tests/frontend/sound_files.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numbers>
#include <random>
#include <stdexcept>

namespace evenflow::frontend::test {
namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "evenflow-frontend-XXXXXX").string();
  if (!::mkdtemp(name.data())) {
    throw std::runtime_error("no temporary folder");
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> TemporaryFolder::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) {
    names.push_back(entry.path().filename().string());
  }
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
  if (!sound) {
    throw std::runtime_error("cannot write " + file.string() + ": " + sf_strerror(nullptr));
  }
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

std::string WavBytes::text() const {
  const auto number = [](uint64_t value, int count) {
    std::string bytes;
    for (int i = 0; i < count; ++i) {
      bytes += static_cast<char>(value >> 8 * i & 0xff);
    }
    return bytes;
  };
  const auto frame = static_cast<uint64_t>(channels * bits / 8), rate = static_cast<uint64_t>(rate_hz);
  const std::string described = number(static_cast<uint64_t>(format), 2) + number(static_cast<uint64_t>(channels), 2) +
                                number(rate, 4) + number(rate * frame, 4) + number(frame, 2) +
                                number(static_cast<uint64_t>(bits), 2);
  const std::string rest = "WAVE" + before + "fmt " + number(described.size(), 4) + described + "data" +
                           number(data_size.value_or(static_cast<uint32_t>(sound.size())), 4) + sound + behind;
  return form + number(riff_size.value_or(static_cast<uint32_t>(rest.size())), 4) + rest;
}

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream out(file, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out) {
    throw std::runtime_error("cannot write " + file.string());
  }
}

void clear_end_of_stream(const fs::path& ogg) {
  std::string bytes = read_bytes(ogg);
  const size_t page = bytes.rfind("OggS");
  constexpr size_t flags = 5, checksum = 22;
  bytes[page + flags] = static_cast<char>(bytes[page + flags] & ~4);
  bytes.replace(page + checksum, 4, 4, '\0');
  uint32_t sum = 0;
  for (size_t i = page; i < bytes.size(); ++i) {
    sum ^= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << 24;
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum << 1) ^ (sum >> 31 ? 0x04c11db7u : 0u);
    }
  }
  for (size_t i = 0; i < 4; ++i) {
    bytes[page + checksum + i] = static_cast<char>(sum >> 8 * i & 0xff);
  }
  write_bytes(ogg, bytes);
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
  for (float& sample : samples) {
    sample = static_cast<float>(amplitude * (static_cast<double>(random()) / 2147483648.0 - 1.0));
  }
  return samples;
}

void cut(const fs::path& file, uint64_t bytes) {
  fs::resize_file(file, bytes);
}

void patch(const fs::path& file, uint64_t at, const std::string& bytes) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(at));
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out) {
    throw std::runtime_error("cannot patch " + file.string());
  }
}

}  // namespace evenflow::frontend::test
