// What Python may want while work goes on without its lock: a callback's answer, Ctrl-C.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>

namespace evenflow::python {

/// Lets Python's signal handlers run, twenty times a second at most. They do so on the main thread alone.
class SignalCheck {
 public:
  /// Called without the GIL, now and then. nanobind::python_error: what a handler raised, such as KeyboardInterrupt.
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) {
      return;
    }
    next_ = now + std::chrono::milliseconds(50);
    const nanobind::gil_scoped_acquire locked;
    if (PyErr_CheckSignals() != 0) {
      throw nanobind::python_error();
    }
  }

 private:
  std::chrono::steady_clock::time_point next_;
};

}  // namespace evenflow::python
