#include "kernels/graph.h"

#include "kernels/check.h"
#include "kernels/runtime.h"
#include "kernels/trace.h"

namespace evenflow::kernels {

Graph::Graph(Stream& stream, std::function<void()> record) : device_(stream.device()) {
  check(static_cast<bool>(record), "Graph", "something to record");
  if (device_.type == DeviceType::cpu) {
    record_ = std::move(record);
    return;
  }
  Runtime& runtime = runtime_of(device_);
  runtime.begin_capture(stream);
  try {
    record();
  } catch (...) {
    // The stream must leave its capture; what was recorded goes, and record's own error is the one to tell.
    try {
      void* const unfinished = runtime.end_capture(stream);
      if (unfinished != nullptr) {
        runtime.release_graph(unfinished);
      }
    } catch (const DeviceError&) {  // NOLINT(bugprone-empty-catch)
    }
    throw;
  }
  handle_ = runtime.end_capture(stream);
}

Graph::~Graph() {
  if (handle_ != nullptr) {
    runtime_of(device_).release_graph(handle_);
  }
}

void Graph::launch(Stream& stream) {
  check(!empty(), "Graph::launch", "a graph that was recorded");
  check(stream.device() == device_, "Graph::launch", "a stream of the graph's device");
  const TraceRange range(stream, "graph");
  if (handle_ == nullptr) {
    record_();
  } else {
    runtime_of(device_).launch_graph(stream, handle_);
  }
}

int64_t Graph::nodes() const {
  return handle_ == nullptr ? 0 : runtime_of(device_).graph_nodes(handle_);
}

}  // namespace evenflow::kernels
