// Decoding, channel choice, resampling, and every sentence about a file that cannot be used.
#include "frontend/audio.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <numbers>

#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using test::error_of;
using test::SoundFormat;
using test::TemporaryFolder;
using test::write_sound;
using testing::AllOf;
using testing::HasSubstr;

const io::FrontendSettings usual;

std::string data_error(const std::filesystem::path& file, const io::FrontendSettings& settings = usual) {
  return error_of<io::DataError>([&] { read_audio(file, settings); });
}

void expect_near(const std::vector<float>& came, const std::vector<float>& expected, double bound) {
  ASSERT_EQ(came.size(), expected.size());
  for (size_t i = 0; i < came.size(); ++i) {
    const double error = std::abs(static_cast<double>(came[i]) - static_cast<double>(expected[i]));
    if (!(error <= bound)) {
      FAIL() << "sample " << i << ": " << came[i] << ", expected " << expected[i];
    }
  }
}

TEST(ReadAudio, SixteenBitSamplesAreExact) {
  const TemporaryFolder folder;
  const std::vector<int16_t> samples{0, 1, -1, 32767, -32768, 12345, -23456};
  std::vector<float> expected;
  expected.reserve(samples.size());
  for (const int16_t sample : samples) {
    expected.push_back(static_cast<float>(sample) / 32768.0f);
  }
  for (const int format : {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                           SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, SF_FORMAT_RF64 | SF_FORMAT_PCM_16}) {
    write_sound(folder / "a.wav", samples, {.format = format});
    EXPECT_EQ(read_audio(folder / "a.wav", usual).samples, expected) << std::hex << format;
  }
}

TEST(ReadAudio, EveryWidth) {
  struct Width {
    int format;
    int bits;
  };
  const TemporaryFolder folder;
  const std::vector<float> samples = test::noise(0.9, 40001);
  for (const Width& width : {Width{SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8}, Width{SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16},
                             Width{SF_FORMAT_WAV | SF_FORMAT_PCM_24, 24}, Width{SF_FORMAT_WAV | SF_FORMAT_PCM_32, 25},
                             Width{SF_FORMAT_FLAC | SF_FORMAT_PCM_S8, 8}, Width{SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16},
                             Width{SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 24}}) {
    write_sound(folder / "a", samples, {.format = width.format});
    // Half a step of rounding, and libsndfile scales by 2^(n-1) - 1 on the way out: at most another step.
    expect_near(read_audio(folder / "a", usual).samples, samples, 1.5 * std::exp2(1 - width.bits) + 1e-7);
  }
  for (const int format : {SF_FORMAT_WAV | SF_FORMAT_FLOAT, SF_FORMAT_WAV | SF_FORMAT_DOUBLE}) {
    write_sound(folder / "a", samples, {.format = format});
    EXPECT_EQ(read_audio(folder / "a", usual).samples, samples);
  }
}

TEST(ReadAudio, OggVorbisIsNearAndWhole) {
  const TemporaryFolder folder;
  const std::vector<float> samples = test::sine(440.0, 0.5, 16000, 32000);
  write_sound(folder / "a.ogg", samples, {.format = SF_FORMAT_OGG | SF_FORMAT_VORBIS});
  const std::vector<float> came = read_audio(folder / "a.ogg", usual).samples;
  ASSERT_EQ(came.size(), samples.size());
  double error = 0.0;
  for (size_t i = 0; i < came.size(); ++i) {
    error += std::pow(static_cast<double>(came[i] - samples[i]), 2);
  }
  EXPECT_TRUE(std::sqrt(error / 32000.0) <= 0.01) << std::sqrt(error / 32000.0);
}

TEST(ReadAudio, ChannelIsTheMeanOrAnIndex) {
  const TemporaryFolder folder;
  const std::vector<float> left = test::noise(0.5, 20000, 1), right = test::noise(0.5, 20000, 2);
  std::vector<float> both, mean;
  for (size_t i = 0; i < left.size(); ++i) {
    both.insert(both.end(), {left[i], right[i]});
    mean.push_back((left[i] + right[i]) / 2.0f);
  }
  write_sound(folder / "a.wav", both, {.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .channels = 2});
  EXPECT_EQ(read_audio(folder / "a.wav", {.channel = "mean"}).samples, mean);
  EXPECT_EQ(read_audio(folder / "a.wav", {.channel = "0"}).samples, left);
  EXPECT_EQ(read_audio(folder / "a.wav", {.channel = "1"}).samples, right);
  EXPECT_THAT(data_error(folder / "a.wav", {.channel = "2"}),
              AllOf(HasSubstr("a.wav' has no channel 2: it has 2"), HasSubstr("below 2")));
  for (const char* wrong : {"left", "-1", "", "1x", "1.0", "99999999999"}) {
    EXPECT_THAT(error_of<io::UsageError>([&] { read_audio(folder / "a.wav", {.channel = wrong}); }),
                HasSubstr(std::string("frontend.channel = \"") + wrong + "\""));
  }
}

