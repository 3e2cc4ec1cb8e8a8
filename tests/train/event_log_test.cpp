// Event files, read back by a reader of the test's own: TFRecord framing, checksums and protobuf's wire format, with
// TensorFlow's field numbers written out here, so that event.proto is checked too.
#include "train/loop/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "io/error.h"
#include "train/loop/scatter_picture.h"

namespace evenflow::train {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("event_log_test." + std::to_string(::getpid()))) {
    fs::remove_all(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T>
T get(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t bitwise_crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int i = 0; i < 8; ++i) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
    }
  }
  return ~crc;
}

uint32_t mask(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

/// The whole records of a file; checks both checksums of each. `rest` is what a torn last record left.
std::vector<std::string> records(const std::string& bytes, size_t* rest = nullptr) {
  std::vector<std::string> result;
  size_t at = 0;
  while (at + 12 <= bytes.size()) {
    const auto length = get<uint64_t>(bytes, at);
    EXPECT_EQ(get<uint32_t>(bytes, at + 8), mask(bitwise_crc32c(bytes.substr(at, 8))));
    if (at + 12 + length + 4 > bytes.size()) {
      break;
    }
    result.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(get<uint32_t>(bytes, at + 12 + length), mask(bitwise_crc32c(result.back())));
    at += 16 + length;
  }
  if (rest != nullptr) {
    *rest = bytes.size() - at;
  }
  return result;
}

/// One protobuf message: field number to values; varints and fixed ones as 64 bits, the others as bytes.
struct Message {
  std::multimap<int, uint64_t> numbers;
  std::multimap<int, std::string> bytes;
};

Message parse(const std::string& data) {
  Message message;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; at < data.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(data[at++]);
      value |= static_cast<uint64_t>(byte & 0x7Fu) << shift;
      if (byte < 0x80) {
        break;
      }
    }
    return value;
  };
  while (at < data.size()) {
    const uint64_t key = varint();
    const int field = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0:
        message.numbers.emplace(field, varint());
        break;
      case 1:
        message.numbers.emplace(field, get<uint64_t>(data, at));
        at += 8;
        break;
      case 5:
        message.numbers.emplace(field, get<uint32_t>(data, at));
        at += 4;
        break;
      case 2: {
        const uint64_t size = varint();
        message.bytes.emplace(field, data.substr(at, size));
        at += size;
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return message;
    }
  }
  return message;
}

double as_double(uint64_t bits) {
  return std::bit_cast<double>(bits);
}
float as_float(uint64_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}
std::string only(const Message& message, int field) {
  EXPECT_EQ(message.bytes.count(field), 1u) << "field " << field;
  return message.bytes.count(field) == 1 ? message.bytes.find(field)->second : std::string();
}
uint64_t number(const Message& message, int field) {
  return message.numbers.count(field) == 1 ? message.numbers.find(field)->second : 0;
}

