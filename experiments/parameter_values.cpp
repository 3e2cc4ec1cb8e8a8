#include "experiments/parameter_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/error.h"
#include "io/parameter_value.h"

namespace evenflow::experiments {
namespace {

double value_of(const AskedValue& asked, const std::vector<std::string>& categories) {
  if (!categories.empty()) {
    const double code = io::code_of(asked.text, categories);
    if (std::isnan(code)) {
      throw io::UsageError(fmt::format("the model was never trained on {} = {}; it knows {}", asked.name, asked.text,
                                       fmt::join(categories, ", ")));
    }
    return code;
  }
  const auto parsed = io::parse_parameter_value(asked.name + "=" + asked.text);
  if (!parsed) {
    throw io::UsageError(
        fmt::format("--at '{}={}' must be a parameter and a number: --at velocity_mm_s=300", asked.name, asked.text));
  }
  return parsed->value;
}

}  // namespace

std::vector<AskedValue> parse_values(const std::vector<std::string>& at, const std::vector<std::string>& parameters) {
  std::vector<AskedValue> values;
  for (const std::string& text : at) {
    const auto asked = io::split_parameter_value(text, parameters);
    if (!asked) {
      throw io::UsageError("--at '" + text +
                           "' must be a parameter and a number, or one of its names: --at velocity_mm_s=300");
    }
    if (std::any_of(values.begin(), values.end(), [&](const auto& other) { return other.name == asked->name; })) {
      throw io::UsageError("--at gives '" + asked->name + "' twice; give one value");
    }
    values.push_back({asked->name, asked->text});
  }
  return values;
}

std::vector<double> values_for(const io::ConditionData& condition, const std::vector<AskedValue>& at) {
  std::vector<double> values(condition.names.size(), std::numeric_limits<double>::quiet_NaN());
  for (const AskedValue& asked : at) {
    const auto found = std::find(condition.names.begin(), condition.names.end(), asked.name);
    if (found == condition.names.end()) {
      throw io::UsageError(fmt::format("the model knows no parameter '{}'; {}", asked.name,
                                       condition.names.empty()
                                           ? "it is unconstrained: leave --at out"
                                           : fmt::format("it knows {}", fmt::join(condition.names, ", "))));
    }
    const auto p = static_cast<size_t>(found - condition.names.begin());
    values[p] = value_of(asked, io::categories_of(condition.categories, p));
  }
  return values;
}

}  // namespace evenflow::experiments
