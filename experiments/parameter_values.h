// Values of parameters that a person asks for on the command line: --at velocity_mm_s=300.
#pragma once

#include <string>
#include <vector>

#include "io/model_file.h"
#include "io/parameter_value.h"

namespace evenflow::experiments {

/// io::UsageError: a word that is not a name, '=' and a number, or two of one name.
std::vector<io::ParameterValue> parse_values(const std::vector<std::string>& at);

/// The values asked for, in the model's order; NaN where none was given. io::UsageError: no such parameter.
std::vector<double> values_for(const io::ConditionData& condition, const std::vector<io::ParameterValue>& at);

}  // namespace evenflow::experiments
