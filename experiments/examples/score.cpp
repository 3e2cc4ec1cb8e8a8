// Recordings to scores and decisions, from C++: example_score MODEL RECORDING...
//
// What a monitor needs: it links evenflow::detect and nothing that trains.
#include <cstdio>
#include <exception>
#include <filesystem>

#include "train/detect/score.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: example_score MODEL RECORDING...\n");
    return 2;
  }
  try {
    // One Detector serves for as long as the program runs. 0 threads: one per core.
    evenflow::train::Detector detector(argv[1], "auto", 0);

    for (int i = 2; i < argc; ++i) {
      // From file to decision. The operating point is unknown, which is the usual case: the default score does not need
      // it.
      const evenflow::train::ClipScore result = detector.score(std::filesystem::path(argv[i]));
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
