// Feature shards: log-mel frames of many clips in one HDF5 file (layout: docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/config.h"
#include "io/manifest.h"

namespace evenflow::io {

/// Of a clip's frames [frames, bands], by which they are known again: the shard's `/clip/frames_sum`.
uint64_t frames_sum(std::span<const float> frames);

/// Writes a shard to a temporary name beside `file`; finish() fsyncs and renames. Without finish() nothing remains.
class ShardWriter {
 public:
  /// `device`: where the frames are computed. `categories`: the names that codes of parameters stand for; names that no
  /// clip has are left out of the shard.
  ShardWriter(const std::filesystem::path& file, const FrontendSettings& frontend,
              const std::vector<std::string>& parameter_names, const std::string& device = "cpu",
              const Categories& categories = {});
  ~ShardWriter();
  ShardWriter(ShardWriter&&) noexcept;
  ShardWriter& operator=(ShardWriter&&) noexcept;
  /// Appends a clip; `logmel_db` holds whole frames [frames, mel_bands] in dB. DataError on a full disk.
  void append(const Clip& clip, std::span<const float> logmel_db);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reads a shard. Opening checks structure and version; DataError names the file and what is wrong with it.
/// Reading is safe from several threads (serialised inside).
class Shard {
 public:
  explicit Shard(const std::filesystem::path& file);
  ~Shard();
  Shard(Shard&&) noexcept;
  Shard& operator=(Shard&&) noexcept;

  const std::filesystem::path& path() const;
  const FrontendSettings& frontend() const;
  /// Where the frames were computed: "cpu", "cuda:0".
  const std::string& device() const;
  const std::vector<std::string>& parameter_names() const;
  /// Of each parameter the names that its values are codes of, sorted by byte value; empty of a number.
  const Categories& categories() const;
  const std::vector<Clip>& clips() const;
  /// Clip i owns frames [offsets[i], offsets[i + 1]).
  const std::vector<int64_t>& offsets() const;
  int64_t frames() const;
  int mel_bands() const;
  /// Copies frames [first, first + count) in dB, [count, mel_bands].
  void read_frames(int64_t first, int64_t count, float* out) const;
  /// All of a clip's, [frames, mel_bands] in dB.
  std::vector<float> clip_frames(size_t clip) const;
  /// FNV-1a 64 over frames, offsets, parameters and their names, as 16 hex digits: the data's identity in a model's
  /// provenance.
  std::string data_hash() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// True if the file is HDF5 and looks like a shard.
bool is_shard(const std::filesystem::path& file);

}  // namespace evenflow::io
