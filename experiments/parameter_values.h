// Values of parameters that a person asks for on the command line: --at velocity_mm_s=300 --at tool=B.
#pragma once

#include <string>
#include <vector>

#include "io/model_file.h"

namespace evenflow::experiments {

/// A parameter and its value as it was written.
struct AskedValue {
  std::string name, text;
};

/// Of a model that knows these parameters. io::UsageError: a word that is not a parameter, '=' and something behind it,
/// or two of one parameter.
std::vector<AskedValue> parse_values(const std::vector<std::string>& at, const std::vector<std::string>& parameters);

/// The values asked for, in the model's order, a category as its code; NaN where none was given. io::UsageError: no
/// such parameter, what is no number of one, or no category that the model knows.
std::vector<double> values_for(const io::ConditionData& condition, const std::vector<AskedValue>& at);

}  // namespace evenflow::experiments
