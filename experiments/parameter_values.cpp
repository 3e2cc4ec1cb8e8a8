#include "experiments/parameter_values.h"

#include <algorithm>
#include <limits>

#include "io/error.h"

namespace evenflow::experiments {

std::vector<io::ParameterValue> parse_values(const std::vector<std::string>& at) {
  std::vector<io::ParameterValue> values;
  for (const std::string& text : at) {
    const auto parsed = io::parse_parameter_value(text);
    if (!parsed) {
      throw io::UsageError("--at '" + text + "' must be a parameter and a number: --at velocity_mm_s=300");
    }
    if (std::any_of(values.begin(), values.end(), [&](const auto& other) { return other.name == parsed->name; })) {
      throw io::UsageError("--at gives '" + parsed->name + "' twice; give one value");
    }
    values.push_back(*parsed);
  }
  return values;
}

std::vector<double> values_for(const io::ConditionData& condition, const std::vector<io::ParameterValue>& at) {
  std::vector<double> values(condition.names.size(), std::numeric_limits<double>::quiet_NaN());
  for (const io::ParameterValue& asked : at) {
    const auto found = std::find(condition.names.begin(), condition.names.end(), asked.name);
    if (found == condition.names.end()) {
      std::string known;
      for (const std::string& name : condition.names) {
        known += (known.empty() ? "" : ", ") + name;
      }
      throw io::UsageError("the model knows no parameter '" + asked.name + "'; " +
                           (known.empty() ? "it is unconstrained: leave --at out" : "it knows " + known));
    }
    values[static_cast<size_t>(found - condition.names.begin())] = asked.value;
  }
  return values;
}

}  // namespace evenflow::experiments
