#include "io/categories.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace evenflow::io {
namespace {

constexpr double unknown_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

const std::vector<std::string>& categories_of(const Categories& categories, size_t p) {
  static const std::vector<std::string> none;
  return p < categories.size() ? categories[p] : none;
}

double code_of(std::string_view name, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? unknown_value : static_cast<double>(found - names.begin());
}

bool is_code(double value, const std::vector<std::string>& names) {
  return std::isnan(value) || (value >= 0.0 && value < static_cast<double>(names.size()) && value == std::floor(value));
}

double recoded(double code, const std::vector<std::string>& from, const std::vector<std::string>& to) {
  return std::isnan(code) || !is_code(code, from) ? unknown_value : code_of(from[static_cast<size_t>(code)], to);
}

std::string value_text(double value, const std::vector<std::string>& names) {
  if (std::isnan(value)) {
    return {};
  }
  if (is_code(value, names)) {
    return names[static_cast<size_t>(value)];
  }
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

bool is_unknown(std::string_view cell) {
  return cell.empty() || cell == "noAttribute";
}

DeclaredParameter declared_parameter(std::string_view text) {
  constexpr std::string_view suffix = category_suffix;
  const bool is_category = text.size() > suffix.size() && text.ends_with(suffix);
  return {std::string(is_category ? text.substr(0, text.size() - suffix.size()) : text), is_category};
}

std::vector<std::string> declared_names(std::span<const std::string> texts) {
  std::vector<std::string> names;
  names.reserve(texts.size());
  for (const std::string& text : texts) {
    names.push_back(declared_parameter(text).name);
  }
  return names;
}

std::vector<std::string> declared_categories(std::span<const std::string> texts) {
  std::vector<std::string> names;
  for (const std::string& text : texts) {
    if (DeclaredParameter declared = declared_parameter(text); declared.is_category) {
      names.push_back(std::move(declared.name));
    }
  }
  return names;
}

}  // namespace evenflow::io
