// libFuzzer entry: any bytes as a shard open and read, or give a DataError. A crash inside libhdf5 on a hostile file is
// the library's; one on our side of the call is ours.
#include <hdf5.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/error.h"
#include "io/model_file.h"
#include "io/shard.h"
#include "tests/io/no_leak_check.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer\'s
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace evenflow::io;
  const testing::NoLeakCheck library_leaks_on_damage;
  // Without lists of free blocks the sanitizer sees every block's end.
  static const bool plain_memory = H5set_free_list_limits(0, 0, 0, 0, 0, 0) >= 0;
  static const int file = ::memfd_create("fuzz_shard", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (!plain_memory || file < 0 || ::ftruncate(file, 0) != 0 ||
      ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size))
    std::abort();
  try {
    const Shard shard(path);
    if (shard.data_hash().size() != 16 || shard.offsets().size() != shard.clips().size() + 1) std::abort();
  } catch (const DataError&) {
  }
  try {
    (void)read_model(path);
  } catch (const DataError&) {
  }
  return 0;
}
