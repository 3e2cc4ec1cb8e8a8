// Values of the configuration as text: in TOML, in flags and in errors.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

#include "io/config/toml.h"

namespace evenflow::io::config_rows {

/// io::UsageError: key, value and what is allowed.
[[noreturn]] void refuse(const std::string& key, const std::string& value, const std::string& allowed);

/// Shortest text that reads back as the same double, and as a TOML float.
std::string float_text(double value);
std::string toml_string(const std::string& text);
std::string_view trimmed(std::string_view text);

template <class T>
bool parse_number(std::string_view text, T& value) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') {
    text.remove_prefix(1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// toml::parse of text without control characters, which TOML forbids but toml++ 3.3 only asserts.
toml::table parse_toml(std::string_view text, const std::string& origin);

/// How a node is shown in an error. By hand: toml++ 3.3's own printer of an array casts a negative double to size_t.
std::string node_text(const toml::node& node);

/// The elements of a list given as text: "a, b" or, where an element holds a comma or quote, a TOML array.
toml::array list_from_text(const std::string& key, std::string_view text, const std::string& type);

}  // namespace evenflow::io::config_rows
