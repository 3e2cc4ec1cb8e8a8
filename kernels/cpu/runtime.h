// The CPU's runtime.
#pragma once

#include "kernels/runtime.h"

namespace evenflow::kernels::cpu {

Runtime& runtime();

}  // namespace evenflow::kernels::cpu
