// The CPU's log-mel plan; kernels/logmel.cpp checks the settings first.
#pragma once

#include <memory>

#include "kernels/logmel.h"

namespace evenflow::kernels::cpu {

std::unique_ptr<LogMelPlan> make_logmel_plan(const LogMelSettings& settings);

}  // namespace evenflow::kernels::cpu
