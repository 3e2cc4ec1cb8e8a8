#include "train/loop/speed_moves.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>

#include "io/error.h"
#include "kernels/mel_scale.h"
#include "tests/train/train_fixture.h"

namespace evenflow::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr size_t width = testing::bands;

/// Clips at 100, 200, ..., 500 in turns, all of them trained on but for those held out.
class SpeedMovesOfClips : public ::testing::Test {
 protected:
  void write(const testing::ShardSpec& spec) {
    testing::write_shard(folder_ / "shard.h5", spec);
    shard_ = std::make_unique<io::Shard>(folder_ / "shard.h5");
    clips_ = {{{shard_.get()}, {}}, {{shard_.get()}, {}}};
    for (int32_t i = 0; i < spec.train_clips; ++i) {
      clips_.train.clips.emplace_back(0, i);
    }
  }
  void hold_out(int32_t clip) {
    std::erase(clips_.train.clips, std::pair(0, clip));
    clips_.validation.clips.emplace_back(0, clip);
  }
  SpeedMoves moves(const std::vector<std::string>& others = {}) const {
    return {clips_, "velocity_mm_s", others, shard_->frontend()};
  }
  BandMoments moments(int32_t clip) const {
    const auto i = static_cast<size_t>(clip);
    const int64_t first = shard_->offsets()[i], count = shard_->offsets()[i + 1] - first;
    std::vector<float> frames(static_cast<size_t>(count) * width);
    shard_->read_frames(first, count, frames.data());
    return moments_of(frames, width);
  }
  SpeedMoves learnt(const std::vector<std::string>& others = {}) const {
    SpeedMoves out = moves(others);
    std::vector<BandMoments> all;
    for (const auto& [shard, clip] : clips_.train.clips) {
      all.push_back(moments(clip));
    }
    out.learn(clips_.train, all);
    return out;
  }
  double speed_of(int32_t clip) const { return shard_->clips()[static_cast<size_t>(clip)].parameter[0]; }

  testing::TempFolder folder_;
  std::unique_ptr<io::Shard> shard_;
  HeldOut clips_;
};

TEST(MomentsOfFrames, AreMeanAndDeviationOfTheFiniteOnes) {
  const float frames[] = {1, 10, 2, 20, NAN, 0, 6, 60};
  const BandMoments moments = moments_of(frames, 2);
  EXPECT_DOUBLE_EQ(moments.mean[0], 3);
  EXPECT_DOUBLE_EQ(moments.mean[1], 30);
  EXPECT_DOUBLE_EQ(moments.deviation[0], std::sqrt(14.0 / 3));
  EXPECT_DOUBLE_EQ(moments.deviation[1], std::sqrt(1400.0 / 3));
  EXPECT_TRUE(moments_of(std::span(frames).subspan(4, 2), 2).mean.empty());
}

