// A project of somebody else that only scores: score_recording MODEL RECORDING prints score and decision as the table
// of `evenflow score` has them. It links evenflow::detect, and so no trainer.
#include <cstdio>

#include "train/detect/score.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  evenflow::train::Detector detector(argv[1], "cpu", 1);
  const evenflow::train::ClipScore clip = detector.score(std::filesystem::path(argv[2]));
  std::printf("%s %.17g %d\n", detector.score_name().c_str(), clip.score, clip.decision);
}
