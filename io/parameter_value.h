// A parameter's value as a person writes it: "velocity_mm_s=300".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace evenflow::io {

struct ParameterValue {
  std::string name;
  double value = 0;
};

/// Nothing unless the text is a name, '=' and a finite number.
std::optional<ParameterValue> parse_parameter_value(std::string_view text);

}  // namespace evenflow::io
