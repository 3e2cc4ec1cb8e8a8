// Several channels to the one that a model hears.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace evenflow::frontend {

/// Index of the channel to keep, of the setting frontend.channel; none: the mean of all. io::UsageError if it is
/// neither "mean" nor an index.
std::optional<int> wanted_channel(const std::string& channel);

/// block [frames, channels] -> out [frames]: the channel, or the mean of all of them, summed in order in float32.
void to_mono(const float* block, size_t frames, size_t channels, std::optional<int> channel, float* out);

}  // namespace evenflow::frontend
