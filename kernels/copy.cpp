#include "kernels/copy.h"

#include "kernels/runtime.h"
#include "kernels/trace.h"

namespace evenflow::kernels {
namespace {

bool reaches(const Stream& stream, Device device) {
  return device.type == DeviceType::cpu || device == stream.device();
}

}  // namespace

void copy_bytes(Stream& stream, const void* from, Device from_device, void* to, Device to_device, int64_t bytes) {
  check(reaches(stream, from_device) && reaches(stream, to_device), "copy",
        "memory of the stream's device or the host");
  check(bytes >= 0, "copy", "no negative size");
  check(stream.lanes().count == 1, "copy", "a stream that serves one model");
  if (bytes == 0) {
    return;
  }
  const TraceRange range(stream, "copy");
  runtime_of(stream.device()).copy(stream, from, to, bytes);
}

void zero_bytes(Stream& stream, void* data, Device device, int64_t bytes) {
  check(device == stream.device(), "zero", "memory of the stream's device");
  check(bytes >= 0, "zero", "no negative size");
  if (bytes == 0) {
    return;
  }
  const TraceRange range(stream, "zero", Cost{static_cast<double>(bytes), 0});
  runtime_of(stream.device()).zero(stream, data, bytes);
}

}  // namespace evenflow::kernels
