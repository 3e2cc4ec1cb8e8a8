#include "train/loop/speed_moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/error.h"
#include "kernels/copy.h"
#include "kernels/mel_scale.h"
#include "train/statistics/finite.h"
#include "train/statistics/seen.h"

namespace evenflow::train {
namespace {

constexpr size_t most_points = 24;  // of a group; of more, neighbours are put together
constexpr int steps_each_way = 8;
constexpr size_t errors_of_move = 3;
constexpr double most_factor = 4.0;  // of a deviation: a band that was silent may hold a click

using Clip = std::pair<int32_t, int32_t>;

/// Clips of one group by their speeds.
using Members = std::vector<std::pair<double, Clip>>;

/// Of each member, ascending, the number of its point in the group, and the points' speeds: means over their clips.
struct Points {
  std::vector<size_t> of_member;
  std::vector<double> speeds;
};

Points points_of_members(const Members& members, const OperatingPoints& of_speed) {
  Points out;
  std::vector<size_t> recorded;
  for (const auto& [speed, clip] : members) {
    recorded.push_back(of_speed.nearest(speed));
    const bool next = recorded.size() == 1 || recorded.back() != recorded[recorded.size() - 2];
    out.of_member.push_back(out.of_member.empty() ? 0 : out.of_member.back() + (next ? 1 : 0));
  }
  const size_t count = out.of_member.back() + 1;
  if (count > most_points) {
    for (size_t& point : out.of_member) {
      point = point * most_points / count;
    }
  }
  std::vector<double> sum(out.of_member.back() + 1, 0.0), clips(sum.size(), 0.0);
  for (size_t i = 0; i < members.size(); ++i) {
    sum[out.of_member[i]] += members[i].first;
    clips[out.of_member[i]] += 1;
  }
  for (size_t p = 0; p < sum.size(); ++p) {
    out.speeds.push_back(sum[p] / clips[p]);
  }
  return out;
}

/// What clips of one group share: the other parameters' operating points, and the machine.
class Keys {
 public:
  Keys(const HeldOut& clips, const std::string& speed, const std::vector<std::string>& others) {
    const io::Shard& shard = *clips.train.shards[0];
    for (size_t p = 0; p < shard.parameter_names().size(); ++p) {
      const std::string& name = shard.parameter_names()[p];
      if (name == speed || std::find(others.begin(), others.end(), name) == others.end()) {
        continue;
      }
      std::vector<double> values;
      for (const ClipSelection* side : {&clips.train, &clips.validation}) {
        for (const Clip& at : side->clips) {
          values.push_back(side->clip(at).parameter[p]);
        }
      }
      columns_.push_back(p);
      points_.emplace_back(std::move(values), io::categories_of(shard.categories(), p));
    }
  }
  std::pair<std::string, std::vector<int64_t>> of(const io::Clip& clip) const {
    std::vector<int64_t> places;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const double value = clip.parameter[columns_[i]];
      places.push_back(std::isnan(value) ? -1 : static_cast<int64_t>(points_[i].nearest(value)));
    }
    return {clip.machine, std::move(places)};
  }

 private:
  std::vector<size_t> columns_;
  std::vector<OperatingPoints> points_;
};

constexpr size_t none = std::numeric_limits<size_t>::max();

double distance_to_nearest(const std::vector<double>& speeds, double speed, size_t without) {
  double nearest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < speeds.size(); ++i) {
    if (i != without) {
      nearest = std::min(nearest, std::abs(speeds[i] - speed));
    }
  }
  return nearest;
}

template <class T>
kernels::Array<const T> view(const std::vector<T>& values) {
  return {values.data(), std::ssize(values), {}};
}

/// The speeds between which a group's sound is moved: its own, and beyond them a factor of 2.
std::pair<double, double> limits_of(const std::vector<double>& speeds) {
  constexpr double factor = 2.0;
  const double slowest = speeds.front(), fastest = speeds.back();
  return {slowest > 0 ? slowest / factor : slowest * factor, fastest > 0 ? fastest * factor : fastest / factor};
}

}  // namespace

void MoveTable::set(kernels::DrawChanges& draw) const {
  draw.points = view(points);
  draw.moves = view(moves);
}

kernels::BandMoves MoveTable::of_bands() const {
  return {view(factor), view(offset), view(error)};
}

MovesOnDevice::MovesOnDevice(kernels::Stream& stream, const MoveTable& table)
    : points(std::ssize(table.points), stream.device()),
      moves(std::ssize(table.moves), stream.device()),
      factor(std::ssize(table.factor), stream.device()),
      offset(std::ssize(table.offset), stream.device()),
      error(std::ssize(table.error), stream.device()) {
  if (!table.points.empty()) {
    kernels::upload<kernels::PointMoves>(stream, table.points, points.view());
    kernels::upload<kernels::SpeedMove>(stream, table.moves, moves.view());
    kernels::upload<float>(stream, table.factor, factor.view());
    kernels::upload<float>(stream, table.offset, offset.view());
  }
  if (!table.error.empty()) {
    kernels::upload<float>(stream, table.error, error.view());
  }
}

