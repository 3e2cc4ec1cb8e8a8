#include "train/loop/loader.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <set>

#include "io/error.h"
#include "tests/train/train_fixture.h"
#include "train/loop/selection.h"

namespace evenflow::train {
namespace {

using testing::bands;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TempFolder;

constexpr int64_t resident = int64_t{1} << 30;
constexpr int64_t streamed = 0;

io::WindowSettings tiny_window() {
  return testing::tiny_config().window;
}

ClipSelection all_clips(const std::vector<const io::Shard*>& shards) {
  ClipSelection selection{shards, {}};
  for (size_t s = 0; s < shards.size(); ++s) {
    for (size_t c = 0; c < shards[s]->clips().size(); ++c) {
      selection.clips.emplace_back(static_cast<int32_t>(s), static_cast<int32_t>(c));
    }
  }
  return selection;
}

// Everything an epoch hands out, batch after batch, with its frames spelled out.
struct Epoch {
  std::vector<std::vector<float>> windows;
  std::vector<double> v;
  std::vector<int64_t> batch_sizes;
  std::vector<std::tuple<int32_t, int32_t, int64_t>> refs;
  bool operator==(const Epoch&) const = default;
};

Epoch collect(Loader& loader) {
  Epoch epoch;
  const int64_t size = static_cast<int64_t>(tiny_window().window_frames) * bands;
  for (WindowBatch batch = loader.next(); batch.size() > 0; batch = loader.next()) {
    epoch.batch_sizes.push_back(batch.size());
    for (const int64_t start : batch.start) {
      const float* first = batch.frames.data() + start * bands;
      epoch.windows.emplace_back(first, first + size);
    }
    epoch.v.insert(epoch.v.end(), batch.v.begin(), batch.v.end());
    for (const WindowRef& ref : loader.refs()) {
      epoch.refs.emplace_back(ref.shard, ref.clip, ref.frame);
    }
  }
  return epoch;
}

TEST(EpochOrder, IsAPermutation) {
  for (const int64_t n : {0, 1, 2, 31, 32, 33, 1009}) {
    const std::vector<int64_t> order = epoch_order(n, 3, 5);
    const std::set<int64_t> distinct(order.begin(), order.end());
    EXPECT_EQ(static_cast<int64_t>(distinct.size()), n);
    EXPECT_TRUE(n == 0 || (*distinct.begin() == 0 && *distinct.rbegin() == n - 1));
  }
}

// Recorded once: the order of a training may never change, or old checkpoints would not go on bit by bit.
TEST(EpochOrder, IsAlwaysTheSame) {
  EXPECT_THAT(epoch_order(8, 1, 0), ElementsAre(4, 6, 5, 0, 7, 1, 3, 2));
  EXPECT_THAT(epoch_order(8, 1, 1), ElementsAre(0, 3, 4, 5, 2, 1, 7, 6));
  EXPECT_THAT(epoch_order(8, 2, 0), ElementsAre(0, 1, 5, 2, 6, 7, 3, 4));
}

TEST(EpochOrder, EachPositionTakesEachValueEquallyOften) {
  constexpr int n = 5, epochs = 5000;
  std::array<std::array<int, n>, n> count{};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const std::vector<int64_t> order = epoch_order(n, 42, epoch);
    for (size_t i = 0; i < n; ++i) {
      ++count[i][static_cast<size_t>(order[i])];
    }
  }
  // Five standard deviations of a binomial count.
  const double expected = double{epochs} / n, bound = 5.0 * std::sqrt(expected * (1.0 - 1.0 / n));
  for (const auto& row : count) {
    for (const int seen : row) {
      EXPECT_TRUE(std::abs(seen - expected) <= bound) << seen;
    }
  }
}

class LoaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_shard(folder_ / "a.h5");
    testing::write_shard(folder_ / "b.h5", {.train_clips = 3, .test_clips = 0, .seed = 9});
  }
  TempFolder folder_;
};

