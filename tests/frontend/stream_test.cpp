// Sound as it arrives: frames, resampling, raw samples and headers are those of the same sound in a file, bit by bit.
#include "frontend/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "frontend/audio.h"
#include "frontend/pcm.h"
#include "frontend/resample.h"
#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using test::error_of;
using test::noise;
using test::WavBytes;

/// Calls take(piece) with pieces of lengths from 1 to `longest`.
template <class Take>
void in_pieces(std::span<const float> samples, size_t longest, uint32_t seed, const Take& take) {
  std::mt19937 random(seed);
  while (!samples.empty()) {
    const size_t count = std::min<size_t>(samples.size(), 1 + random() % longest);
    take(samples.first(count));
    samples = samples.subspan(count);
  }
}

std::vector<io::FrontendSettings> several_settings() {
  std::vector<io::FrontendSettings> all;
  for (const io::PadMode pad : {io::PadMode::reflect, io::PadMode::zero}) {
    for (const auto& [n_fft, hop] : {std::pair{1024, 512}, {64, 16}, {64, 32}, {64, 100}, {60, 7}, {32, 33}}) {
      io::FrontendSettings settings;
      settings.n_fft = n_fft;
      settings.hop_samples = hop;
      settings.mel_bands = 8;
      settings.pad_mode = pad;
      all.push_back(settings);
    }
  }
  return all;
}

TEST(StreamLogMel, IsThatOfTheWholeClipHoweverItIsCut) {
  for (const io::FrontendSettings& settings : several_settings()) {
    LogMel transform(settings), of_stream(settings);
    StreamLogMel stream(settings, of_stream);
    const auto least = static_cast<size_t>(transform.least_samples());
    for (const size_t count : {least, least + 1, size_t{512}, size_t{600}, size_t{1024}, size_t{4096}, size_t{5001}}) {
      if (count < least) {
        continue;
      }
      const std::vector<float> samples = noise(0.5, count, static_cast<uint32_t>(count));
      for (const size_t longest : {size_t{1}, size_t{50}, size_t{3000}}) {
        std::vector<float> frames;
        in_pieces(samples, longest, 3, [&](std::span<const float> piece) { stream.push(piece, frames); });
        stream.finish(frames);
        EXPECT_EQ(frames, transform(samples)) << "n_fft " << settings.n_fft << ", hop " << settings.hop_samples << ", "
                                              << count << " samples, pieces up to " << longest;
      }
    }
  }
}

TEST(StreamLogMel, AFrameIsThereWithItsLastSample) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  const std::vector<float> samples = noise(0.5, 10240);
  const auto frames_after = [&](size_t count) {
    std::vector<float> frames;
    StreamLogMel fresh(settings, transform);
    fresh.push(std::span(samples).first(count), frames);
    return frames.size() / static_cast<size_t>(settings.mel_bands);
  };
  EXPECT_EQ(frames_after(512), 0u);
  EXPECT_EQ(frames_after(513), 1u);  // the first is mirrored about sample 0, which takes one more
  EXPECT_EQ(frames_after(1023), 1u);
  EXPECT_EQ(frames_after(1024), 2u);  // the second holds [0, 1024)
  EXPECT_EQ(frames_after(5 * 512 + 511), 5u);
  EXPECT_EQ(frames_after(5 * 512 + 512), 6u);
}

TEST(StreamLogMel, RefusesAClipTooShortToPad) {
  const io::FrontendSettings settings;
  LogMel transform(settings);
  StreamLogMel stream(settings, transform);
  std::vector<float> frames;
  stream.push(noise(0.5, 512), frames);
  EXPECT_THROW(stream.finish(frames), std::invalid_argument);
}

TEST(Resampler, IsThatOfTheWholeRecordingHoweverItIsCut) {
  for (const auto& [from, to] :
       {std::pair{44100, 16000}, {48000, 16000}, {8000, 16000}, {16000, 11025}, {96000, 16000}}) {
    std::vector<float> samples = noise(0.5, 30000);
    std::fill(samples.begin(), samples.begin() + 4000, 0.25f);  // it begins with one value
    std::vector<float> whole;
    Resampler resampler(from, to);
    resampler.push(samples, whole);
    resampler.finish(whole);
    for (const size_t longest : {size_t{7}, size_t{1000}, size_t{20000}}) {
      std::vector<float> out;
      in_pieces(samples, longest, 5, [&](std::span<const float> piece) { resampler.push(piece, out); });
      resampler.finish(out);
      EXPECT_EQ(out, whole) << from << " to " << to << ", pieces up to " << longest;
    }
  }
}