BandMoments moments_of(std::span<const float> frames, int64_t bands) {
  const auto width = static_cast<size_t>(bands);
  std::vector<double> sum(width, 0.0), squares(width, 0.0);
  double count = 0;
  for (size_t at = 0; at + width <= frames.size(); at += width) {
    const std::span<const float> frame = frames.subspan(at, width);
    if (!all_finite(frame)) {
      continue;
    }
    count += 1;
    for (size_t b = 0; b < width; ++b) {
      // About the running mean (Welford 1962).
      const double before = frame[b] - sum[b];
      sum[b] += before / count;
      squares[b] += before * (frame[b] - sum[b]);
    }
  }
  if (count == 0) {
    return {};
  }
  for (double& square : squares) {
    square = std::sqrt(square / count);
  }
  return {std::move(sum), std::move(squares)};
}

SpeedMoves::SpeedMoves(const HeldOut& clips, const std::string& speed, const std::vector<std::string>& others,
                       const io::FrontendSettings& frontend)
    : speed_(speed) {
  const double distance = kernels::mels_per_band(frontend.sample_rate_hz, frontend.mel_bands);
  for (int band = 0; band < frontend.mel_bands; ++band) {
    centres_hz_.push_back(kernels::mel_to_hz((band + 1) * distance));
  }
  const std::vector<std::string>& names = clips.train.shards[0]->parameter_names();
  const auto column = static_cast<size_t>(std::find(names.begin(), names.end(), speed) - names.begin());
  const Keys keys(clips, speed, others);
  std::map<std::pair<std::string, std::vector<int64_t>>, Members> by_key;
  std::vector<double> values;
  for (const ClipSelection* side : {&clips.train, &clips.validation}) {
    for (const Clip& at : side->clips) {
      const io::Clip& clip = side->clip(at);
      if (!std::isnan(clip.parameter[column])) {
        by_key[keys.of(clip)].emplace_back(clip.parameter[column], at);
        values.push_back(clip.parameter[column]);
      }
    }
  }
  const OperatingPoints of_speed(std::move(values));
  int64_t first = 0;
  for (auto& [key, members] : by_key) {
    std::sort(members.begin(), members.end());
    const Points points = points_of_members(members, of_speed);
    for (size_t i = 0; i < members.size(); ++i) {
      points_[members[i].second] = first + static_cast<int64_t>(points.of_member[i]);
    }
    groups_.push_back({points.speeds, first, {}});
    first += std::ssize(points.speeds);
  }
}

bool SpeedMoves::any() const {
  return std::any_of(groups_.begin(), groups_.end(), [](const Group& group) { return group.speeds.size() > 1; });
}

void SpeedMoves::require() const {
  if (!any()) {
    throw io::DataError(fmt::format(
        "augment.speed_by = spectrum learns how sound changes with {} from clips at two values of it or more, at the "
        "same values of the other parameters, and there are none; set augment.speed_by to warp, or augment.speed to 0",
        speed_));
  }
}

int64_t SpeedMoves::point_of(Clip clip) const {
  const auto found = points_.find(clip);
  return found == points_.end() ? -1 : found->second;
}

std::vector<double> SpeedMoves::points_of(const ClipSelection& clips) const {
  std::vector<double> out;
  for (const Clip& clip : clips.clips) {
    const int64_t point = point_of(clip);
    out.push_back(point < 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(point));
  }
  return out;
}

void SpeedMoves::learn(const ClipSelection& train, std::span<const BandMoments> moments) {
  const size_t bands = centres_hz_.size();
  struct Sum {
    BandMoments moments;
    double clips = 0;
  };
  const int64_t points = groups_.empty() ? 0 : groups_.back().first + std::ssize(groups_.back().speeds);
  std::vector<Sum> sums(static_cast<size_t>(points),
                        {{std::vector<double>(bands, 0.0), std::vector<double>(bands, 0.0)}, 0});
  for (size_t i = 0; i < moments.size(); ++i) {
    const int64_t point = point_of(train.clips[i]);
    if (point < 0 || moments[i].mean.empty()) {
      continue;
    }
    Sum& sum = sums[static_cast<size_t>(point)];
    sum.clips += 1;
    for (size_t b = 0; b < bands; ++b) {
      sum.moments.mean[b] += (moments[i].mean[b] - sum.moments.mean[b]) / sum.clips;
      sum.moments.deviation[b] += (moments[i].deviation[b] - sum.moments.deviation[b]) / sum.clips;
    }
  }
  for (Group& group : groups_) {
    std::vector<double> speeds;
    std::vector<BandMoments> recorded;
    for (size_t p = 0; p < group.speeds.size(); ++p) {
      Sum& sum = sums[static_cast<size_t>(group.first) + p];
      if (sum.clips > 0) {
        speeds.push_back(group.speeds[p]);
        recorded.push_back(std::move(sum.moments));
      }
    }
    group.told.clear();
    if (speeds.size() > 1) {
      group.told.emplace_back(std::move(speeds), std::move(recorded), centres_hz_);
    }
  }
}

