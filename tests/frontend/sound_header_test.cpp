// Headers that lie: what recorders leave that write to a pipe or are stopped is read to its end, what is cut is not.
#include "frontend/sound_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "frontend/audio.h"
#include "io/error.h"
#include "tests/frontend/sound_files.h"

namespace evenflow::frontend {
namespace {

using test::bytes_of;
using test::error_of;
using test::read_bytes;
using test::TemporaryFolder;
using test::WavBytes;
using test::write_bytes;
using test::write_sound;
using testing::HasSubstr;

const io::FrontendSettings settings;

std::string sound16(size_t samples = 3001) {
  std::vector<int16_t> values;
  for (const float x : test::noise(0.5, samples)) {
    values.push_back(static_cast<int16_t>(std::lrint(x * 32767.0F)));
  }
  return bytes_of(values);
}

/// The samples and the note of a file with these bytes.
Audio audio_of(const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.wav", bytes);
  return read_audio(folder / "a.wav", settings);
}

std::string error_with(const std::string& bytes) {
  return error_of<io::DataError>([&] { audio_of(bytes); });
}

/// Of what recorders write before they know: pipes, kills, and their roundings to whole frames.
constexpr uint32_t placeholders[] = {0,          0x7f000000, 0x7fffeffe, 0x7ffff000, 0x7fffff00, 0x7fffffdb, 0x7fffffff,
                                     0x80000000, 0x80000024, 0xfffffff0, 0xffffffdb, 0xfffffffe, 0xffffffff};

const std::string remark("LIST\x0e\0\0\0INFOISFT\x02\0\0\0x\0", 22);

TEST(SoundHeader, AWavWithoutALengthIsReadToItsEnd) {
  const std::vector<WavBytes> recorders{
      {.sound = sound16()},
      {.sound = sound16(3000), .channels = 2},
      {.sound = sound16(3000).substr(0, 5994), .channels = 2, .bits = 24},
      {.sound = bytes_of(test::noise(0.5, 1000)), .format = 3, .bits = 32},
      {.sound = sound16(500), .bits = 8},
      {.sound = sound16(), .before = remark},
      {.sound = sound16(), .behind = remark},
  };
  for (const WavBytes& recorder : recorders) {
    const Audio whole = audio_of(recorder.text());
    EXPECT_EQ(whole.source.note, "");
    for (const uint32_t size : placeholders) {
      for (const uint32_t riff_size : {0u, 36u, size + 36u, 0xffffffffu}) {
        WavBytes streamed = recorder;
        streamed.data_size = size;
        streamed.riff_size = riff_size;
        const Audio came = audio_of(streamed.text());
        ASSERT_EQ(came.samples, whole.samples) << std::hex << size << ", RIFF " << riff_size;
        ASSERT_THAT(came.source.note, HasSubstr("without a length in the header"));
      }
    }
  }
}

TEST(SoundHeader, AnUnfinishedLastFrameIsDropped) {
  const std::string sound = sound16(3000);
  const WavBytes whole{.sound = sound, .channels = 2};
  const WavBytes stopped{.sound = sound + "\x01\x02\x03", .channels = 2, .data_size = 0xffffffff};
  EXPECT_EQ(audio_of(stopped.text()).samples, audio_of(whole.text()).samples);
}

TEST(SoundHeader, APlausibleSizeThatIsNotThereIsTruncated) {
  const std::string sound = sound16();
  for (const uint32_t size : {6004u, 20000u, 1u << 20, 0x40000000u, 0x90000000u}) {
    EXPECT_THAT(error_with(WavBytes{.sound = sound, .data_size = size}.text()),
                HasSubstr("is truncated: its header promises " + std::to_string(size) + " bytes of sound, 6002 are"));
  }
}

TEST(SoundHeader, AFileThatHoldsNothingHoldsNoSamples) {
  for (const uint32_t size : {0u, 0x7fffffffu, 0xffffffffu}) {
    for (const std::string& behind : {std::string(), remark}) {
      EXPECT_THAT(error_with(WavBytes{.sound = "", .data_size = size, .behind = behind}.text()),
                  HasSubstr("holds no samples"));
    }
  }
}

TEST(SoundHeader, WhatLiesBehindThePromisedSoundIsSaid) {
  const std::string sound = sound16();
  const Audio came = audio_of(WavBytes{.sound = sound, .behind = std::string(50, '\x7f')}.text());
  EXPECT_EQ(came.samples, audio_of(WavBytes{.sound = sound}.text()).samples);
  EXPECT_THAT(came.source.note, HasSubstr("more after the sound that the header promises"));
}

TEST(SoundHeader, Rf64WithoutALength) {
  const std::string sound = sound16();
  const std::vector<float> samples = audio_of(WavBytes{.sound = sound}.text()).samples;
  for (const char* form : {"RF64", "BW64"}) {
    for (const char size : {'\0', '\xff'}) {
      const std::string sizes = std::string("ds64\x1c\0\0\0", 8) + std::string(24, size) + std::string(4, '\0');
      const Audio came = audio_of(
          WavBytes{.sound = sound, .data_size = 0xffffffff, .riff_size = 0xffffffff, .before = sizes, .form = form}
              .text());
      EXPECT_EQ(came.samples, samples) << form;
      EXPECT_THAT(came.source.note, HasSubstr("without a length"));
    }
  }
}

TEST(SoundHeader, ASizeOf64BitsIsAPlaceholderOnlyWhereNoSoundIsSoLong) {
  const std::string sound = sound16();
  for (const uint64_t size : {uint64_t{4'300'000'000}, uint64_t{1} << 31, uint64_t{1} << 33}) {
    std::string sizes = std::string("ds64\x1c\0\0\0", 8) + std::string(28, '\0');
    for (size_t i = 0; i < 8; ++i) {
      sizes[16 + i] = static_cast<char>(size >> 8 * i & 0xff);
    }
    const WavBytes cut{
        .sound = sound, .data_size = 0xffffffff, .riff_size = 0xffffffff, .before = sizes, .form = "RF64"};
    EXPECT_THAT(error_with(cut.text()),
                HasSubstr("is truncated: its header promises " + std::to_string(size) + " bytes of sound, 6002 are"));
  }
}

TEST(SoundHeader, W64AndCafWithoutALength) {
  struct Case {
    int format;
    std::string sound_chunk, unknown;
    size_t size_behind;  // from the chunk's name to its size
  };
  const TemporaryFolder folder;
  for (const Case& c : {Case{SF_FORMAT_W64, "data\xf3\xac\xd3\x11", "\xff\xff\xff\xff\xff\xff\xff\x7f", 16},
                        Case{SF_FORMAT_W64, "data\xf3\xac\xd3\x11", std::string(8, '\0'), 16},
                        Case{SF_FORMAT_CAF, "data", std::string(8, '\xff'), 4}}) {
    write_sound(folder / "a", test::noise(0.5, 3001), {.format = c.format | SF_FORMAT_PCM_16});
    const Audio whole = read_audio(folder / "a", settings);
    EXPECT_EQ(whole.source.note, "");
    test::patch(folder / "a", read_bytes(folder / "a").find(c.sound_chunk) + c.size_behind, c.unknown);
    const Audio came = read_audio(folder / "a", settings);
    EXPECT_EQ(came.samples, whole.samples) << std::hex << c.format;
    EXPECT_THAT(came.source.note, HasSubstr("without a length"));
  }
}

TEST(SoundHeader, AFlacIsReadToItsEndWhateverItsHeaderSays) {
  const TemporaryFolder folder;
  write_sound(folder / "a.flac", test::noise(0.5, 9001), {.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16});
  const Audio whole = read_audio(folder / "a.flac", settings);
  EXPECT_EQ(whole.samples.size(), 9001U);
  EXPECT_EQ(whole.source.note, "");
  constexpr uint64_t total_at = 22;
  test::patch(folder / "a.flac", total_at, std::string(4, '\0'));
  EXPECT_EQ(read_audio(folder / "a.flac", settings).samples, whole.samples);
  EXPECT_THAT(read_audio(folder / "a.flac", settings).source.note, HasSubstr("without a length"));
  test::patch(folder / "a.flac", total_at, std::string("\0\0\x03\xe8", 4));
  EXPECT_EQ(read_audio(folder / "a.flac", settings).samples, whole.samples);
  EXPECT_THAT(read_audio(folder / "a.flac", settings).source.note, HasSubstr("more sound than the header promises"));
  test::patch(folder / "a.flac", total_at, std::string("\0\0\x40\0", 4));
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.flac", settings); }),
              HasSubstr("is truncated: its header promises 16384 samples, but 9001 could be decoded"));
}

TEST(SoundHeader, ADamagedFlacIsAnErrorWhetherItSaysItsLengthOrNot) {
  const TemporaryFolder folder;
  write_sound(folder / "a.flac", test::noise(0.5, 64000), {.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16});
  const std::string whole = read_bytes(folder / "a.flac");
  for (const bool streamed : {false, true}) {
    std::string bytes = whole;
    if (streamed) {
      bytes.replace(22, 4, 4, '\0');
    }
    for (const double share : {0.2, 0.5, 0.9}) {
      const auto at = static_cast<size_t>(share * static_cast<double>(bytes.size()));
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ 4);
      const std::string damaged = error_with(flipped);
      EXPECT_THAT(damaged, testing::AllOf(HasSubstr("a.wav' is damaged about "), HasSubstr(" s from its beginning")));
      const double second = std::strtod(damaged.c_str() + damaged.find("about ") + 6, nullptr);
      EXPECT_TRUE(std::abs(second - share * 4.0) <= 0.3) << damaged;
      EXPECT_THAT(error_with(bytes.substr(0, at)),
                  testing::AllOf(HasSubstr("is truncated: it"), HasSubstr(streamed ? " s from its beginning" : " s)")));
    }
    const Audio tagged = audio_of(bytes + "TAG" + std::string(125, ' '));
    EXPECT_EQ(tagged.samples.size(), 64000U) << streamed;
  }
}

/// An MP3 of 2 s: with LAME's header, or (from its second frame) without. Empty: this libsndfile writes none.
std::string mp3(bool with_header) {
  constexpr int format = 0x230000 | 0x82;
  SF_INFO info{};
  info.samplerate = 16000;
  info.channels = 1;
  info.format = format;
  if (!sf_format_check(&info)) {
    return {};
  }
  const TemporaryFolder folder;
  write_sound(folder / "a.mp3", test::noise(0.3, 32000), {.format = format});
  const std::string bytes = read_bytes(folder / "a.mp3");
  const std::string sync = bytes.substr(0, 2);
  return with_header ? bytes : bytes.substr(bytes.find(sync, bytes.find("LAME") + 36));
}

TEST(SoundHeader, AnMp3ThatIsNotWholeIsAnErrorWithItsSecond) {
  if (mp3(true).empty()) {
    GTEST_SKIP() << "this libsndfile knows no MP3";
  }
  for (const bool with_header : {true, false}) {
    const std::string bytes = mp3(with_header);
    const size_t half = bytes.size() / 2;
    EXPECT_GE(audio_of(bytes).samples.size(), 32000U);
    EXPECT_LE(audio_of(bytes).samples.size(), 35000U);
    EXPECT_EQ(audio_of(bytes).source.note, "");
    EXPECT_THAT(
        error_with(bytes.substr(0, half - 1)),
        testing::AllOf(HasSubstr("a.wav' is truncated: "), testing::ContainsRegex("(after |, )[01]\\.[0-9]* s")));
    EXPECT_THAT(error_with(bytes.substr(0, half) + std::string(half, '\0')),
                testing::ContainsRegex("a.wav' is (damaged|truncated).* [01]\\.[0-9]* s"));
    EXPECT_THAT(error_with(bytes.substr(0, half) + std::string(300, '\x55') + bytes.substr(half)),
                testing::ContainsRegex("a.wav' is damaged (0.9|1.0)[0-9] s from its beginning"));
    const std::string before = std::string("ID3\4\0\0\0\0\0\x10", 10) + std::string("TIT2\0\0\0\x06\0\0\0title", 16);
    EXPECT_EQ(audio_of(before + bytes + "TAG" + std::string(125, ' ')).samples, audio_of(bytes).samples);
    EXPECT_EQ(audio_of(bytes + std::string(100, '\0')).samples, audio_of(bytes).samples);
  }
}

TEST(SoundHeader, AnMp3IsComparedWithWhatItsHeaderSays) {
  const std::string bytes = mp3(true);
  if (bytes.empty()) {
    GTEST_SKIP() << "this libsndfile knows no MP3";
  }
  const std::string sync = bytes.substr(0, 2);
  const size_t last = bytes.rfind(sync);
  const Audio twice = audio_of(bytes + mp3(false));
  EXPECT_GE(twice.samples.size(), 64000U);
  EXPECT_THAT(twice.source.note, HasSubstr("more sound than the header promises"));
  EXPECT_THAT(error_with(bytes.substr(0, last)), HasSubstr("is truncated: its header promises 2."));
  std::string flipped = bytes;
  flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 16);
  EXPECT_THAT(error_with(flipped), testing::ContainsRegex("is damaged .* s"));
}

TEST(SoundHeader, AnOggWithoutItsEndIsReadToItsLastWholePage) {
  const TemporaryFolder folder;
  write_sound(folder / "a.ogg", test::noise(0.5, 40000), {.format = SF_FORMAT_OGG | SF_FORMAT_VORBIS});
  const std::string bytes = read_bytes(folder / "a.ogg");
  const Audio whole = read_audio(folder / "a.ogg", settings);
  EXPECT_EQ(whole.source.note, "");

  test::clear_end_of_stream(folder / "a.ogg");
  const Audio unflagged = read_audio(folder / "a.ogg", settings);
  EXPECT_EQ(unflagged.samples, whole.samples);
  EXPECT_THAT(unflagged.source.note, HasSubstr("without the last page of the Ogg stream"));

  const size_t last = bytes.rfind("OggS");
  write_bytes(folder / "pages.ogg", bytes.substr(0, last));
  const Audio pages = read_audio(folder / "pages.ogg", settings);
  EXPECT_GT(pages.samples.size(), 10000U);
  EXPECT_LT(pages.samples.size(), whole.samples.size());
  EXPECT_THAT(pages.source.note, HasSubstr("last whole page"));
  for (const size_t more : {size_t{3}, size_t{20}, size_t{200}}) {
    write_bytes(folder / "cut.ogg", bytes.substr(0, last + more));
    const Audio cut = read_audio(folder / "cut.ogg", settings);
    EXPECT_EQ(cut.samples, pages.samples) << more;
    EXPECT_THAT(cut.source.note, HasSubstr("last whole page"));
  }
}

TEST(SoundHeader, AnOggThatLostAPageIsAnError) {
  const TemporaryFolder folder;
  write_sound(folder / "a.ogg", test::noise(0.5, 200000), {.format = SF_FORMAT_OGG | SF_FORMAT_VORBIS});
  const std::string bytes = read_bytes(folder / "a.ogg");
  std::vector<size_t> pages;
  for (size_t at = bytes.find("OggS"); at != std::string::npos; at = bytes.find("OggS", at + 1)) {
    pages.push_back(at);
  }
  ASSERT_GT(pages.size(), 6U);
  const auto error = [&](const std::string& changed) {
    write_bytes(folder / "b.ogg", changed);
    return error_of<io::DataError>([&] { read_audio(folder / "b.ogg", settings); });
  };
  const std::string fourth = bytes.substr(pages[4], pages[5] - pages[4]);
  EXPECT_THAT(error(bytes.substr(0, pages[4]) + bytes.substr(pages[5])),
              HasSubstr("is damaged: page 4 is missing, damaged or out of order in its Ogg stream; copy it again"));
  std::string flipped = bytes;
  flipped[pages[4] + 1000] ^= 1;
  EXPECT_THAT(error(flipped), HasSubstr("page 4 is missing"));
  EXPECT_THAT(error(bytes.substr(0, pages[5]) + fourth + bytes.substr(pages[5])), HasSubstr("page 5 is missing"));

  write_bytes(folder / "b.ogg", bytes.substr(0, pages[4]) + "no page" + bytes.substr(pages[4]));
  EXPECT_EQ(read_audio(folder / "b.ogg", settings).samples, read_audio(folder / "a.ogg", settings).samples);
  std::string last_flipped = bytes;
  last_flipped[bytes.size() - 1] ^= 1;
  write_bytes(folder / "b.ogg", last_flipped);
  EXPECT_THAT(read_audio(folder / "b.ogg", settings).source.note, HasSubstr("without the last page"));
}

TEST(SoundHeader, OnlyRatesFromOneKilohertzToOneMegahertzAreBelieved) {
  const TemporaryFolder folder;
  for (const int rate : {1, 999, 1'000'001}) {
    for (const int format : {SF_FORMAT_WAV, SF_FORMAT_W64, SF_FORMAT_AIFF, SF_FORMAT_CAF}) {
      write_sound(folder / "a", test::noise(0.5, 3000), {.format = format | SF_FORMAT_PCM_16, .rate_hz = rate});
      EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a", settings); }),
                  HasSubstr("has a sampling rate of " + std::to_string(rate) + " Hz in its header"))
          << std::hex << format;
    }
  }
  write_sound(folder / "a.flac", test::noise(0.5, 3000), {.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16});
  test::patch(folder / "a.flac", 18, std::string("\0\0\0", 3) + read_bytes(folder / "a.flac")[21]);
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.flac", settings); }),
              HasSubstr("has a sampling rate of 0 Hz in its header"));
  for (const int rate : {0, -1}) {
    EXPECT_THAT(error_with(WavBytes{.sound = sound16(), .rate_hz = rate}.text()), HasSubstr("has a sampling rate of"));
  }
  EXPECT_EQ(audio_of(WavBytes{.sound = sound16(), .rate_hz = 1000}.text()).samples.size(), 48016U);
  EXPECT_EQ(audio_of(WavBytes{.sound = sound16(), .rate_hz = 1'000'000}.text()).source.rate_hz, 1'000'000);
}

