// For tests: an emulated GPU that is lost in the middle of its work.
#pragma once

namespace evenflow::emulation {

/// The `launches`-th kernel from now on fails, as do all behind it, until the next call; 0: never.
void lose_device_after(long launches);

}  // namespace evenflow::emulation
