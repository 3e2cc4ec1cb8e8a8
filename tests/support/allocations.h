// Counts this program's calls of operator new.
#pragma once

#include <cstdint>

namespace evenflow::tests {

int64_t allocations();

}  // namespace evenflow::tests
