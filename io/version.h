// Which evenflow this is: written into every model file, checkpoint and log, so that a result can be traced to its
// code.
#pragma once

#include <string_view>

namespace evenflow::io {

/// The release, "0.1.0".
std::string_view version();

/// The commit built from: 12 hexadecimal digits, "-dirty" behind them if the work tree had changes, or "unknown" when
/// the sources were not a git checkout.
std::string_view commit();

}  // namespace evenflow::io
