// A parameter's value as a person writes it: "velocity_mm_s=300", "tool=B".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace evenflow::io {

struct ParameterText {
  std::string name, text;
};

/// Nothing unless there is something before and behind an '='. A parameter and a name may have one as well: the longest
/// of `parameters` that the text begins with decides, and without such a one the last '='.
std::optional<ParameterText> split_parameter_value(std::string_view text, std::span<const std::string> parameters = {});

struct ParameterValue {
  std::string name;
  double value = 0;
};

/// Nothing unless the text is a name, '=' and a finite number.
std::optional<ParameterValue> parse_parameter_value(std::string_view text);

}  // namespace evenflow::io
