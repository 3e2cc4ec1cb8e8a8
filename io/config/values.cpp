#include "io/config/values.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "io/error.h"

namespace evenflow::io::config_rows {

void refuse(const std::string& key, const std::string& value, const std::string& allowed) {
  throw UsageError(key + " = " + value + " is not allowed: it must be " + allowed);
}

std::string float_text(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      constexpr char hex[] = "0123456789ABCDEF";
      out += "\\u00";
      out += hex[static_cast<unsigned char>(c) >> 4];
      out += hex[static_cast<unsigned char>(c) & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

toml::table parse_toml(std::string_view text, const std::string& origin) {
  int64_t line = 1;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
    } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
      throw UsageError(origin + ":" + std::to_string(line) + ": not valid TOML: a control character");
    }
  }
  return toml::parse(text, origin);
}

std::string node_text(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    return toml_string(text->get());
  }
  if (const auto* number = node.as_integer()) {
    return std::to_string(number->get());
  }
  if (const auto* number = node.as_floating_point()) {
    return float_text(number->get());
  }
  if (const auto* flag = node.as_boolean()) {
    return flag->get() ? "true" : "false";
  }
  if (const auto* array = node.as_array()) {
    std::string out;
    for (const toml::node& element : *array) {
      out += (out.empty() ? "" : ", ") + node_text(element);
    }
    return "[" + out + "]";
  }
  return node.is_table() ? "(a table)" : "(a date or time)";
}

toml::array list_from_text(const std::string& key, std::string_view text, const std::string& type) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '[') {
    try {
      toml::table table = parse_toml("list = " + std::string(text), key);
      if (auto* list = table["list"].as_array()) {
        return std::move(*list);
      }
    } catch (const toml::parse_error&) {
      refuse(key, std::string(text), "a " + type);
    }
  }
  toml::array list;
  if (text.empty()) {
    return list;
  }
  for (;;) {
    const size_t comma = text.find(',');
    const std::string_view element = trimmed(text.substr(0, comma));
    double number = 0.0;
    if (type == "list of float" && parse_number(element, number)) {
      list.push_back(number);
    } else {
      list.push_back(std::string(element));
    }
    if (comma == std::string_view::npos) {
      return list;
    }
    text.remove_prefix(comma + 1);
  }
}

}  // namespace evenflow::io::config_rows
