// A shard of noise, and the configuration of a training on it that measures nothing but speed.
#pragma once

#include <cstdint>
#include <filesystem>

#include "io/config.h"

namespace evenflow::bench {

/// Clips of 10 s until there are at least so many windows: what they hold does not matter, only how much.
void write_noise_shard(const std::filesystem::path& file, const io::Config& config, int64_t windows);

/// Its threshold is a quantile, fitted to the few clips held out.
io::Config noise_configuration();

}  // namespace evenflow::bench
