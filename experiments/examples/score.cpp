// Recordings to scores and decisions, from C++: example_score MODEL RECORDING...
//
// What a monitor needs: it links evenflow::detect and nothing that trains.
#include <cstdio>
#include <exception>
#include <limits>

#include "frontend/features.h"
#include "train/detect/score.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: example_score MODEL RECORDING...\n");
    return 2;
  }
  try {
    // One Detector serves for as long as the program runs. 0 threads: one per core.
    evenflow::train::Detector detector(argv[1], "auto", 0);
    // A recording must go through the same transform as those the model was trained on.
    const evenflow::io::FrontendSettings& settings = detector.model().config.frontend;
    evenflow::frontend::LogMel transform(settings);

    for (int i = 2; i < argc; ++i) {
      evenflow::io::Clip clip;
      clip.path = argv[i];
      // The operating point is unknown, which is the usual case: the default score does not need it.
      clip.parameter.assign(detector.model().condition.names.size(), std::numeric_limits<double>::quiet_NaN());
      const auto features = evenflow::frontend::file_features(clip.path, settings, transform);
      const evenflow::train::ClipScore result = detector.score(clip, features.logmel_db);
      std::printf("%s: %s %.1f, threshold %.1f: %s\n", argv[i], detector.score_name().c_str(), result.score,
                  detector.model().threshold.value,
                  result.decision == 1   ? "anomalous"
                  : result.decision == 0 ? "normal"
                                         : "no decision");
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "example_score: %s\n", error.what());
    return 1;
  }
}
