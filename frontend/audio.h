// Sound files to mono samples at one rate.
#pragma once

#include <filesystem>
#include <vector>

#include "io/config.h"

namespace evenflow::frontend {

/// Decodes WAV/FLAC/OGG of any rate and width, picks the channel, resamples when the rate differs.
/// Returns float samples in [-1, 1] at settings.sample_rate_hz. io::DataError names the file: unreadable, not audio,
/// truncated, empty, a NaN or infinite sample (with its index), no such channel.
std::vector<float> read_audio(const std::filesystem::path& file, const io::FrontendSettings& settings);

/// Writes 16-bit PCM WAV atomically; samples outside [-1, 1] are clipped.
void write_wav(const std::filesystem::path& file, const std::vector<float>& samples, int sample_rate_hz);

}  // namespace evenflow::frontend