TEST_F(SpeedMovesOfClips, AWindowThatIsMovedHasMeanAndDeviationOfItsNewSpeed) {
  write({.train_clips = 20});
  const SpeedMoves moves = learnt();
  const MoveTable table = moves.table(60);
  std::vector<double> speeds;
  std::vector<BandMoments> recorded;
  for (int point = 0; point < 5; ++point) {
    speeds.push_back(100 * (point + 1));
    BandMoments sum{std::vector<double>(width, 0), std::vector<double>(width, 0)};
    double count = 0;
    for (int32_t clip = 0; clip < 20; ++clip) {
      if (speed_of(clip) == speeds.back()) {
        EXPECT_EQ(moves.point_of({0, clip}), point);
        const BandMoments own = moments(clip);
        for (size_t b = 0; b < width; ++b) {
          sum.mean[b] += own.mean[b];
          sum.deviation[b] += own.deviation[b];
        }
        ++count;
      }
    }
    for (size_t b = 0; b < width; ++b) {
      sum.mean[b] /= count;
      sum.deviation[b] /= count;
    }
    recorded.push_back(std::move(sum));
  }
  std::vector<double> centres;
  for (size_t b = 0; b < width; ++b) {
    centres.push_back(kernels::mel_to_hz(static_cast<double>(b + 1) * kernels::mels_per_band(16000, width)));
  }
  const SpectrumBySpeed told(speeds, recorded, centres);
  ASSERT_EQ(table.points.size(), 5U);
  EXPECT_EQ(table.error.size(), 5 * width);
  for (size_t point = 0; point < 5; ++point) {
    const kernels::PointMoves& own = table.points[point];
    EXPECT_EQ(own.count, 16);
    for (int32_t m = own.first; m < own.first + own.count; ++m) {
      const kernels::SpeedMove& move = table.moves[static_cast<size_t>(m)];
      const double to = speeds[point] + move.step;
      EXPECT_TRUE(to >= 50 && to <= 560 && std::abs(move.step) <= 60 && move.step != 0) << to;
      const BandMoments there = told.at(to);
      for (size_t b = 0; b < width; ++b) {
        const size_t at = static_cast<size_t>(m) * width + b;
        const double mean = table.factor[at] * recorded[point].mean[b] + table.offset[at];
        EXPECT_TRUE(std::abs(mean - there.mean[b]) <= 1e-4) << to;
        EXPECT_TRUE(std::abs(table.factor[at] * recorded[point].deviation[b] - there.deviation[b]) <= 1e-5) << to;
      }
      // How wrong it may be grows with the distance to the nearest recorded speed, as much as leaving one out was.
      // (Below 100 only to 50.)
      const double distance = std::min(std::abs(to - 100 * std::clamp(std::round(to / 100), 1.0, 5.0)), 60.0);
      EXPECT_TRUE(std::abs(move.deviation - distance) <= 1e-9) << to;
      EXPECT_EQ(move.errors, 3);
      const auto middle = std::clamp<int32_t>(static_cast<int32_t>(std::lround(to / 100)) - 1, 1, 3);
      if (std::abs(std::fmod(to, 100) - 50) > 1e-9) {
        EXPECT_EQ(move.first_error, middle - 1) << to;
      }
    }
    for (size_t b = 0; b < width; ++b) {
      EXPECT_TRUE(std::abs(table.error[point * width + b] - told.errors()[point][b] / 100) <= 1e-6);
    }
  }
}

TEST_F(SpeedMovesOfClips, SoundIsMovedAmongClipsThatDifferInTheSpeedAlone) {
  // Loads are 1 and 2 in turns: ten points, in groups of five.
  write({.train_clips = 20, .more_parameters = {"load"}});
  const SpeedMoves apart = learnt({"velocity_mm_s", "load"}), together = learnt({"velocity_mm_s"});
  EXPECT_EQ(apart.table(60).points.size(), 10U);
  EXPECT_EQ(together.table(60).points.size(), 5U);
  for (int32_t clip = 0; clip < 20; ++clip) {
    EXPECT_EQ(apart.point_of({0, clip}) / 5, shard_->clips()[static_cast<size_t>(clip)].parameter[1] == 1 ? 0 : 1);
  }
}

TEST_F(SpeedMovesOfClips, WhatIsHeldOutChangesTheSoundAndNotTheTable) {
  write({.train_clips = 20});
  const MoveTable all = learnt().table(60);
  for (int32_t clip = 0; clip < 20; ++clip) {
    if (speed_of(clip) == 300) {
      hold_out(clip);
    }
  }
  const MoveTable less = learnt().table(60), unlearnt = moves().table(60);
  for (const MoveTable* other : {&less, &unlearnt}) {
    ASSERT_EQ(other->moves.size(), all.moves.size());
    ASSERT_EQ(other->points.size(), all.points.size());
    EXPECT_EQ(other->factor.size(), all.factor.size());
    EXPECT_EQ(other->error.size(), all.error.size());
  }
  for (size_t m = 0; m < all.moves.size(); ++m) {
    EXPECT_EQ(less.moves[m].step, all.moves[m].step);
    EXPECT_EQ(unlearnt.moves[m].step, 0);
    EXPECT_EQ(unlearnt.moves[m].errors, 0);
  }
  EXPECT_THAT(unlearnt.factor, ::testing::Each(1.0F));
  EXPECT_THAT(unlearnt.offset, ::testing::Each(0.0F));
  EXPECT_NE(less.offset, all.offset);
  EXPECT_THAT(std::vector<float>(less.error.begin() + 2 * width, less.error.begin() + 3 * width),
              ::testing::Each(0.0F));
}

