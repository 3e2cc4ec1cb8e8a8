// Folders and sound files the frontend's tests make for themselves.
#pragma once

#include <sndfile.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace evenflow::frontend::test {

/// A folder of its own, gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Names in the folder, sorted.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

struct SoundFormat {
  int format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  int rate_hz = 16000;
  int channels = 1;
};

/// Writes interleaved samples.
void write_sound(const std::filesystem::path& file, const std::vector<float>& samples, const SoundFormat& format = {});
void write_sound(const std::filesystem::path& file, const std::vector<int16_t>& samples,
                 const SoundFormat& format = {});

/// A WAV byte by byte: as a recorder leaves it that wrote to a pipe, or was stopped.
struct WavBytes {
  std::string sound;
  int format = 1, channels = 1, rate_hz = 16000, bits = 16;  ///< format 1: whole numbers, 3: float
  std::optional<uint32_t> data_size = {}, riff_size = {};    ///< as the header has them; none: the truth
  std::string before = {}, behind = {};                      ///< chunks on either side of the sound
  std::string form = "RIFF";
  std::string text() const;
};

/// The values' bytes, little-endian.
template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string read_bytes(const std::filesystem::path& file);
void write_bytes(const std::filesystem::path& file, const std::string& bytes);

/// Clears the flag of an Ogg stream's last page that says it is the last, and mends the page's checksum.
void clear_end_of_stream(const std::filesystem::path& ogg);

/// amplitude * sin(2 pi frequency t).
std::vector<float> sine(double frequency_hz, double amplitude, int rate_hz, size_t count);
/// Uniform in [-amplitude, amplitude], a function of the seed.
std::vector<float> noise(double amplitude, size_t count, uint32_t seed = 1);

/// Cuts a file to its first `bytes` bytes.
void cut(const std::filesystem::path& file, uint64_t bytes);
/// Overwrites bytes in place.
void patch(const std::filesystem::path& file, uint64_t at, const std::string& bytes);

/// The text of the exception of type E that `action` throws; without one a sentence that says so.
template <class E>
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("[another exception] ") + error.what();
  }
  return "[no exception]";
}

}  // namespace evenflow::frontend::test
