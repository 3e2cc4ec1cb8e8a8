// The CPU's table of operations, every one of the list.
#include "kernels/operations.h"

#include "kernels/backend.h"
#include "kernels/cpu/choices.h"
#include "kernels/cpu/runtime.h"

namespace evenflow::kernels {

namespace cpu {
static constexpr Operations operations = EVENFLOW_OPERATION_TABLE;
}

const Backend& cpu_backend() {
  static const Backend backend = [] {
    cpu::choose();
    return Backend{&cpu::operations, &cpu::runtime()};
  }();
  return backend;
}

}  // namespace evenflow::kernels
