// A model file after any edits scores a clip, or gives a DataError.
#include <vector>

#include "io/error.h"
#include "io/model_file.h"
#include "tests/io/hdf5_edits.h"
#include "tests/io/no_leak_check.h"
#include "tests/support/fuzzer.h"
#include "tests/train/small_model.h"
#include "train/detect/score.h"

bool evenflow::fuzz::reads(std::string_view input) {
  static const Hdf5Edits models = [] {
    io::write_model(folder() / "valid.h5", train::testing::small_model());
    return Hdf5Edits(folder() / "valid.h5");
  }();
  const io::testing::NoLeakCheck library_leaks_on_damage;
  const auto file = models.edited(input, "model.h5");
  try {
    train::Detector detector(file, "cpu", 1);
    const std::vector<float> logmel(static_cast<size_t>(16 * detector.network().height()), -40.0f);
    (void)detector.score({.path = "a.wav", .parameter = {}}, logmel);
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}