TEST(ReadAudio, MeanOfEightChannels) {
  const TemporaryFolder folder;
  std::vector<int16_t> samples;
  for (int16_t i = 0; i < 800; ++i) {
    samples.push_back(static_cast<int16_t>(i % 8 * 1000));
  }
  write_sound(folder / "a.wav", samples, {.channels = 8});
  EXPECT_EQ(read_audio(folder / "a.wav", usual).samples, std::vector<float>(100, 3500.0f / 32768.0f));
}

/// Amplitude at one frequency and root mean square of what is left, over the middle of the samples.
struct Tone {
  double amplitude, rest;
};
Tone fit(const std::vector<float>& samples, double frequency_hz, int rate_hz) {
  const size_t from = samples.size() / 4, to = samples.size() * 3 / 4;
  const double step = 2.0 * std::numbers::pi * frequency_hz / rate_hz;
  double ss = 0, sc = 0, cc = 0, xs = 0, xc = 0;
  for (size_t i = from; i < to; ++i) {
    const double s = std::sin(step * static_cast<double>(i)), c = std::cos(step * static_cast<double>(i));
    const double x = static_cast<double>(samples[i]);
    ss += s * s, sc += s * c, cc += c * c, xs += x * s, xc += x * c;
  }
  const double determinant = ss * cc - sc * sc;
  const double a = (xs * cc - xc * sc) / determinant, b = (xc * ss - xs * sc) / determinant;
  double rest = 0.0;
  for (size_t i = from; i < to; ++i) {
    const double angle = step * static_cast<double>(i);
    rest += std::pow(static_cast<double>(samples[i]) - a * std::sin(angle) - b * std::cos(angle), 2);
  }
  return {std::hypot(a, b), std::sqrt(rest / static_cast<double>(to - from))};
}

TEST(ReadAudio, ResamplingKeepsFrequencyLevelAndLength) {
  const TemporaryFolder folder;
  for (const int rate : {8000, 22050, 44100, 48000, 96000}) {
    const SoundFormat format{.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .rate_hz = rate};
    write_sound(folder / "a.wav", test::sine(1000.0, 0.5, rate, static_cast<size_t>(rate)), format);
    const std::vector<float> came = read_audio(folder / "a.wav", usual).samples;
    EXPECT_TRUE(std::abs(static_cast<double>(came.size()) - 16000.0) <= 1.0) << rate << " Hz: " << came.size();
    const Tone tone = fit(came, 1000.0, 16000);
    // 20 bits of quality: 1e-6 of full scale; the pass band's ripple is below 0.01 dB.
    EXPECT_TRUE(std::abs(tone.amplitude - 0.5) <= 5e-4) << rate << " Hz: " << tone.amplitude;
    EXPECT_TRUE(tone.rest <= 1e-5) << rate << " Hz: " << tone.rest;
  }
}

TEST(ReadAudio, ResamplingRemovesWhatWouldAlias) {
  const TemporaryFolder folder;
  write_sound(folder / "a.wav", test::sine(10000.0, 0.5, 44100, 44100),
              {.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .rate_hz = 44100});
  EXPECT_TRUE(fit(read_audio(folder / "a.wav", usual).samples, 6000.0, 16000).amplitude <= 1e-5);
}

