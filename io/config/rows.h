// The rows of the configuration's table: each key as flags, help and TOML see it, by the type of its value.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/config.h"
#include "io/config/values.h"

namespace evenflow::io::config_rows {

/// A key as the outside sees it, and as TOML.
struct Row {
  ConfigKey key;
  std::function<std::string(const Config&)> toml;
  std::function<void(Config&, const toml::node&)> set_toml;
};

/// All keys, in the order of the file.
const std::vector<Row>& table();

/// "train.epochs" as its section and its name there; without a section, "".
std::pair<std::string, std::string> split_key(const std::string& name);

/// Sets what a table says. UsageError names `origin` and the line.
void apply_table(Config& config, const toml::table& values, const std::string& prefix, const std::string& origin);

template <class Section, class T>
struct Field {
  Section Config::*section;
  T Section::*member;
  T& of(Config& config) const { return config.*section.*member; }
  const T& of(const Config& config) const { return config.*section.*member; }
};
template <class Section, class T>  // for clang before 17, which deduces no aggregates
Field(Section Config::*, T Section::*)->Field<Section, T>;

template <class Section, class T>
Row integer(const char* name, Field<Section, T> field, int64_t low, int64_t high, const std::string& help,
            bool even = false) {
  const std::string allowed =
      std::string(even ? "an even" : "a whole") + " number from " + std::to_string(low) + " to " + std::to_string(high);
  const std::string key = name;
  auto store = [=](Config& config, int64_t value) {
    if (value < low || value > high || (even && value % 2 != 0)) {
      refuse(key, std::to_string(value), allowed);
    }
    field.of(config) = static_cast<T>(value);
  };
  auto get = [=](const Config& config) { return std::to_string(field.of(config)); };
  auto set = [=](Config& config, std::string_view text) {
    int64_t value = 0;
    if (!parse_number(text, value)) {
      refuse(key, std::string(text), allowed);
    }
    store(config, value);
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_integer()) {
      refuse(key, node_text(node), allowed);
    }
    store(config, node.as_integer()->get());
  };
  return {{key, help, "int", get, set}, get, set_toml};
}

/// Bounds are part of the range unless `open` says otherwise.
struct FloatRange {
  double low, high;
  bool open_low = false, open_high = false;
};

template <class Section>
Row real(const char* name, Field<Section, double> field, FloatRange range, const std::string& help) {
  std::string allowed = std::string("a number ") + (range.open_low ? "> " : ">= ") + float_text(range.low);
  if (std::isfinite(range.high)) {
    allowed += std::string(" and ") + (range.open_high ? "< " : "<= ") + float_text(range.high);
  }
  const std::string key = name;
  auto store = [=](Config& config, double value, const std::string& shown) {
    const bool inside = (range.open_low ? value > range.low : value >= range.low) &&
                        (range.open_high ? value < range.high : value <= range.high) && std::isfinite(value);
    if (!inside) {
      refuse(key, shown, allowed);
    }
    field.of(config) = value;
  };
  auto get = [=](const Config& config) { return float_text(field.of(config)); };
  auto set = [=](Config& config, std::string_view text) {
    double value = 0.0;
    if (!parse_number(text, value)) {
      refuse(key, std::string(text), allowed);
    }
    store(config, value, std::string(text));
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_number()) {
      refuse(key, node_text(node), allowed);
    }
    const double value =
        node.is_integer() ? static_cast<double>(node.as_integer()->get()) : node.as_floating_point()->get();
    store(config, value, float_text(value));
  };
  return {{key, help, "float", get, set}, get, set_toml};
}

template <class Section>
Row boolean(const char* name, Field<Section, bool> field, const std::string& help) {
  const std::string key = name;
  auto get = [=](const Config& config) { return std::string(field.of(config) ? "true" : "false"); };
  auto set = [=](Config& config, std::string_view text) {
    const std::string_view word = trimmed(text);
    if (word != "true" && word != "false") {
      refuse(key, std::string(text), "true or false");
    }
    field.of(config) = word == "true";
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_boolean()) {
      refuse(key, node_text(node), "true or false");
    }
    field.of(config) = node.as_boolean()->get();
  };
  return {{key, help, "bool", get, set}, get, set_toml};
}

