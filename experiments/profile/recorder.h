// Listens to the steps of a training and keeps, call by call, how long each operation takes alone.
#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "kernels/buffer.h"
#include "kernels/cost.h"
#include "kernels/event.h"
#include "kernels/launch_listener.h"
#include "kernels/trace.h"

namespace evenflow::experiments {

/// One call of an operation in a step, or a part of one.
struct RecordedCall {
  std::string phase;            ///< "forward"
  std::string place;            ///< "block2.step3", or empty
  std::string operation;        ///< "coupling_forward", a part "coupling_forward/conv1"
  int64_t occurrence = 0;       ///< of the operation at this phase and place, from 0
  bool part = false;            ///< its time is in its operation's too
  std::vector<double> seconds;  ///< one per step
  int64_t launches = 0;         ///< kernels, in the counted step
  kernels::Cost cost;           ///< counted by the operation itself, in the counted step
};

struct RecordedKernel {
  kernels::KernelLaunch launch;  ///< the largest of its launches; name is this struct's
  std::string name;
  int64_t launches = 0;
};

/// Ranges named "blockB.stepS" are places and those named by `phases` are phases; the outermost range within them is an
/// operation, what it opens are its parts.
class Recorder final : public kernels::Tracer, public kernels::LaunchListener {
 public:
  enum class Mode { silent, count, time };

  /// Before each timed operation so many bytes of other memory are overwritten on the stream (0: none), so that it
  /// finds none of its own in a cache. `also` (may be null) hears the ranges as well.
  Recorder(kernels::Stream& stream, std::vector<std::string> phases, int64_t flush_bytes, kernels::Tracer* also);

  void set_mode(Mode mode) { mode_ = mode; }
  void begin(const char* name, const kernels::Cost& cost) override;
  void end() noexcept override;
  void launched(const kernels::KernelLaunch& launch) override;
  /// Ends a step: waits for the stream and keeps its times. Throws what went wrong within it.
  void next();

  const std::vector<RecordedCall>& calls() const { return calls_; }
  const std::vector<RecordedKernel>& launches() const { return kernels_; }

 private:
  enum class Kind { phase, place, operation, part };
  struct Open {
    Kind kind = Kind::phase;
    size_t mark = 0;  // of an operation or part
  };
  struct Mark {
    size_t call = 0;
    kernels::Event begin, end;
  };
  void open(const std::string& name, const kernels::Cost& cost);
  size_t call_of(const std::string& operation, bool part);
  size_t new_mark(size_t call);
  void flush();

  kernels::Stream& stream_;
  std::vector<std::string> phases_;
  kernels::Buffer<float> other_;
  kernels::Tracer* also_;
  Mode mode_ = Mode::silent;
  std::exception_ptr failure_;

  std::vector<Open> open_;
  std::string phase_, place_;
  std::map<std::string, size_t> index_;        // of calls_, by their full path
  std::map<std::string, int64_t> occurrence_;  // in this step
  std::vector<RecordedCall> calls_;
  std::vector<RecordedKernel> kernels_;
  std::vector<Mark> marks_;
  size_t used_marks_ = 0;
};

}  // namespace evenflow::experiments
