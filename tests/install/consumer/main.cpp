// A project of somebody else: every room's header is found, and what they link resolves.
#include <cstdio>

#include "flow/glow.h"
#include "frontend/audio.h"
#include "io/version.h"
#include "kernels/device.h"
#include "train/statistics/metrics.h"

int main() {
  std::printf("evenflow %.*s on %s\n", static_cast<int>(evenflow::io::version().size()), evenflow::io::version().data(),
              evenflow::kernels::describe({}).c_str());
}
