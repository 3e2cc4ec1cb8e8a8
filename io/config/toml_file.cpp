#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include "io/config.h"
#include "io/config/rows.h"
#include "io/edit_distance.h"
#include "io/error.h"
#include "io/wrapped_file.h"

namespace evenflow::io {
namespace {

using namespace config_rows;

/// A known key in the wrong section counts as near as one typing error.
std::string nearest_key(const std::string& unknown) {
  // Distance is quadratic, and a hostile file may hold keys of any length.
  const std::string name = unknown.substr(0, 100);
  const std::string leaf = split_key(name).second;
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const Row& row : table()) {
    const std::string& known = row.key.name;
    const size_t distance = std::min(edit_distance(name, known), edit_distance(leaf, split_key(known).second) + 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = known;
    }
  }
  return best;
}

std::string location(const std::string& origin, const toml::source_region& source) {
  return origin + ":" + std::to_string(source.begin.line) + ": ";
}

}  // namespace

void config_rows::apply_table(Config& config, const toml::table& values, const std::string& prefix,
                              const std::string& origin) {
  for (const auto& [key, node] : values) {
    const std::string name = prefix + std::string(key.str());
    const auto row = std::find_if(table().begin(), table().end(), [&](const Row& r) { return r.key.name == name; });
    if (row != table().end()) {
      try {
        row->set_toml(config, node);
      } catch (const UsageError& error) {
        throw UsageError(location(origin, node.source()) + error.what());
      }
      continue;
    }
    const bool is_section = prefix.empty() && std::any_of(table().begin(), table().end(), [&](const Row& r) {
                              return split_key(r.key.name).first == name;
                            });
    const toml::table* section = node.as_table();
    if (is_section && section == nullptr) {
      throw UsageError(location(origin, key.source()) + "'" + name + "' is a section: write [" + name + "]");
    }
    // An unknown section is told by its first key, which is what the user meant to set.
    if (section == nullptr || (!is_section && section->empty())) {
      throw UsageError(location(origin, key.source()) + "unknown key '" + name + "'; did you mean '" +
                       nearest_key(name) + "'?");
    }
    apply_table(config, *section, name + ".", origin);
  }
}

Config parse_config(std::string_view toml, const std::string& origin, const Config& base) {
  Config config = base;
  try {
    apply_table(config, parse_toml(toml, origin), "", origin);
  } catch (const toml::parse_error& error) {
    throw UsageError(location(origin, error.source()) + "not valid TOML: " + std::string(error.description()));
  }
  return config;
}

const ConfigKey& config_key(const std::string& name) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == name) {
      return key;
    }
  }
  throw UsageError("unknown key '" + name + "'; did you mean '" + nearest_key(name) + "'?");
}

Config read_config(const std::filesystem::path& file, const Config& base) {
  std::string text;
  try {
    text = read_plain_text(file);
    std::error_code error;
    if (text.empty() && std::filesystem::is_regular_file(file, error)) {
      throw UsageError("'" + file.string() + "' is empty; write the keys to set in it, or give no configuration");
    }
  } catch (const DataError& error) {
    throw UsageError(error.what());
  }
  return parse_config(text, file.string(), base);
}

std::string to_toml(const Config& config) {
  std::string out;
  std::string section;
  for (const Row& row : table()) {
    const auto [own_section, leaf] = split_key(row.key.name);
    if (own_section != section) {
      out += (section.empty() ? "[" : "\n[") + own_section + "]\n";
      section = own_section;
    }
    out += "# " + row.key.help + "\n" + leaf + " = " + row.toml(config) + "\n";
  }
  return out;
}

}  // namespace evenflow::io
