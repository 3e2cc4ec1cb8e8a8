// Recordings to a trained model, from C++: example_train MANIFEST FOLDER
//
// Leaves FOLDER/features.h5 and the run folder FOLDER/run, as `evenflow prepare` and `evenflow train` do.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "frontend/prepare.h"
#include "io/config.h"
#include "io/manifest.h"
#include "train/loop/trainer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: example_train MANIFEST FOLDER\n");
    return 2;
  }
  try {
    const std::filesystem::path folder = argv[2];
    std::filesystem::create_directories(folder);

    // Every setting has a default. A small flow and few steps: enough to see it work, too few to detect anything.
    evenflow::io::Config config;
    config.model.blocks = 1;
    config.model.steps = 2;
    config.model.hidden = 16;
    config.train.steps = 30;
    config.train.batch = 8;
    config.train.learning_rate = 1e-3;

    // Recordings to log-mel frames. Only the frontend's settings and the length of a window matter here.
    const evenflow::io::Manifest manifest = evenflow::io::read_recordings(argv[1]);
    evenflow::frontend::PrepareOptions preparing;
    preparing.frontend = config.frontend;
    preparing.min_frames = config.window.window_frames;
    const auto prepared = evenflow::frontend::prepare(manifest, folder / "features.h5", preparing);
    std::printf("prepared %zu clips, %.0f s of sound\n", prepared.clips, prepared.seconds_of_sound);

    evenflow::train::TrainOptions training;
    training.config = config;
    training.shards = {folder / "features.h5"};
    training.run = folder / "run";
    training.replace = true;  // so that the example can be run again
    training.log = [](const std::string& line) { std::printf("  %s\n", line.c_str()); };
    const auto result = evenflow::train::train(training);
    std::printf("trained %lld steps, loss %.3f nats per dimension: %s\n", static_cast<long long>(result.steps),
                result.loss, (training.run / "model.h5").c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "example_train: %s\n", error.what());
    return 1;
  }
}
