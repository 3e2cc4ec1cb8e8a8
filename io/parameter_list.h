// Which tensors a model of a configuration has. Files of version 1 do not list theirs.
#pragma once

#include <vector>

#include "io/model_file.h"

namespace evenflow::io {

/// Names, shapes and types in the model file's order, without values; as flow's Model::tensors() gives them.
std::vector<Tensor> parameter_list(const Config& config, const ConditionData& condition);

}  // namespace evenflow::io