TEST_F(LoaderTest, StreamsWhatItWouldHoldResident) {
  const io::Shard a(folder_ / "a.h5"), b(folder_ / "b.h5");
  Loader held(all_clips({&a, &b}), tiny_window(), {0}, resident),
      read(all_clips({&a, &b}), tiny_window(), {0}, streamed);
  ASSERT_TRUE(held.resident());
  ASSERT_FALSE(read.resident());
  EXPECT_EQ(held.windows(), read.windows());
  for (const int windows_per_clip : {0, 2}) {
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      held.start_epoch(5, epoch, 7, windows_per_clip);
      read.start_epoch(5, epoch, 7, windows_per_clip);
      const Epoch expected = collect(held);
      EXPECT_EQ(static_cast<int64_t>(expected.windows.size()), held.windows_per_epoch(windows_per_clip));
      EXPECT_TRUE(expected == collect(read));
    }
  }
  held.start_in_order(4);
  read.start_in_order(4);
  EXPECT_TRUE(collect(held) == collect(read));
}

TEST_F(LoaderTest, EveryWindowComesOnceWithItsOwnFramesAndValue) {
  const io::Shard a(folder_ / "a.h5");
  Loader loader(all_clips({&a}), tiny_window(), {0}, resident);
  loader.start_epoch(1, 0, 8, 0);
  const Epoch epoch = collect(loader);
  EXPECT_EQ(std::set(epoch.refs.begin(), epoch.refs.end()).size(), epoch.refs.size());
  std::vector<float> frames(epoch.windows[0].size());
  for (size_t i = 0; i < epoch.refs.size(); ++i) {
    const auto [shard, clip, frame] = epoch.refs[i];
    const auto c = static_cast<size_t>(clip);
    EXPECT_GE(frame, a.offsets()[c]);
    EXPECT_LE(frame + 8, a.offsets()[c + 1]);
    EXPECT_EQ(epoch.v[i], a.clips()[c].parameter[0]);
    a.read_frames(frame, 8, frames.data());
    EXPECT_EQ(frames, epoch.windows[i]);
  }
}

TEST_F(LoaderTest, GoesOnFromAnyBatch) {
  const io::Shard a(folder_ / "a.h5");
  for (const int64_t bytes : {resident, streamed}) {
    Loader loader(all_clips({&a}), tiny_window(), {0}, bytes);
    loader.start_epoch(1, 2, 8, 0);
    const Epoch whole = collect(loader);
    for (size_t first = 0; first <= whole.batch_sizes.size(); ++first) {
      loader.start_epoch(1, 2, 8, 0, static_cast<int64_t>(first));
      const Epoch rest = collect(loader);
      const size_t skipped = std::min(first * 8, whole.windows.size());
      EXPECT_EQ(rest.windows, std::vector(whole.windows.begin() + static_cast<int64_t>(skipped), whole.windows.end()));
    }
  }
}

TEST_F(LoaderTest, DrawsDistinctWindowsAnewEachEpoch) {
  const io::Shard a(folder_ / "a.h5");
  Loader loader(all_clips({&a}), tiny_window(), {0}, resident);
  std::set<std::tuple<int32_t, int32_t, int64_t>> seen;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    loader.start_epoch(1, epoch, 8, 2);
    const Epoch drawn = collect(loader);
    EXPECT_EQ(drawn.refs.size(), 2 * a.clips().size());
    EXPECT_EQ(std::set(drawn.refs.begin(), drawn.refs.end()).size(), drawn.refs.size());
    seen.insert(drawn.refs.begin(), drawn.refs.end());
  }
  EXPECT_EQ(static_cast<int64_t>(seen.size()), loader.windows());
}

TEST_F(LoaderTest, AnEpochMayBeLeftEarly) {
  const io::Shard a(folder_ / "a.h5");
  Loader loader(all_clips({&a}), tiny_window(), {0}, streamed);
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    loader.start_epoch(1, epoch, 8, 0);
    EXPECT_EQ(loader.next().size(), 8);
  }
}

