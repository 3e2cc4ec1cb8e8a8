#include "io/parameter_value.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace evenflow::io {

std::optional<ParameterValue> parse_parameter_value(std::string_view text) {
  const size_t equals = text.rfind('=');  // a name may have one
  if (equals == std::string_view::npos || equals == 0) {
    return std::nullopt;
  }
  ParameterValue out{std::string(text.substr(0, equals)), 0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + equals + 1, end, out.value);
  if (error != std::errc() || stop != end || !std::isfinite(out.value)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace evenflow::io