TEST(SoundHeader, EveryFormatIsReadWholeAndWithoutANote) {
  constexpr int mp3 = 0x230000 | 0x82;
  const TemporaryFolder folder;
  const std::vector<float> samples = test::sine(440.0, 0.5, 16000, 32000);
  for (const int format :
       {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, SF_FORMAT_WAVEX | SF_FORMAT_PCM_24,
        SF_FORMAT_RF64 | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_ENDIAN_BIG | SF_FORMAT_PCM_16,
        SF_FORMAT_W64 | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_FLOAT,
        SF_FORMAT_CAF | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_OGG | SF_FORMAT_VORBIS,
        SF_FORMAT_OGG | 0x64, mp3}) {
    SF_INFO info{};
    info.samplerate = 16000;
    info.channels = 1;
    info.format = format;
    if (!sf_format_check(&info)) {
      continue;  // Opus and MP3, by an older libsndfile
    }
    write_sound(folder / "a", samples, {.format = format});
    const Audio came = read_audio(folder / "a", settings);
    const auto length = static_cast<double>(came.samples.size());
    EXPECT_TRUE(length >= 32000.0 && length <= (format == mp3 ? 36000.0 : 33000.0)) << std::hex << format << length;
    EXPECT_EQ(came.source.note, "") << std::hex << format;
    EXPECT_EQ(came.source.rate_hz, 16000);
    EXPECT_EQ(came.source.channels, 1);
  }
}

TEST(SoundHeader, WhatCannotBeDecodedIsToldAsWhatItIs) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.mp3", std::string(4000, '\0'));
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.mp3", settings); }),
              HasSubstr("holds no frames of MPEG audio"));
  write_bytes(folder / "a.mp3", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n");
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.mp3", settings); }), HasSubstr("git lfs pull"));
  EXPECT_THAT(error_with(WavBytes{.sound = sound16(), .format = 99}.text()),
              testing::AllOf(HasSubstr("is a WAV file that cannot be decoded ("), HasSubstr("convert it to PCM")));
}

TEST(SoundHeader, AFormatThatIsNotReadIsNamed) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.wav", std::string("\0\0\0\x1c", 4) + "ftypM4A " + std::string(100, '\0'));
  EXPECT_THAT(error_of<io::DataError>([&] { read_audio(folder / "a.wav", settings); }),
              testing::AllOf(HasSubstr("a.wav'"), HasSubstr("MP4"), HasSubstr("convert it")));
}

}  // namespace
}  // namespace evenflow::frontend