TEST_F(LoaderTest, NamesAClipTooShortForAWindow) {
  testing::write_shard(folder_ / "short.h5", {.change = [](size_t clip, std::vector<float>& frames) {
                         if (clip == 3) {
                           frames.resize(7 * bands);
                         }
                       }});
  const io::Shard shard(folder_ / "short.h5");
  const std::string text =
      message_of<io::DataError>([&] { Loader(all_clips({&shard}), tiny_window(), {0}, resident); });
  EXPECT_THAT(text, HasSubstr("clip_3.wav"));
  EXPECT_THAT(text, HasSubstr("7 frames"));
}

TEST_F(LoaderTest, AReadErrorOfThePrefetchThreadReachesTheCaller) {
  const io::Shard shard(folder_ / "a.h5");
  Loader loader(all_clips({&shard}), tiny_window(), {0}, streamed);
  {
    std::fstream file(folder_ / "a.h5", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1024);
    file << std::string(16384, '\xff');  // frames and their checksums
  }
  loader.start_epoch(1, 0, 8, 0);
  EXPECT_THROW(collect(loader), io::DataError);
}

TEST_F(LoaderTest, VisitsTheSameFramesEitherWay) {
  const io::Shard a(folder_ / "a.h5");
  Loader held(all_clips({&a}), tiny_window(), {0}, resident), read(all_clips({&a}), tiny_window(), {0}, streamed);
  std::vector<float> first, second;
  held.visit_frames([&](std::span<const float> frames) { first.insert(first.end(), frames.begin(), frames.end()); });
  read.visit_frames([&](std::span<const float> frames) { second.insert(second.end(), frames.begin(), frames.end()); });
  EXPECT_EQ(static_cast<int64_t>(first.size()), a.frames() * bands);
  EXPECT_EQ(first, second);
}

// ---- selection

TEST_F(LoaderTest, TrainingTakesNormalClipsOfTheMachine) {
  testing::write_shard(folder_ / "two.h5", {.change_clip = [](size_t clip, io::Clip& out) {
                         if (clip % 2 == 1) {
                           out.machine = "fan";
                         }
                         if (clip == 4) {
                           out.label = -1;
                         }
                       }});
  const io::Shard shard(folder_ / "two.h5");
  EXPECT_EQ(normal_training_clips({&shard}, "").clips.size(), 10U);
  EXPECT_EQ(normal_training_clips({&shard}, "fan").clips.size(), 5U);
  const std::string text = message_of<io::DataError>([&] { normal_training_clips({&shard}, "pump"); });
  EXPECT_THAT(text, HasSubstr("'pump'"));
  EXPECT_THAT(text, HasSubstr("'fan', 'rail'"));
}

TEST_F(LoaderTest, AnAnomalyAmongTheTrainingClipsIsAnError) {
  testing::write_shard(folder_ / "bad.h5", {.change_clip = [](size_t clip, io::Clip& out) {
                         if (clip == 6) {
                           out.label = 1;
                         }
                       }});
  const io::Shard shard(folder_ / "bad.h5");
  EXPECT_THAT(message_of<io::DataError>([&] { normal_training_clips({&shard}, ""); }), HasSubstr("clip_6.wav"));
}

TEST_F(LoaderTest, HoldsOutClipsEvenlyOverOperatingPoints) {
  testing::write_shard(folder_ / "many.h5", {.train_clips = 100, .test_clips = 0});
  const io::Shard shard(folder_ / "many.h5");
  const ClipSelection all = normal_training_clips({&shard}, "");
  const HeldOut sides = hold_out(all, 0.1, 1);
  EXPECT_EQ(sides.validation.clips.size(), 10U);
  EXPECT_EQ(sides.train.clips.size(), 90U);
  std::map<double, int> held;
  for (const auto& [s, c] : sides.validation.clips) {
    ++held[shard.clips()[static_cast<size_t>(c)].parameter[0]];
  }
  EXPECT_EQ(held.size(), 5U);
  for (const auto& [value, count] : held) {
    EXPECT_EQ(count, 2) << value;
  }
  EXPECT_NE(hold_out(all, 0.1, 2).validation.clips, sides.validation.clips);
}

