// The configuration a command works with: a base, a TOML file over it, flags over both.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/config.h"

namespace evenflow::experiments {

/// A configuration key set on the command line: ("train.epochs", "20").
struct KeyFlag {
  std::string key, value;
};

/// A TOML file, if one was given, and the flags that override it.
struct ConfigSource {
  std::optional<std::filesystem::path> file;
  std::vector<KeyFlag> flags;
};

/// The base of commands that compare trainings, or measure one: windows are changed only where that is asked for.
io::Config unaugmented();

/// --train.steps takes the place of the file's train.epochs too, of which the budget would otherwise be.
/// io::UsageError names the file and line, or the flag, that is wrong.
io::Config resolve(const ConfigSource& source, const io::Config& base = {});

}  // namespace evenflow::experiments
