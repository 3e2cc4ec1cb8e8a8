#include "experiments/failure.h"

#include <new>

#include "experiments/command.h"
#include "experiments/interrupt.h"
#include "io/error.h"
#include "kernels/check.h"

namespace evenflow::experiments {

Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Interrupted& interrupted) {
    return {exit_interrupted, interrupted.what()};
  } catch (const io::UsageError& usage) {
    return {exit_usage, usage.what()};
  } catch (const kernels::DeviceError& device) {
    return {exit_usage, device.what()};
  } catch (const std::bad_alloc&) {
    return {exit_data, "out of memory; lower train.batch, train.resident_mib or --threads"};
  } catch (const std::exception& other) {
    return {exit_data, other.what()};
  }
}

}  // namespace evenflow::experiments
