// The time of day, as it stands in files and lines. It may be set at any moment: durations are not taken from it.
#pragma once

#include <string>

namespace evenflow::io {

/// "2026-01-31T12:00:00Z".
std::string utc_now();
/// "2026-01-31T12:00:00.123Z".
std::string utc_now_ms();

}  // namespace evenflow::io
