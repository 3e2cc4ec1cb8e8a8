// A checkpoint after any edits is one that a training can go on from, or gives a DataError.
#include "train/loop/checkpoint.h"

#include <cstdlib>
#include <vector>

#include "io/error.h"
#include "tests/io/hdf5_edits.h"
#include "tests/io/no_leak_check.h"
#include "tests/support/fuzzer.h"
#include "tests/train/small_model.h"

namespace evenflow::fuzz {
namespace {

train::Checkpoint small_checkpoint() {
  train::Checkpoint checkpoint{train::testing::small_model(), {}, {}};
  const auto network = flow::make_scoring_model(checkpoint.model.config, checkpoint.model.condition, {});
  const std::vector<float> moments(static_cast<size_t>(network->layout().size()), 0.25f);
  checkpoint.model.optimizer = {moments, moments, 3};
  checkpoint.model.progress = {.epoch = 1, .step_in_epoch = 1, .seed = 1, .best_loss = 2.5, .best_epoch = 1};
  checkpoint.good = {moments, moments, moments, 2};
  checkpoint.sums = {.loss = 5.0, .windows = 2, .gradient_norm = 0.5, .gradient_norm_max = 0.5, .steps = 1};
  return checkpoint;
}

}  // namespace

bool reads(std::string_view input) {
  static const Hdf5Edits checkpoints = [] {
    train::write_checkpoint(folder() / "valid.h5", small_checkpoint());
    return Hdf5Edits(folder() / "valid.h5");
  }();
  const io::testing::NoLeakCheck library_leaks_on_damage;
  const auto file = checkpoints.edited(input, "checkpoint.h5");
  try {
    const train::Checkpoint checkpoint = train::read_checkpoint(file);
    const size_t size = checkpoint.model.optimizer->m.size();
    if (checkpoint.model.optimizer->v.size() != size || checkpoint.good.m.size() != size) {
      std::abort();
    }
  } catch (const io::DataError&) {
    return false;
  }
  return true;
}

}  // namespace evenflow::fuzz
