// Names for stretches of work on a stream: what a profiler or a benchmark listens to.
#pragma once

#include "kernels/cost.h"
#include "kernels/stream.h"

namespace evenflow::kernels {

/// Hears of every range opened and closed on the streams it was given to (Stream::set_tracer). Ranges nest. The name's
/// memory lives until the matching end.
class Tracer {
 public:
  virtual ~Tracer() = default;
  /// `cost`: an operation's. Of a part of an operation the FLOP of its matrix products alone are counted.
  virtual void begin(const char* name, const Cost& cost) = 0;
  virtual void end() noexcept = 0;
};

/// Opens a range and closes it at the end of the scope. Without a tracer: one comparison.
class TraceRange {
 public:
  TraceRange(Stream& stream, const char* name, const Cost& cost = {}) : tracer_(stream.tracer()) {
    if (tracer_ != nullptr) {
      tracer_->begin(name, cost);
    }
  }
  /// An operation: its cost is counted only if somebody listens.
  template <class Task>
  TraceRange(Stream& stream, const char* name, const Task& task) : tracer_(stream.tracer()) {
    if (tracer_ != nullptr) {
      tracer_->begin(name, cost(task));
    }
  }
  ~TraceRange() {
    if (tracer_ != nullptr) {
      tracer_->end();
    }
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  Tracer* tracer_;
};

}  // namespace evenflow::kernels
