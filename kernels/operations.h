// The list of the operations, and the table that a backend fills from it.
//
// A task is a plain struct in the header of its operation (squeeze.h: Squeeze). Here its name alone is known: no
// operation's header is read from here, and an operation's source reads no backend's.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "kernels/trace.h"

// clang-format off

// Every operation's task, a line per header. A backend has `void run(Stream&, const Task&)` for each, in cpu/<op>.cpp
// and cuda/<op>.cu; one that it lacks does not link.
#define EVENFLOW_OPERATIONS(X)                                                                \
  X(Squeeze) X(Unsqueeze)                                                                     \
  X(ActnormForward) X(ActnormInverse) X(ActnormBackward) X(ActnormInitialise)                 \
  X(InvconvApply) X(InvconvBackward)                                                          \
  X(ActnormInvconvForward) X(ActnormInvconvBackward) X(ActnormInvconvAddShares)               \
  X(InvconvAssemblePlu) X(InvconvAssembleDense) X(InvconvPluBackward) X(InvconvDenseBackward) \
  X(ConstantLogDet) X(ActnormLogDetBackward)                                                  \
  X(CouplingPack) X(CouplingForward) X(CouplingInverse) X(CouplingBackward) X(CouplingAddShares)            \
  X(AdditiveForward) X(AdditiveInverse) X(AdditiveBackward)                                   \
  X(GaussianMoments) X(GaussianSquares) X(GaussianBackward)                                   \
  X(RowMoments)                                                                               \
  X(LatentLoss)                                                                               \
  X(LinearForward) X(LinearBackward)                                                          \
  X(CodeSample) X(CodeLoss) X(CodeBackward)                                                   \
  X(CrossEntropy) X(CrossEntropyBackward)                                                     \
  X(Subtract)                                                                                 \
  X(SumRows) X(SquaredNorm)                                                                   \
  X(AdamUpdate)                                                                               \
  X(SelectBatch) X(GuardedUpdate)                                                             \
  X(GatherWindows) X(DrawChanges)                                                             \
  X(RandomOrder)                                                                              \
  X(LogMel)

// Questions about an operation's buffers, where backends differ: `BufferSizes sizes(const Question&)`.
#define EVENFLOW_BUFFER_QUESTIONS(X) X(ActnormInvconvBuffers) X(CouplingBuffers) X(RandomOrderBuffers)

// clang-format on

namespace evenflow::kernels {

/// In the operation's own unit; 0 for what it has not.
struct BufferSizes {
  int64_t packed = 0, saved = 0, workspace = 0, shares = 0;
  bool serves_lanes = false;  ///< lanes.h
};

// clang-format off
#define EVENFLOW_TASK(Task)                                        \
  struct Task;                                                     \
  namespace cpu { void run(Stream& stream, const Task& task); }    \
  namespace cuda { void run(Stream& stream, const Task& task); }
#define EVENFLOW_QUESTION(Question)                                \
  struct Question;                                                 \
  namespace cpu { BufferSizes sizes(const Question& question); }   \
  namespace cuda { BufferSizes sizes(const Question& question); }
// clang-format on
EVENFLOW_OPERATIONS(EVENFLOW_TASK)
EVENFLOW_BUFFER_QUESTIONS(EVENFLOW_QUESTION)
#undef EVENFLOW_TASK
#undef EVENFLOW_QUESTION

/// What the rest of a table holds, in words: a library of another list is told by it before anything is called.
struct OperationNames {
  const char* names;
};
template <class Task>
struct Operation {
  void (*run)(Stream& stream, const Task& task);
};
template <class Question>
struct BufferQuestion {
  BufferSizes (*sizes)(const Question& question);
};

#define EVENFLOW_NAME(Task) " " #Task
#define EVENFLOW_OPERATION(Task) , Operation<Task>
#define EVENFLOW_QUESTION(Question) , BufferQuestion<Question>
inline constexpr const char* operation_names =
    "operations:" EVENFLOW_OPERATIONS(EVENFLOW_NAME) EVENFLOW_BUFFER_QUESTIONS(EVENFLOW_NAME);
/// What a backend can compute, a function per task.
struct Operations : OperationNames EVENFLOW_OPERATIONS(EVENFLOW_OPERATION)
                        EVENFLOW_BUFFER_QUESTIONS(EVENFLOW_QUESTION) {};
#undef EVENFLOW_NAME
#undef EVENFLOW_OPERATION
#undef EVENFLOW_QUESTION

// The table of the backend in whose namespace it stands.
// clang-format off
#define EVENFLOW_RUN(Task) , {run}
#define EVENFLOW_SIZES(Question) , {sizes}
// clang-format on
#define EVENFLOW_OPERATION_TABLE \
  { {operation_names} EVENFLOW_OPERATIONS(EVENFLOW_RUN) EVENFLOW_BUFFER_QUESTIONS(EVENFLOW_SIZES) }

/// The device's; DeviceError as runtime_of (runtime.h).
const Operations& operations_of(Device device);

/// Runs a task whose contract has been checked, as a range of this name.
template <class Task>
void dispatch(Stream& stream, const char* name, const Task& task) {
  const TraceRange range(stream, name, task);
  static_cast<const Operation<Task>&>(operations_of(stream.device())).run(stream, task);
}

template <class Question>
BufferSizes sizes_on(Device device, const Question& question) {
  return static_cast<const BufferQuestion<Question>&>(operations_of(device)).sizes(question);
}

}  // namespace evenflow::kernels
