// Sound files to mono samples at one rate.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/clipping.h"
#include "io/config.h"

namespace evenflow::frontend {

/// Where samples came from, as far as it is worth a word.
struct SoundSource {
  int rate_hz = 0;         ///< of the file
  int channels = 0;        ///< of the file
  std::string note;        ///< what its header got wrong and how it was read: "without a length ..."; empty: nothing
  Clipping clipping = {};  ///< of the channel, or the mean of all, at the file's rate
};

struct Audio {
  std::vector<float> samples;  ///< of one channel, in [-1, 1], at the settings' rate
  SoundSource source;
};

/// Decodes a recording of any rate from 1 kHz to 1 MHz and of any width, picks the channel, resamples when the rate
/// differs. io::DataError names the file: unreadable, of no format that is read, a rate beyond belief (from the header
/// alone), truncated, empty, a NaN or infinite sample (with its index), no such channel.
Audio read_audio(const std::filesystem::path& file, const io::FrontendSettings& settings);

/// Sound that is in memory.
struct Samples {
  std::span<const float> values;  ///< [frames, channels], frame by frame, in [-1, 1]
  int channels = 1;
  int rate_hz = 0;
};

/// What read_audio has of a file that holds these samples, bit by bit: the settings' channel at the settings' rate.
/// Views the samples themselves where nothing is to be changed, else `room`. `name` stands in errors where a file's
/// would. io::UsageError: a rate beyond belief. io::DataError: no sample, one that is not finite, no such channel.
std::span<const float> one_channel(const std::string& name, const Samples& samples,
                                   const io::FrontendSettings& settings, std::vector<float>& room);

/// 16-bit PCM WAV as a file's bytes, which say that the software was evenflow (is_own_wav); samples outside [-1, 1] are
/// clipped, one that is not a number is 0.
std::string wav_bytes(std::span<const float> samples, int sample_rate_hz);

/// True if a file that begins so is one of wav_bytes'.
bool is_own_wav(std::string_view beginning);
/// Samples scaled down to a peak of 0.98 where they would not fit into [-1, 1].
std::vector<float> within_full_scale(std::vector<float> samples);

/// Writes 16-bit PCM WAV atomically; samples outside [-1, 1] are clipped.
void write_wav(const std::filesystem::path& file, const std::vector<float>& samples, int sample_rate_hz);

}  // namespace evenflow::frontend
