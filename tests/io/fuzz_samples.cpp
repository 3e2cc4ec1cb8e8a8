// A file of samples after any edits is read, or gives a DataError.
#include <cstdlib>
#include <limits>
#include <vector>

#include "io/error.h"
#include "io/samples_file.h"
#include "tests/io/hdf5_edits.h"
#include "tests/io/no_leak_check.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {

void write_small_samples(const std::filesystem::path& file) {
  const std::vector<float> logmel(2 * 3 * 4, -40.0f);
  io::write_samples(file, {.windows = 2,
                           .bands = 3,
                           .frames = 4,
                           .logmel_db = logmel,
                           .original = logmel,
                           .names = {"speed_rpm", "load_kg"},
                           .values = {100.0, std::numeric_limits<double>::quiet_NaN()},
                           .model = "model.h5",
                           .from = "a.wav"});
}

}  // namespace

bool reads(std::string_view input) {
  static const Hdf5Edits samples = [] {
    write_small_samples(folder() / "valid.h5");
    return Hdf5Edits(folder() / "valid.h5");
  }();
  const io::testing::NoLeakCheck library_leaks_on_damage;
  const auto file = samples.edited(input, "samples.h5");
  try {
    const io::Samples read = io::read_samples(file);
    const auto size = static_cast<size_t>(read.windows * read.bands * read.frames);
    if (read.logmel_db.size() != size || read.names.size() != read.values.size()) {
      std::abort();
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