TEST(EventLog, Crc32cOfTheRfc) {
  const std::string digits = "123456789";
  const auto bytes = std::span(reinterpret_cast<const uint8_t*>(digits.data()), digits.size());
  EXPECT_EQ(crc32c(bytes), 0xE3069283u);
  const std::vector<uint8_t> zeros(32, 0);
  EXPECT_EQ(crc32c(zeros), 0x8A9136AAu);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(EventLog, ScalarsComeBack) {
  const Folder folder;
  fs::path file;
  {
    EventLog log(folder.path() / "deep" / "er");
    file = log.file();
    EXPECT_THAT(file.filename().string(), testing::StartsWith("events.out.tfevents."));
    log.scalar("loss/train", 1.25, 1);
    log.scalar("loss/train", std::numeric_limits<double>::quiet_NaN(), int64_t{1} << 40);
    const std::vector<std::pair<std::string, double>> several = {{"a", -2.0}, {"b", INFINITY}};
    log.scalars(several, 3);
    // Readable before any flush: a training that is killed keeps its curve.
    EXPECT_EQ(records(read(file)).size(), 4u);
    log.flush();
  }
  size_t rest = 0;
  const auto all = records(read(file), &rest);
  EXPECT_EQ(rest, 0u);
  ASSERT_EQ(all.size(), 4u);
  const Message version = parse(all[0]);
  EXPECT_EQ(only(version, 3), "brain.Event:2");
  EXPECT_NEAR(as_double(number(version, 1)), static_cast<double>(std::time(nullptr)), 60.0);

  const Message first = parse(all[1]);
  EXPECT_EQ(number(first, 2), 1u);
  const Message value = parse(only(parse(only(first, 5)), 1));
  EXPECT_EQ(only(value, 1), "loss/train");
  EXPECT_EQ(as_float(number(value, 2)), 1.25f);

  const Message second = parse(all[2]);
  EXPECT_EQ(number(second, 2), uint64_t{1} << 40);
  EXPECT_TRUE(std::isnan(as_float(number(parse(only(parse(only(second, 5)), 1)), 2))));

  const Message third = parse(only(parse(all[3]), 5));
  ASSERT_EQ(third.bytes.count(1), 2u);
  const auto [from, to] = third.bytes.equal_range(1);
  const Message b = parse(std::next(from)->second);
  EXPECT_EQ(only(b, 1), "b");
  EXPECT_EQ(as_float(number(b, 2)), std::numeric_limits<float>::infinity());
}

TEST(EventLog, PictureComesBack) {
  const Folder folder;
  const auto png = draw_scatter({.width_px = 200, .height_px = 170});
  EventLog log(folder.path());
  log.picture("zd/velocity_mm_s", png, 7);
  const auto all = records(read(log.file()));
  ASSERT_EQ(all.size(), 2u);
  const Message value = parse(only(parse(only(parse(all[1]), 5)), 1));
  EXPECT_EQ(only(value, 1), "zd/velocity_mm_s");
  const Message image = parse(only(value, 4));
  EXPECT_EQ(number(image, 1), 170u);
  EXPECT_EQ(number(image, 2), 200u);
  EXPECT_EQ(number(image, 3), 3u);
  EXPECT_EQ(only(image, 4), std::string(png.begin(), png.end()));
  EXPECT_THROW(log.picture("x", std::vector<uint8_t>(40, 1), 7), io::DataError);
  EXPECT_THROW(log.picture("x", std::span(png).first(20), 7), io::DataError);
}

TEST(EventLog, ResumeStartsAnotherFileAtItsStep) {
  const Folder folder;
  EventLog first(folder.path());
  first.scalar("loss", 1.0, 10);
  EventLog second(folder.path(), 8);
  second.scalar("loss", 2.0, 8);
  EXPECT_NE(first.file(), second.file());
  EXPECT_LT(first.file().filename(), second.file().filename());
  const auto all = records(read(second.file()));
  ASSERT_EQ(all.size(), 3u);
  const Message start = parse(all[1]);
  EXPECT_EQ(number(start, 2), 8u);
  EXPECT_EQ(number(parse(only(start, 7)), 1), 1u);
}

TEST(EventLog, TornTailLeavesTheRestReadable) {
  const Folder folder;
  EventLog log(folder.path());
  for (int step = 0; step < 5; ++step) {
    log.scalar("loss", step, step);
  }
  const std::string bytes = read(log.file());
  size_t rest = 0;
  EXPECT_EQ(records(bytes.substr(0, bytes.size() - 3), &rest).size(), 5u);
  EXPECT_GT(rest, 0u);
}

TEST(EventLog, SaysWhyItCannotWrite) {
  const Folder folder;
  fs::create_directories(folder.path());
  std::ofstream(folder.path() / "file") << "x";
  try {
    EventLog log(folder.path() / "file" / "below");
    FAIL();
  } catch (const io::DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("below"));
  }
}

}  // namespace
}  // namespace evenflow::train
