#include "frontend/channels.h"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

#include "io/error.h"

namespace evenflow::frontend {

std::optional<int> wanted_channel(const std::string& channel) {
  if (channel == "mean") {
    return std::nullopt;
  }
  int index = -1;
  const char* end = channel.data() + channel.size();
  const auto [stop, error] = std::from_chars(channel.data(), end, index);
  if (error != std::errc() || stop != end || index < 0) {
    throw io::UsageError(
        fmt::format("frontend.channel = \"{}\" is neither \"mean\" nor the index of a channel, from \"0\"", channel));
  }
  return index;
}

void to_mono(const float* block, size_t frames, size_t channels, std::optional<int> channel, float* out) {
  if (channel) {
    const auto index = static_cast<size_t>(*channel);
    for (size_t i = 0; i < frames; ++i) {
      out[i] = block[i * channels + index];
    }
    return;
  }
  for (size_t i = 0; i < frames; ++i) {
    float sum = 0.0f;
    for (size_t c = 0; c < channels; ++c) {
      sum += block[i * channels + c];
    }
    out[i] = sum / static_cast<float>(channels);
  }
}

}  // namespace evenflow::frontend
