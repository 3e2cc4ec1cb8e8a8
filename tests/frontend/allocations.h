// Counts this program's calls of operator new.
#pragma once

#include <cstdint>

namespace evenflow::frontend::test {

int64_t allocations();

}  // namespace evenflow::frontend::test