bool SpeedMoves::has_learnt() const {
  return std::any_of(groups_.begin(), groups_.end(), [](const Group& group) { return !group.told.empty(); });
}

void SpeedMoves::add_moves(const Group& group, size_t point, double range, MoveTable& table) const {
  const double own = group.speeds[point];
  kernels::PointMoves& moves = table.points.emplace_back();
  moves.first = static_cast<int32_t>(table.moves.size());
  if (group.speeds.size() < 2) {
    return;
  }
  const size_t bands = centres_hz_.size();
  const auto first_error = static_cast<int64_t>(table.error.size() / bands);
  const auto [slowest, fastest] = limits_of(group.speeds);
  const double down = std::min(range, own - slowest), up = std::min(range, fastest - own);
  for (int step = -steps_each_way; step <= steps_each_way; ++step) {
    const double speed = own + (step < 0 ? down : up) * step / steps_each_way;
    if (speed == own) {
      continue;
    }
    kernels::SpeedMove& move = table.moves.emplace_back();
    if (group.told.empty()) {  // nothing is known: a move that changes nothing
      table.factor.resize(table.factor.size() + bands, 1.0F);
      table.offset.resize(table.offset.size() + bands, 0.0F);
      continue;
    }
    move.step = speed - own;
    if (group.speeds.size() >= errors_of_move) {
      move.deviation = distance_to_nearest(group.speeds, speed, none);
      const auto nearest = std::min_element(group.speeds.begin(), group.speeds.end(), [&](double a, double b) {
        return std::abs(a - speed) < std::abs(b - speed);
      });
      const auto middle = std::clamp<int64_t>(nearest - group.speeds.begin(), 1, std::ssize(group.speeds) - 2);
      move.first_error = static_cast<int32_t>(first_error + middle - 1);
      move.errors = static_cast<int32_t>(errors_of_move);
      // No more wrong than where a speed was left out.
      for (int64_t p = middle - 1; p <= middle + 1; ++p) {
        const auto of = static_cast<size_t>(p);
        move.deviation = std::min(move.deviation, distance_to_nearest(group.speeds, group.speeds[of], of));
      }
    }
    const BandMoments from = group.told[0].at(own), to = group.told[0].at(speed);
    for (size_t b = 0; b < bands; ++b) {
      const double factor = std::clamp(to.deviation[b] / from.deviation[b], 1.0 / most_factor, most_factor);
      table.factor.push_back(static_cast<float>(factor));
      table.offset.push_back(static_cast<float>(to.mean[b] - factor * from.mean[b]));
    }
  }
  moves.count = static_cast<int32_t>(table.moves.size()) - moves.first;
}

/// A row for each of the group's points: its error over the distance to the nearest other one.
void SpeedMoves::add_errors(const Group& group, MoveTable& table) const {
  if (group.speeds.size() < errors_of_move) {
    return;
  }
  size_t learnt = 0;
  for (size_t p = 0; p < group.speeds.size(); ++p) {
    std::vector<float> row(centres_hz_.size(), 0.0F);
    const bool known = !group.told.empty() && learnt < group.told[0].errors().size() &&
                       group.told[0].speeds()[learnt] == group.speeds[p];
    if (known) {
      const std::vector<double>& error = group.told[0].errors()[learnt];
      const double distance = distance_to_nearest(group.told[0].speeds(), group.speeds[p], learnt);
      std::transform(error.begin(), error.end(), row.begin(),
                     [&](double e) { return static_cast<float>(e / distance); });
      ++learnt;
    }
    table.error.insert(table.error.end(), row.begin(), row.end());
  }
}

MoveTable SpeedMoves::table(double range) const {
  MoveTable table;
  for (const Group& group : groups_) {
    for (size_t point = 0; point < group.speeds.size(); ++point) {
      add_moves(group, point, range, table);
    }
    add_errors(group, table);
  }
  return table;
}

std::string SpeedMoves::describe() const {
  int lines = 0, filters = 0, judged = 0;
  double squares = 0;
  for (const Group& group : groups_) {
    for (const SpectrumBySpeed& told : group.told) {
      (told.way() == SpectrumBySpeed::Way::lines ? lines : filters) += 1;
      judged += told.errors().empty() ? 0 : 1;
      squares += told.error() * told.error();
    }
  }
  const std::string error =
      judged == 0 ? "" : fmt::format("; a value left out is told within {:.2f} dB", std::sqrt(squares / judged));
  return fmt::format("spectrum by {}: {} as source and filter, {} by lines{}", speed_, filters, lines, error);
}

}  // namespace evenflow::train
