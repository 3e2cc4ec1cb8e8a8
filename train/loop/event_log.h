// TensorBoard event files: scalars and pictures over steps, readable while the training runs and after a crash.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenflow::train {

/// Appends to one events.out.tfevents.* file of its own; a resumed run starts another in the same folder, which is
/// TensorBoard's convention. Each call hands one whole record to the system, so a process that dies loses nothing it
/// wrote and a machine that dies loses at most what came after the last flush(). Every function throws io::DataError
/// naming the file and the system's reason (full disk, no permission). One thread at a time.
class EventLog {
 public:
  /// Creates `folder` where missing. `first_step`: TensorBoard forgets what earlier files of the folder say of this
  /// step and later ones, so that steps repeated after a crash show once; 0 for a fresh run.
  explicit EventLog(const std::filesystem::path& folder, int64_t first_step = 0);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  /// One value under `tag` ("loss/train"), stored as float32; NaN and infinities are legal and shown as such.
  void scalar(std::string_view tag, double value, int64_t step);
  /// Several values of one step in one record.
  void scalars(std::span<const std::pair<std::string, double>> values, int64_t step);
  /// A picture as PNG bytes; io::DataError if they are not a PNG.
  void picture(std::string_view tag, std::span<const uint8_t> png, int64_t step);
  /// On disk when it returns. The destructor flushes too, but says nothing of a failure.
  void flush();

  const std::filesystem::path& file() const { return file_; }

 private:
  void write_record(std::string_view message);

  std::filesystem::path file_;
  int descriptor_ = -1;
};

/// CRC32C (Castagnoli, reflected), as in RFC 3720; "123456789" gives 0xE3069283.
uint32_t crc32c(std::span<const uint8_t> bytes);

}  // namespace evenflow::train