TEST(Resampler, OneValueStaysOneValue) {
  Resampler resampler(48000, 16000);
  std::vector<float> out;
  for (int i = 0; i < 3; ++i) {
    resampler.push(std::vector<float>(1000, 0.5f), out);
  }
  EXPECT_TRUE(out.empty());
  resampler.finish(out);
  EXPECT_EQ(out, std::vector<float>(1000, 0.5f));
}

struct Coding {
  SampleFormat format;
  int subtype;
};

TEST(Pcm, RawSamplesAreThoseOfTheFile) {
  const test::TemporaryFolder folder;
  for (const Coding& coding :
       {Coding{SampleFormat::s16le, SF_FORMAT_PCM_16}, Coding{SampleFormat::s24le, SF_FORMAT_PCM_24},
        Coding{SampleFormat::s32le, SF_FORMAT_PCM_32}, Coding{SampleFormat::f32le, SF_FORMAT_FLOAT}}) {
    const auto file = folder / "a.wav";
    test::write_sound(file, noise(1.0, 5000), {SF_FORMAT_WAV | coding.subtype, 16000, 1});
    const std::string bytes = test::read_bytes(file);
    const std::optional<WavHeader> header = parse_wav_header(bytes, "a.wav");
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->format, (PcmFormat{coding.format, 16000, 1}));
    EXPECT_EQ(header->sound_bytes, 5000 * sample_bytes(coding.format));
    std::vector<float> samples;
    decode_pcm(std::string_view(bytes).substr(header->bytes, *header->sound_bytes), coding.format, samples);
    EXPECT_EQ(samples, read_audio(file, {}).samples) << io::name_of(coding.format);
  }
}

TEST(Pcm, TheEndsOfTheScale) {
  std::vector<float> out;
  decode_pcm(std::string_view("\xff\x7f\x00\x80", 4), SampleFormat::s16le, out);
  EXPECT_EQ(out, (std::vector<float>{full_scale(SampleFormat::s16le), -1.0f}));
  out.clear();
  decode_pcm(std::string_view("\xff\xff\x7f\x00\x00\x80", 6), SampleFormat::s24le, out);
  EXPECT_EQ(out, (std::vector<float>{full_scale(SampleFormat::s24le), -1.0f}));
  out.clear();
  decode_pcm(std::string_view("\xff\xff\xff\x7f\x00\x00\x00\x80", 8), SampleFormat::s32le, out);
  EXPECT_EQ(out, (std::vector<float>{full_scale(SampleFormat::s32le), -1.0f}));
}

TEST(WavStream, ALengthThatTheRecorderDidNotKnowIsNone) {
  for (const uint32_t size : {0u, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0xffffffdau}) {
    WavBytes wav{std::string(100, 'a')};
    wav.data_size = size;
    wav.before = std::string("LIST") + std::string("\x04\0\0\0", 4) + "abcd";
    const std::optional<WavHeader> header = parse_wav_header(wav.text(), "standard input");
    ASSERT_TRUE(header.has_value());
    EXPECT_FALSE(header->sound_bytes.has_value()) << size;
    EXPECT_EQ(header->bytes, wav.text().size() - 100);
  }
}

TEST(WavStream, AsksForMoreUntilTheHeaderIsThere) {
  const WavBytes wav{std::string(100, 'a')};
  const std::string text = wav.text();
  for (size_t count = 0; count < text.size() - 100; ++count) {
    EXPECT_FALSE(parse_wav_header(std::string_view(text).substr(0, count), "standard input").has_value()) << count;
  }
  EXPECT_TRUE(parse_wav_header(std::string_view(text).substr(0, text.size() - 100), "standard input").has_value());
}

TEST(WavStream, RefusesWhatCannotBeMonitored) {
  const auto refused = [](WavBytes wav) {
    return error_of<io::DataError>([&] { parse_wav_header(wav.text(), "standard input"); });
  };
  WavBytes bytes_wide{std::string(100, 'a')};
  bytes_wide.bits = 8;
  EXPECT_NE(refused(bytes_wide).find("8 bits"), std::string::npos);
  WavBytes slow{std::string(100, 'a')};
  slow.rate_hz = 10;
  EXPECT_NE(refused(slow).find("10 Hz"), std::string::npos);
  WavBytes wide{std::string(100, 'a')};
  wide.channels = 9999;
  EXPECT_NE(refused(wide).find("standard input has 9999 channels at 16000 Hz by its WAV header, and only 1 to 1024"),
            std::string::npos);
  WavBytes laws{std::string(100, 'a')};
  laws.format = 7;
  EXPECT_NE(refused(laws).find("coding 7"), std::string::npos);
  EXPECT_NE(error_of<io::DataError>([] { parse_wav_header(std::string(20, 'x'), "'a'"); }).find("WAV"),
            std::string::npos);
}

}  // namespace
}  // namespace evenflow::frontend
