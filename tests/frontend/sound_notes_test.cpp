// What is said of recordings: a line for each kind, however many they are.
#include "frontend/sound_notes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenflow::frontend {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SoundNotes, NothingToSay) {
  SoundNotes notes({});
  notes.add("a.wav", {16000, 1, ""}, false);
  EXPECT_THAT(notes.lines(), IsEmpty());
}

TEST(SoundNotes, OneLineForEachKindNamesTheFirst) {
  SoundNotes notes({});
  for (int i = 0; i < 5; ++i) {
    notes.add("s" + std::to_string(i) + ".wav", {16000, 1, "without a length"}, false);
  }
  notes.add("low.wav", {8000, 1, ""}, false);
  for (int i = 0; i < 2; ++i) {
    notes.add("high" + std::to_string(i) + ".wav", {44100, 2, ""}, i == 0);
  }
  EXPECT_THAT(notes.lines(),
              ElementsAre("note: 5 recordings without a length: s0.wav, s1.wav, s2.wav and 2 more",
                          "note: 6 recordings have 1 channel, 2 recordings have 2 channels: the mean of a recording's "
                          "channels was taken; --frontend.channel 0 takes the first alone",
                          "note: 2 recordings at 44100 Hz were resampled to 16000 Hz: high0.wav, high1.wav",
                          "warning: 1 recording at 8000 Hz was resampled to 16000 Hz, and bands above 4000 Hz are "
                          "empty in it: low.wav",
                          "warning: 1 recording is silent or never varies: high0.wav"));
}

TEST(SoundNotes, ChannelsAsChosenAndAsTheBaselineOfDcaseChooses) {
  const SoundSource stereo{16000, 2, ""};
  SoundNotes chosen({.channel = "1"});
  chosen.add("a.wav", stereo, false);
  EXPECT_THAT(chosen.lines(), ElementsAre("note: 1 recording has 2 channels: channel 1 was taken; --frontend.channel "
                                          "mean takes the mean of all"));
  SoundNotes dcase({});
  dcase.add("fan/train/section_00_source_train_normal_0000_noAttribute.wav", stereo, false);
  EXPECT_THAT(dcase.lines(),
              ElementsAre("note: 1 recording has 2 channels: the mean of a recording's channels was taken; "
                          "--frontend.channel 0 takes the first alone, as DCASE's baseline does (2026: the microphone "
                          "near the machine)"));
  SoundNotes scored({}, true);
  scored.add("a.wav", stereo, false);
  EXPECT_THAT(scored.lines(), ElementsAre("note: 1 recording has 2 channels: the mean of a recording's channels was "
                                          "taken, as in the model's training"));
}

TEST(SoundNotes, OfFramesOnlySilenceIsKnown) {
  SoundNotes notes({}, true);
  notes.add_frames("a.wav", true);
  notes.add_frames("b.wav", false);
  EXPECT_THAT(notes.lines(), ElementsAre("warning: 1 recording is silent or never varies: a.wav"));
}

}  // namespace
}  // namespace evenflow::frontend
