// Names for stretches of work on a stream: what a profiler or a benchmark listens to.
#pragma once

#include "kernels/stream.h"

namespace evenflow::kernels {

/// Hears of every range opened and closed on the streams it was given to (Stream::set_tracer). Ranges nest. The name's
/// memory lives until the matching end.
class Tracer {
 public:
  virtual ~Tracer() = default;
  virtual void begin(const char* name) = 0;
  virtual void end() noexcept = 0;
};

/// Opens a range and closes it at the end of the scope. Without a tracer: one comparison.
class TraceRange {
 public:
  TraceRange(Stream& stream, const char* name) : tracer_(stream.tracer()) {
    if (tracer_ != nullptr) tracer_->begin(name);
  }
  ~TraceRange() {
    if (tracer_ != nullptr) tracer_->end();
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  Tracer* tracer_;
};

}  // namespace evenflow::kernels
