#include "tests/experiments/small_world.h"

#include <stdexcept>

namespace evenflow::experiments::test {
namespace {

void make(const Words& words) {
  const Outcome outcome = run(words);
  if (outcome.code != 0) {
    throw std::runtime_error("evenflow " + words.front() + ": " + outcome.err);
  }
}

}  // namespace

const SmallWorld& SmallWorld::get() {
  static const SmallWorld world;
  return world;
}

Words SmallWorld::synth_words(const std::string& folder) {
  return {"synth",
          folder,
          "--train-velocities",
          "100,300",
          "--test-velocities",
          "100,200",
          "--train-distances",
          "100",
          "--test-distances",
          "100",
          "--train-clips",
          "4",
          "--normal-clips",
          "2",
          "--anomaly-clips",
          "2",
          "--duration",
          "0.4"};
}

Words SmallWorld::train_words(const std::string& run_folder, const std::string& epochs) const {
  return {"train", shard(), "--run", run_folder, "--config", config(), "--epochs", epochs};
}

SmallWorld::SmallWorld() {
  put(config(),
      "[window]\nwindow_frames = 8\nwindow_hop_frames = 4\n[model]\nblocks = 1\nsteps = 1\nhidden = 4\n"
      "[train]\nbatch = 8\nthreads = 1\nlearning_rate = 1e-3\n");
  make(synth_words(rails()));
  make({"prepare", manifest(), "--out", shard(), "--config", config()});
  make(train_words(run(), "2"));
  make({"score", "--model", model(), shard(), "--split", "all", "--out", scores()});
}

}  // namespace evenflow::experiments::test