/// A row whose value is a word or text; `take` gives false on what is not allowed.
inline Row text_row(const std::string& key, const std::string& help, const std::string& allowed,
                    const std::function<std::string(const Config&)>& get,
                    const std::function<bool(Config&, std::string_view)>& take) {
  auto set = [=](Config& config, std::string_view value) {
    if (!take(config, value)) {
      refuse(key, toml_string(std::string(value)), allowed);
    }
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_string()) {
      refuse(key, node_text(node), allowed + " (in quotes)");
    }
    set(config, node.as_string()->get());
  };
  return {{key, help, "text", get, set}, [=](const Config& config) { return toml_string(get(config)); }, set_toml};
}

template <class Section>
Row text(const char* name, Field<Section, std::string> field, const std::string& allowed,
         const std::function<bool(std::string_view)>& accepts, const std::string& help) {
  return text_row(
      name, help, allowed, [=](const Config& config) { return field.of(config); },
      [=](Config& config, std::string_view value) {
        if (!accepts(value)) {
          return false;
        }
        field.of(config) = value;
        return true;
      });
}

/// One of an enumeration's values, by its name.
template <class Section, class E>
Row choice(const char* name, Field<Section, E> field, const std::string& help) {
  return text_row(
      name, help, names_text<E>(), [=](const Config& config) { return std::string(name_of(field.of(config))); },
      [=](Config& config, std::string_view value) {
        const std::optional<E> known = value_of<E>(value);
        if (known) {
          field.of(config) = *known;
        }
        return known.has_value();
      });
}

template <class Section, class T>
Row list(const char* name, Field<Section, std::vector<T>> field, const std::string& help) {
  constexpr bool floats = std::is_same_v<T, double>;
  const std::string key = name;
  const std::string type = floats ? "list of float" : "list of text";
  auto to_toml = [=](const Config& config) {
    std::string out = "[";
    for (const T& element : field.of(config)) {
      if (out.size() > 1) {
        out += ", ";
      }
      if constexpr (floats) {
        out += float_text(element);
      } else {
        out += toml_string(element);
      }
    }
    return out + "]";
  };
  auto get = [=](const Config& config) {
    std::string out;
    bool plain = true;
    bool first = true;
    for (const T& element : field.of(config)) {
      if (!std::exchange(first, false)) {
        out += ",";
      }
      if constexpr (floats) {
        out += float_text(element);
      } else {
        plain = plain && !element.empty() && element.find_first_of(",\"[") == std::string::npos &&
                trimmed(element).size() == element.size();
        out += element;
      }
    }
    return plain ? out : to_toml(config);
  };
  auto store = [=](Config& config, const toml::array& array, const std::string& shown) {
    std::vector<T> values;
    for (const toml::node& element : array) {
      if constexpr (floats) {
        const auto value = element.value<double>();
        if (!element.is_number() || !value || !std::isfinite(*value)) {
          refuse(key, shown, "a list of finite numbers");
        }
        values.push_back(*value);
      } else {
        if (!element.is_string() || element.as_string()->get().empty()) {
          refuse(key, shown, "a list of non-empty texts");
        }
        values.push_back(element.as_string()->get());
      }
    }
    field.of(config) = std::move(values);
  };
  auto set = [=](Config& config, std::string_view value) {
    store(config, list_from_text(key, value, type), std::string(value));
  };
  auto set_toml = [=](Config& config, const toml::node& node) {
    if (!node.is_array()) {
      refuse(key, node_text(node), "a " + type + " in square brackets");
    }
    store(config, *node.as_array(), node_text(node));
  };
  return {{key, help, type, get, set}, to_toml, set_toml};
}

}  // namespace evenflow::io::config_rows
