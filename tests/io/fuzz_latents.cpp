// A file of latents after any edits says what it holds, or gives a DataError.
#include <cstdlib>
#include <limits>
#include <vector>

#include "io/error.h"
#include "io/latents_file.h"
#include "tests/io/hdf5_edits.h"
#include "tests/io/no_leak_check.h"
#include "tests/support/fuzzer.h"

namespace evenflow::fuzz {
namespace {

void write_small_latents(const std::filesystem::path& file) {
  constexpr int64_t windows = 3, zc_size = 4, zd_size = 2;
  io::LatentsWriter writer(file, windows, zc_size, zd_size);
  writer.append(std::vector<float>(windows * zc_size, 0.5f), std::vector<float>(windows * zd_size, -1.0f));
  const io::Clip clip{"a.wav", "motor", io::Split::train, 0, {100.0}, "source", "00"};
  writer.finish({.clip = {0, 0, 1},
                 .frame = {0, 4, 0},
                 .columns = {{"nll", {1.0, 2.0, std::numeric_limits<double>::quiet_NaN()}}},
                 .estimated = {"speed_rpm"},
                 .estimates = {100.0, 101.0, 99.0},
                 .clips = {clip, clip},
                 .parameter_names = {"speed_rpm"}});
}

}  // namespace

bool reads(std::string_view input) {
  static const Hdf5Edits latents = [] {
    write_small_latents(folder() / "valid.h5");
    return Hdf5Edits(folder() / "valid.h5");
  }();
  const io::testing::NoLeakCheck library_leaks_on_damage;
  const auto file = latents.edited(input, "latents.h5");
  try {
    const io::LatentsSummary summary = io::read_latents_summary(file);
    if (summary.windows < 0 || summary.zc_size < 0 || summary.zd_size < 0 || summary.clips < 0) {
      std::abort();
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