TEST_F(LoaderTest, HoldsOutAtLeastOneClipAndKeepsOne) {
  const io::Shard b(folder_ / "b.h5");
  const ClipSelection three = normal_training_clips({&b}, "");
  EXPECT_EQ(hold_out(three, 0.0, 1).validation.clips.size(), 0U);
  EXPECT_EQ(hold_out(three, 0.01, 1).validation.clips.size(), 1U);
  EXPECT_EQ(hold_out(three, 0.99, 1).train.clips.size(), 2U);  // three operating points of one clip each
  ClipSelection one = three;
  one.clips.resize(1);
  EXPECT_EQ(hold_out(one, 0.5, 1).train.clips.size(), 1U);
}

TEST_F(LoaderTest, LeavesOutTheClipsOfAnOperatingPoint) {
  testing::write_shard(folder_ / "many.h5",
                       {.train_clips = 20, .test_clips = 0, .change_clip = [](size_t i, io::Clip& out) {
                          if (i == 7) {
                            out.parameter[0] = std::nan("");
                          }
                        }});
  const io::Shard shard(folder_ / "many.h5");
  const ClipSelection all = normal_training_clips({&shard}, "");
  const auto values_without = [&](const std::vector<std::string>& points) {
    std::map<double, int> values;
    for (const auto& [s, c] : leave_out(all, points).clips) {
      const double value = shard.clips()[static_cast<size_t>(c)].parameter[0];
      ++values[std::isnan(value) ? -1 : value];
    }
    return values;
  };
  EXPECT_EQ(values_without({}).size(), 6U);
  const std::map<double, int> left = values_without({"velocity_mm_s=205", "velocity_mm_s=500"});
  EXPECT_EQ(left.size(), 4U);
  EXPECT_FALSE(left.contains(200)) << "within a tenth of the step";
  EXPECT_FALSE(left.contains(500));
  EXPECT_TRUE(left.contains(-1)) << "a clip of unknown value stays";
  const auto refusal = [&](const std::vector<std::string>& points) {
    return message_of<io::UsageError>([&] { leave_out(all, points); });
  };
  EXPECT_THAT(refusal({"load=3"}), HasSubstr("'load'"));
  EXPECT_THAT(refusal({"velocity_mm_s=250"}), HasSubstr("there are 100, 200, 300, 400 and 500"));
  io::TrainSettings settings;
  settings.leave_out = {"velocity_mm_s=100"};
  EXPECT_EQ(clips_to_train_on({&shard}, settings).clips.size(), 16U);
}

TEST_F(LoaderTest, LeavesOutTheClipsOfAName) {
  testing::write_shard(folder_ / "tools.h5", {.train_clips = 9,
                                              .test_clips = 0,
                                              .more_parameters = {"tool"},
                                              .categories = {{}, {"A", "B = 2"}},
                                              .change_clip = [](size_t i, io::Clip& out) {
                                                out.parameter[1] = i == 8 ? std::nan("") : static_cast<double>(i % 2);
                                              }});
  const io::Shard shard(folder_ / "tools.h5");
  const ClipSelection all = normal_training_clips({&shard}, "");
  const ClipSelection left = leave_out(all, {"tool=B = 2"});
  EXPECT_EQ(left.clips.size(), 5U) << "a clip of unknown name stays";
  for (const auto& [s, c] : left.clips) {
    EXPECT_NE(shard.clips()[static_cast<size_t>(c)].parameter[1], 1.0);
  }
  EXPECT_THAT(message_of<io::UsageError>([&] { leave_out(all, {"tool=C"}); }), HasSubstr("there are A and B = 2"));
  EXPECT_THAT(message_of<io::UsageError>([&] { leave_out(all, {"velocity_mm_s=fast"}); }), HasSubstr("is no number"));
}