TEST_F(SpeedMovesOfClips, NoMoveIsTakenToBeMoreWrongThanWhereASpeedWasLeftOut) {
  write({.train_clips = 20,
         .change_clip = [](size_t clip, io::Clip& c) { c.parameter[0] = 100 + 3.0 * static_cast<double>(clip % 4); }});
  for (const kernels::SpeedMove& move : learnt().table(60).moves) {
    EXPECT_TRUE(move.deviation <= 3) << move.step;
  }
}

TEST_F(SpeedMovesOfClips, ABandThatIsSilentAtOneSpeedIsNotBlownUpAtTheNext) {
  write({.train_clips = 20, .change = [](size_t clip, std::vector<float>& frames) {
           for (size_t at = 3; clip % 5 == 0 && at < frames.size(); at += width) {
             frames[at] = -150.0F;
           }
         }});
  const MoveTable table = learnt().table(60);
  EXPECT_EQ(*std::max_element(table.factor.begin(), table.factor.end()), 4.0F);
  EXPECT_EQ(*std::min_element(table.factor.begin(), table.factor.end()), 0.25F);
}

TEST_F(SpeedMovesOfClips, AGroupOfWhichOneSpeedIsLeftIsNotChanged) {
  write({.train_clips = 10, .change_clip = [](size_t clip, io::Clip& c) { c.parameter[0] = clip == 0 ? 200 : 300; }});
  hold_out(0);
  const MoveTable table = learnt().table(60);
  EXPECT_EQ(table.points.size(), 2U);
  EXPECT_THAT(table.factor, ::testing::Each(1.0F));
  EXPECT_THAT(table.offset, ::testing::Each(0.0F));
}

TEST_F(SpeedMovesOfClips, ManySpeedsArePutTogether) {
  write({.train_clips = 60, .change_clip = [](size_t clip, io::Clip& c) {
           c.parameter[0] = 100 + 7.3 * static_cast<double>(clip) + 0.01 * static_cast<double>(clip * clip);
         }});
  const SpeedMoves moves = learnt();
  EXPECT_EQ(moves.table(10).points.size(), 24U);
  for (int32_t clip = 1; clip < 60; ++clip) {
    const int64_t step = moves.point_of({0, clip}) - moves.point_of({0, clip - 1});
    EXPECT_TRUE(step == 0 || step == 1);
  }
}

TEST_F(SpeedMovesOfClips, AClipOfUnknownSpeedHasNoPoint) {
  write({.change_clip = [](size_t clip, io::Clip& c) { c.parameter[0] = clip == 2 ? unknown : c.parameter[0]; }});
  const SpeedMoves moves = learnt();
  EXPECT_EQ(moves.point_of({0, 2}), -1);
  EXPECT_TRUE(std::isnan(moves.points_of(clips_.train)[2]));
  EXPECT_EQ(moves.points_of(clips_.train).size(), 10U);
}

TEST_F(SpeedMovesOfClips, OneSpeedIsNotEnough) {
  write({.change_clip = [](size_t, io::Clip& c) { c.parameter[0] = 200; }});
  EXPECT_FALSE(moves().any());
  EXPECT_THAT(message_of<io::DataError>([&] { moves().require(); }), HasSubstr("set augment.speed_by to warp"));
  write({.change_clip = [](size_t clip, io::Clip& c) { c.parameter[0] = clip % 2 == 0 ? 200 : 300; }});
  EXPECT_TRUE(moves().any());
  EXPECT_TRUE(learnt().table(60).error.empty());
  EXPECT_TRUE(learnt().has_learnt());
  EXPECT_FALSE(moves().has_learnt());
  EXPECT_THAT(learnt().describe(), ::testing::Not(HasSubstr("within")));
}

}  // namespace
}  // namespace evenflow::train
