// What the ranks of a training must have in common, and what the first tells the others.
#pragma once

#include <string>
#include <vector>

#include "kernels/communicator.h"

namespace evenflow::train {

/// io::UsageError, on every rank, unless all give the same text. `what`: "settings".
void require_same(kernels::Communicator& ranks, const std::string& what, const std::string& text);

/// The first rank's numbers to all; they have as many.
void take_from_first(kernels::Communicator& ranks, std::vector<float>& values);

}  // namespace evenflow::train