ClipSelection training_clips(const io::Shard& shard) {
  return normal_training_clips({&shard}, "");
}

// Clip by clip a machine and a speed.
std::vector<std::pair<std::string, double>> points_in(const ClipSelection& selection) {
  std::vector<std::pair<std::string, double>> out;
  for (const auto& [s, c] : selection.clips) {
    const io::Clip& clip = selection.shards[static_cast<size_t>(s)]->clips()[static_cast<size_t>(c)];
    out.emplace_back(clip.machine, clip.parameter.empty() ? 0.0 : clip.parameter[0]);
  }
  return out;
}

class HoldOut : public LoaderTest {
 protected:
  io::Shard shard_of(const std::vector<std::pair<std::string, double>>& clips) {
    const std::filesystem::path file = folder_ / ("held" + std::to_string(count_++) + ".h5");
    testing::write_shard(
        file,
        {.train_clips = static_cast<int>(clips.size()), .test_clips = 0, .change_clip = [&](size_t i, io::Clip& out) {
           out.machine = clips[i].first;
           out.parameter[0] = clips[i].second;
         }});
    return io::Shard(file);
  }
  int count_ = 0;
};

TEST_F(HoldOut, NamesAnOperatingPointThatIsLostAndKeepsTheEnds) {
  const io::Shard shard = shard_of({{"m", 100}, {"m", 200}, {"m", 300}, {"m", 400}, {"m", 500}});
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const HeldOut sides = hold_out(training_clips(shard), 0.1, seed);
    ASSERT_EQ(sides.lost.size(), 1U);
    EXPECT_EQ(sides.lost, sides.validation.clips);
    const double speed = points_in(sides.validation)[0].second;
    EXPECT_TRUE(speed > 100 && speed < 500) << speed;
  }
}

TEST_F(HoldOut, TakesNoneOfTwoSingleClips) {
  const io::Shard shard = shard_of({{"m", 100}, {"m", 200}});
  const HeldOut sides = hold_out(training_clips(shard), 0.5, 1);
  EXPECT_EQ(sides.train.clips.size(), 2U);
  EXPECT_TRUE(sides.lost.empty());
}

TEST_F(HoldOut, TakesAClipWhosePointAnotherMachineHas) {
  const io::Shard shard = shard_of({{"a", 100}, {"a", 200}, {"a", 300}, {"b", 200}, {"b", 400}});
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const HeldOut sides = hold_out(training_clips(shard), 0.1, seed);
    ASSERT_EQ(sides.validation.clips.size(), 1U);
    EXPECT_EQ(points_in(sides.validation)[0].second, 200);
    EXPECT_TRUE(sides.lost.empty());
  }
}

TEST_F(HoldOut, LeavesEveryMachineAClip) {
  const io::Shard shard = shard_of({{"a", 100}, {"b", 100}, {"c", 100}});
  EXPECT_EQ(hold_out(training_clips(shard), 0.5, 1).train.clips.size(), 3U);
}

TEST_F(HoldOut, TakesReadingsOfOneSpeedForOneOperatingPoint) {
  const io::Shard shard = shard_of({{"m", 98.01},
                                    {"m", 98.8},
                                    {"m", 99.63},
                                    {"m", 200.16},
                                    {"m", 200.63},
                                    {"m", 201.7},
                                    {"m", 298.82},
                                    {"m", 299.17},
                                    {"m", 301.12}});
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const HeldOut sides = hold_out(training_clips(shard), 0.3, seed);
    EXPECT_EQ(sides.validation.clips.size(), 3U);
    EXPECT_TRUE(sides.lost.empty());
    std::set<int> hundreds;
    for (const auto& [machine, speed] : points_in(sides.validation)) {
      hundreds.insert(static_cast<int>(std::lround(speed / 100)));
    }
    EXPECT_EQ(hundreds.size(), 3U) << "one of each speed";
  }
}

}  // namespace
}  // namespace evenflow::train
