#include "train/loop/event_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "io/error.h"
#include "train/loop/event.pb.h"

namespace evenflow::train {
namespace {

static_assert(std::endian::native == std::endian::little, "event files are little-endian");

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    }
    table[i] = crc;
  }
  return table;
}

/// TFRecord's mask: a CRC stored inside the data it covers must not look like one.
uint32_t masked_crc(std::span<const uint8_t> bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

event::Event make_event(int64_t step) {
  event::Event event;
  event.set_wall_time(wall_time());
  event.set_step(step);
  return event;
}

void append(std::string& out, uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

[[noreturn]] void fail(const char* what, const std::filesystem::path& file, int error) {
  throw io::DataError(fmt::format("event log: cannot {} '{}': {}", what, file.string(), std::strerror(error)));
}

}  // namespace

uint32_t crc32c(std::span<const uint8_t> bytes) {
  static constexpr std::array<uint32_t, 256> table = make_crc_table();
  uint32_t crc = 0xFFFFFFFFu;
  for (const uint8_t byte : bytes) {
    crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFFu];
  }
  return ~crc;
}

EventLog::EventLog(const std::filesystem::path& folder, int64_t first_step) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    fail("create the folder", folder, error.value());
  }
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) {
    std::strcpy(host.data(), "localhost");
  }
  static std::atomic<unsigned> counter{0};
  // TensorBoard reads the files of a folder in the order of their names, so time comes first.
  const auto name = fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<int64_t>(wall_time()), host.data(),
                                ::getpid(), counter++);
  file_ = folder / name;
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    fail("create", file_, errno);
  }
  try {
    event::Event version = make_event(0);
    version.set_file_version("brain.Event:2");
    write_record(version.SerializeAsString());
    if (first_step > 0) {
      event::Event start = make_event(first_step);
      start.mutable_session_log()->set_status(event::SessionLog::START);
      write_record(start.SerializeAsString());
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

EventLog::~EventLog() {
  ::fsync(descriptor_);
  ::close(descriptor_);
}

void EventLog::scalar(std::string_view tag, double value, int64_t step) {
  const std::pair<std::string, double> one{tag, value};
  scalars({&one, 1}, step);
}

void EventLog::scalars(std::span<const std::pair<std::string, double>> values, int64_t step) {
  event::Event event = make_event(step);
  for (const auto& [tag, value] : values) {
    event::Summary::Value& entry = *event.mutable_summary()->add_value();
    entry.set_tag(tag);
    entry.set_simple_value(static_cast<float>(value));
  }
  write_record(event.SerializeAsString());
}

void EventLog::picture(std::string_view tag, std::span<const uint8_t> png, int64_t step) {
  static constexpr std::array<uint8_t, 8> signature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr size_t header_end = 26;  // signature, then the IHDR chunk up to its colour type
  if (png.size() < header_end || !std::equal(signature.begin(), signature.end(), png.begin())) {
    throw io::DataError(fmt::format("event log: the picture '{}' is not a PNG", tag));
  }
  const auto big_endian = [&](size_t at) {
    return static_cast<int32_t>(static_cast<uint32_t>(png[at]) << 24 | static_cast<uint32_t>(png[at + 1]) << 16 |
                                static_cast<uint32_t>(png[at + 2]) << 8 | static_cast<uint32_t>(png[at + 3]));
  };
  event::Event event = make_event(step);
  event::Summary::Value& entry = *event.mutable_summary()->add_value();
  entry.set_tag(std::string(tag));
  event::Summary::Image& image = *entry.mutable_image();
  image.set_width(big_endian(16));
  image.set_height(big_endian(20));
  const uint8_t colour_type = png[25];
  image.set_colorspace(colour_type == 0 ? 1 : colour_type == 4 ? 2 : colour_type == 6 ? 4 : 3);
  image.set_encoded_image_string(png.data(), png.size());
  write_record(event.SerializeAsString());
}

void EventLog::flush() {
  if (::fsync(descriptor_) != 0) {
    fail("flush", file_, errno);
  }
}

void EventLog::write_record(std::string_view message) {
  const uint64_t length = message.size();
  std::string record(reinterpret_cast<const char*>(&length), sizeof length);
  append(record, masked_crc(bytes_of(record)));
  record += message;
  append(record, masked_crc(bytes_of(message)));
  std::string_view rest = record;
  while (!rest.empty()) {
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail("write", file_, errno);
    }
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace evenflow::train
