// libhdf5 1.10.8 loses memory of its own where it refuses a damaged file; the leak check must not count it as ours.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EVENFLOW_LEAK_CHECK 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EVENFLOW_LEAK_CHECK 1
#endif

#ifdef EVENFLOW_LEAK_CHECK
#include <sanitizer/lsan_interface.h>
#endif

namespace evenflow::io::testing {

/// Allocations in its lifetime are not looked at by LeakSanitizer.
class [[maybe_unused]] NoLeakCheck {
 public:
#ifdef EVENFLOW_LEAK_CHECK
  NoLeakCheck() {
    __lsan_disable();
  }
  ~NoLeakCheck() {
    __lsan_enable();
  }
#else
  NoLeakCheck() = default;
  ~NoLeakCheck() = default;
#endif
  NoLeakCheck(const NoLeakCheck&) = delete;
  NoLeakCheck& operator=(const NoLeakCheck&) = delete;
};

}  // namespace evenflow::io::testing