TEST(ReadAudio, FilesThatAreNoSound) {
  const TemporaryFolder folder;
  EXPECT_THAT(data_error(folder / "no.wav"), HasSubstr("there is no file '"));
  EXPECT_THAT(data_error(folder.path()), HasSubstr("is not a file"));
  std::ofstream(folder / "empty.wav").close();
  EXPECT_THAT(data_error(folder / "empty.wav"), HasSubstr("empty.wav' is an empty file"));
  std::ofstream(folder / "text.wav") << "path,split\nthis is not sound at all, only text\n";
  EXPECT_THAT(data_error(folder / "text.wav"), HasSubstr("text.wav' is not a sound file"));
  std::ofstream(folder / "tiny.wav") << "RIFF";
  EXPECT_THAT(data_error(folder / "tiny.wav"), HasSubstr("tiny.wav' is not a sound file"));
  std::ofstream(folder / "tiny.w64") << "riff, cut";
  EXPECT_THAT(data_error(folder / "tiny.w64"), HasSubstr("tiny.w64' is not a sound file"));
}

TEST(ReadAudio, AFileWithoutReadPermission) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root reads every file";
  }
  const TemporaryFolder folder;
  write_sound(folder / "a.wav", test::noise(0.5, 100));
  std::filesystem::permissions(folder / "a.wav", std::filesystem::perms::none);
  EXPECT_THAT(data_error(folder / "a.wav"), AllOf(HasSubstr("cannot read '"), HasSubstr("Permission denied")));
}

TEST(ReadAudio, AWavWithoutSamples) {
  const TemporaryFolder folder;
  write_sound(folder / "a.wav", std::vector<float>{});
  EXPECT_THAT(data_error(folder / "a.wav"), HasSubstr("a.wav' holds no samples"));
}

TEST(ReadAudio, ATruncatedFileIsAnError) {
  const TemporaryFolder folder;
  const std::vector<float> samples = test::noise(0.5, 40000);
  write_sound(folder / "a.wav", samples);
  const uint64_t size = std::filesystem::file_size(folder / "a.wav");
  for (const uint64_t missing : {uint64_t{1}, uint64_t{1000}, size - 44}) {
    write_sound(folder / "a.wav", samples);
    test::cut(folder / "a.wav", size - missing);
    EXPECT_THAT(data_error(folder / "a.wav"),
                HasSubstr("a.wav' is truncated: its header promises 80000 bytes of sound, " +
                          std::to_string(80000 - missing) + " are there"));
  }
  write_sound(folder / "a.wav", samples, {.format = SF_FORMAT_RF64 | SF_FORMAT_PCM_16});
  test::cut(folder / "a.wav", 50000);
  EXPECT_THAT(data_error(folder / "a.wav"), HasSubstr("a.wav' is truncated"));

  write_sound(folder / "a.flac", samples, {.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16});
  test::cut(folder / "a.flac", std::filesystem::file_size(folder / "a.flac") / 2);
  EXPECT_THAT(data_error(folder / "a.flac"), HasSubstr("a.flac' is truncated: its header promises 40000 samples"));

  struct Chunked {
    const char* name;
    int format;
  };
  for (const Chunked& chunked : {Chunked{"a.w64", SF_FORMAT_W64}, Chunked{"a.aiff", SF_FORMAT_AIFF},
                                 Chunked{"a.caf", SF_FORMAT_CAF}, Chunked{"a.wav", SF_FORMAT_WAV | SF_ENDIAN_BIG}}) {
    write_sound(folder / chunked.name, samples, {.format = chunked.format | SF_FORMAT_PCM_16});
    test::cut(folder / chunked.name, std::filesystem::file_size(folder / chunked.name) - 1000);
    EXPECT_THAT(data_error(folder / chunked.name), HasSubstr("is truncated: its header promises 80000 bytes"));
  }
}

TEST(ReadAudio, AWavWrittenToAPipeHasNoLengthAndIsRead) {
  const TemporaryFolder folder;
  const std::vector<float> samples = test::noise(0.5, 1000);
  write_sound(folder / "a.wav", samples);
  test::patch(folder / "a.wav", 40, "\xff\xff\xff\xff");
  EXPECT_EQ(read_audio(folder / "a.wav", usual).samples.size(), samples.size());
}

TEST(ReadAudio, SamplesWhoseMeanIsTooLargeAreAnError) {
  const TemporaryFolder folder;
  write_sound(folder / "a.wav", std::vector<float>(2000, 3e38F),
              {.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .channels = 2});
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.wav", usual); }),
              HasSubstr("has samples too large to be averaged or resampled"));
}

