// The configuration a command works with: a base, a TOML file over it, flags over both.
#pragma once

#include "experiments/options.h"
#include "io/config.h"

namespace evenflow::experiments {

/// io::UsageError names the file and line, or the flag, that is wrong.
io::Config resolve(const ConfigSource& source, const io::Config& base = {});

}  // namespace evenflow::experiments
