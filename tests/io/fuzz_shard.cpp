// A shard after any edits opens and reads, or gives a DataError.
#include "tests/io/small_shard.h"

#include <cstdlib>
#include <vector>

#include "io/error.h"
#include "io/shard.h"
#include "tests/io/hdf5_edits.h"
#include "tests/io/no_leak_check.h"
#include "tests/support/fuzzer.h"

bool evenflow::fuzz::reads(std::string_view input) {
  static const Hdf5Edits shards = [] {
    io::testing::write_small_shard(folder() / "valid.h5");
    return Hdf5Edits(folder() / "valid.h5");
  }();
  const io::testing::NoLeakCheck library_leaks_on_damage;
  const auto file = shards.edited(input, "shard.h5");
  try {
    const io::Shard shard(file);
    if (shard.data_hash().size() != 16 || shard.offsets().size() != shard.clips().size() + 1) {
      std::abort();
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}