TEST(ReadAudio, ASampleThatIsNoNumber) {
  const TemporaryFolder folder;
  const SoundFormat format{.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .channels = 2};
  std::vector<float> samples = test::noise(0.5, 80000);
  samples[2 * 24000 + 1] = std::numeric_limits<float>::quiet_NaN();
  write_sound(folder / "a.wav", samples, format);
  EXPECT_THAT(data_error(folder / "a.wav"),
              HasSubstr("a.wav' has a sample that is not a number: index 24000 (1.500 s), channel 1"));
  samples[2 * 24000 + 1] = -std::numeric_limits<float>::infinity();
  write_sound(folder / "a.wav", samples, format);
  EXPECT_THAT(data_error(folder / "a.wav"), HasSubstr("that is infinite: index 24000"));
  // Also in a channel that is not asked for: such a file is broken.
  EXPECT_THAT(data_error(folder / "a.wav", {.channel = "0"}), HasSubstr("that is infinite"));
}

TEST(OneChannel, SamplesInMemoryAreThoseOfAFile) {
  const TemporaryFolder folder;
  const std::vector<float> samples = test::noise(0.9, 3 * 20011);
  std::vector<float> room;
  for (const int rate : {16000, 44100, 8000}) {
    for (const int channels : {1, 3}) {
      write_sound(folder / "a.wav", samples,
                  {.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .rate_hz = rate, .channels = channels});
      for (const char* channel : {"mean", "0"}) {
        io::FrontendSettings settings;
        settings.channel = channel;
        const std::vector<float> expected = read_audio(folder / "a.wav", settings).samples;
        const auto found = one_channel("array", {samples, channels, rate}, settings, room);
        EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end()))
            << rate << " Hz, " << channels << " channels, " << channel;
      }
    }
  }
  EXPECT_EQ(one_channel("array", {samples, 1, usual.sample_rate_hz}, usual, room).data(), samples.data());
}

TEST(OneChannel, WhatCannotBeSound) {
  std::vector<float> samples(4000, 0.1F), room;
  const auto data_error_of = [&](const Samples& wrong, const io::FrontendSettings& settings = usual) {
    return error_of<io::DataError>([&] { one_channel("array", wrong, settings, room); });
  };
  for (const int rate : {-1, 0, 999, 1'000'001}) {
    EXPECT_THAT(error_of<io::UsageError>([&] {
                  one_channel("array", {samples, 1, rate}, usual, room);
                }),
                AllOf(HasSubstr(std::to_string(rate)), HasSubstr("1000 to 1000000 Hz")));
  }
  EXPECT_THAT(data_error_of({{}, 1, 16000}), HasSubstr("'array' holds no samples"));
  EXPECT_THAT(data_error_of({{}, 2, 8000}), HasSubstr("'array' holds no samples"));
  io::FrontendSettings second;
  second.channel = "1";
  EXPECT_THAT(data_error_of({samples, 1, 16000}, second), HasSubstr("'array' has no channel 1: it has 1"));
  samples[2001] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(data_error_of({samples, 2, 8000}), HasSubstr("not a number: index 1000 (0.125 s), channel 1"));
  samples[2001] = std::numeric_limits<float>::max();
  samples[2000] = std::numeric_limits<float>::max();
  EXPECT_THAT(data_error_of({samples, 2, 16000}), HasSubstr("too large to be averaged"));
}

TEST(WriteWav, RoundTripClipsAndIsAtomic) {
  const TemporaryFolder folder;
  const std::vector<float> samples{0.0f, 1.0f / 32768.0f, -1.0f, 0.5f, 1.0f, 7.0f, -7.0f};
  write_wav(folder / "a.wav", samples, 22050);
  const std::vector<float> expected{0.0f, 1.0f / 32768.0f, -1.0f, 0.5f, 32767.0f / 32768.0f, 32767.0f / 32768.0f,
                                    -1.0f};
  EXPECT_EQ(read_audio(folder / "a.wav", {.sample_rate_hz = 22050}).samples, expected);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.wav"});
  EXPECT_THAT(error_of<io::DataError>([&] {
                write_wav(folder / "a.wav", {0.0f, std::numeric_limits<float>::quiet_NaN()}, 22050);
              }),
              HasSubstr("sample 1 is not a number"));
  EXPECT_EQ(read_audio(folder / "a.wav", {.sample_rate_hz = 22050}).samples, expected);
  EXPECT_THAT(error_of<io::DataError>([&] { write_wav(folder / "no" / "a.wav", samples, 22050); }),
              HasSubstr("cannot write '"));
}

}  // namespace
}  // namespace evenflow::frontend
