#include "io/parameter_value.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace evenflow::io {

std::optional<ParameterText> split_parameter_value(std::string_view text, std::span<const std::string> parameters) {
  size_t equals = text.rfind('=');
  size_t longest = 0;
  for (const std::string& name : parameters) {
    if (name.size() > longest && text.starts_with(name) && text.substr(name.size()).starts_with('=')) {
      equals = longest = name.size();
    }
  }
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return std::nullopt;
  }
  return ParameterText{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

std::optional<ParameterValue> parse_parameter_value(std::string_view text) {
  const std::optional<ParameterText> parts = split_parameter_value(text);
  if (!parts) {
    return std::nullopt;
  }
  ParameterValue out{parts->name, 0};
  const char* const end = parts->text.data() + parts->text.size();
  const auto [stop, error] = std::from_chars(parts->text.data(), end, out.value);
  if (error != std::errc() || stop != end || !std::isfinite(out.value)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace evenflow::io
