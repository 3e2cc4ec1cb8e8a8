#include "train/loop/selection.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "io/error.h"
#include "io/parameter_value.h"
#include "train/detect/config_match.h"
#include "train/statistics/random.h"
#include "train/statistics/seen.h"

namespace evenflow::train {
namespace {

constexpr uint64_t hold_out_stream = 0x686f6c64;

const io::Clip& clip_of(const ClipSelection& selection, std::pair<int32_t, int32_t> at) {
  return selection.shards[static_cast<size_t>(at.first)]->clips()[static_cast<size_t>(at.second)];
}

[[noreturn]] void no_clips(const std::vector<const io::Shard*>& shards, const std::string& machine) {
  std::set<std::string> machines;
  for (const io::Shard* shard : shards) {
    for (const io::Clip& clip : shard->clips()) {
      if (clip.split == io::Split::train && clip.label != 1) {
        machines.insert("'" + clip.machine + "'");
      }
    }
  }
  const std::string first = shards.empty() ? "" : "'" + shards[0]->path().string() + "': ";
  if (machine.empty() || machines.empty()) {
    throw io::DataError(first +
                        "no normal clip of split train; mark the training clips in the manifest and prepare again");
  }
  throw io::DataError(fmt::format("{}no normal training clip of machine '{}'; set train.machine to one of {}", first,
                                  machine, fmt::join(machines, ", ")));
}

/// The clips' operating points, parameter by parameter.
std::vector<OperatingPoints> points_of(const ClipSelection& all) {
  std::vector<OperatingPoints> points;
  for (size_t p = 0; p < all.shards[0]->parameter_names().size(); ++p) {
    std::vector<double> values;
    for (const auto& at : all.clips) {
      values.push_back(clip_of(all, at).parameter[p]);
    }
    points.emplace_back(std::move(values), io::categories_of(all.shards[0]->categories(), p));
  }
  return points;
}

/// The value in "tool=B" or "velocity_mm_s=300", of a parameter that has these names or, without any, numbers; NaN of
/// another name. io::UsageError: no number.
double value_of(const io::ParameterText& point, const std::vector<std::string>& names) {
  if (!names.empty()) {
    return io::code_of(point.text, names);
  }
  const std::string text = point.name + "=" + point.text;
  const auto number = io::parse_parameter_value(text);
  if (!number) {
    throw io::UsageError(
        fmt::format("train.leave_out has {}, which is no number, and the shard has numbers of it; write "
                    "velocity_mm_s=300",
                    text));
  }
  return number->value;
}

/// The operating point of one parameter as part of a key; an unknown value has a rank of its own.
std::string point_key(const OperatingPoints& points, double value) {
  return std::isnan(value) ? "|?" : fmt::format("|{}", points[points.nearest(value)].low);
}

std::string point_key(const std::vector<OperatingPoints>& points, const io::Clip& clip) {
  std::string key;
  for (size_t p = 0; p < points.size(); ++p) {
    key += point_key(points[p], clip.parameter[p]);
  }
  return key;
}

std::vector<size_t> in_order_of_hashes(std::vector<size_t> indices, uint64_t seed) {
  std::sort(indices.begin(), indices.end(), [&](size_t a, size_t b) {
    return random_bits(seed, hold_out_stream, a) < random_bits(seed, hold_out_stream, b);
  });
  return indices;
}

/// Clips of one machine and one operating point.
struct Stratum {
  std::vector<size_t> members;  // indices into the selection, in the order of their hashes
  size_t held = 0;
  double wanted = 0;
  size_t most() const { return members.size() - 1; }
};

std::vector<Stratum> strata_of(const ClipSelection& all, double fraction, uint64_t seed) {
  const std::vector<OperatingPoints> points = points_of(all);
  std::map<std::string, Stratum> by_key;
  for (size_t i = 0; i < all.clips.size(); ++i) {
    const io::Clip& clip = clip_of(all, all.clips[i]);
    by_key[clip.machine + point_key(points, clip)].members.push_back(i);
  }
  std::vector<Stratum> strata;
  for (auto& [key, stratum] : by_key) {
    stratum.members = in_order_of_hashes(std::move(stratum.members), seed);
    stratum.wanted = fraction * static_cast<double>(stratum.members.size());
    stratum.held = std::min(static_cast<size_t>(stratum.wanted), stratum.most());
    strata.push_back(std::move(stratum));
  }
  return strata;
}

// Deals the clips that whole numbers left over to the strata furthest below their share; the hash of a stratum's next
// clip breaks ties, so that no operating point is preferred.
void deal_remainder(std::vector<Stratum>& strata, size_t target, uint64_t seed) {
  const auto held = [&] {
    size_t sum = 0;
    for (const Stratum& stratum : strata) {
      sum += stratum.held;
    }
    return sum;
  };
  const auto rank = [&](const Stratum& s) {
    return std::pair(s.wanted - static_cast<double>(s.held),
                     static_cast<double>(random_bits(seed, hold_out_stream, s.members[s.held])));
  };
  for (size_t sum = held(); sum < target; ++sum) {
    Stratum* next = nullptr;
    for (Stratum& stratum : strata) {
      if (stratum.held >= stratum.most()) {
        continue;
      }
      if (next == nullptr || rank(stratum) > rank(*next)) {
        next = &stratum;
      }
    }
    if (next == nullptr) {
      return;
    }
    ++next->held;
  }
}

/// Where every machine has a single clip of each operating point: clips that can be spared one by one.
class Sparing {
 public:
  Sparing(const ClipSelection& all, uint64_t seed) : all_(all), points_(points_of(all)) {
    std::vector<size_t> indices(all.clips.size());
    std::iota(indices.begin(), indices.end(), size_t{0});
    order_ = in_order_of_hashes(std::move(indices), seed);
    for (const size_t i : order_) {
      count(i, 1);
    }
  }

  /// Up to `most` clips whose machine and operating point are left in another clip.
  std::vector<size_t> clips_not_missed(size_t most) {
    return take(most, [&](size_t i) {
      const std::vector<double>& v = clip(i).parameter;
      return left(point_key(points_, clip(i))) > 1 ||
             std::all_of(v.begin(), v.end(), [](double value) { return std::isnan(value); });
    });
  }

  /// Up to `most` clips that take their operating points along, none of them at an end of a parameter's range, or the
  /// only one of a category, where nothing else could tell of it.
  std::vector<size_t> clips_inside(size_t most) {
    return take(most, [&](size_t i) {
      for (size_t p = 0; p < points_.size(); ++p) {
        const double value = clip(i).parameter[p];
        if (std::isnan(value) || left(value_key(p, value)) > 1) {
          continue;
        }
        const size_t point = points_[p].nearest(value);
        if (point == 0 || point + 1 == points_[p].size() || points_[p].are_categories()) {
          return false;
        }
      }
      return true;
    });
  }

 private:
  const io::Clip& clip(size_t i) const { return clip_of(all_, all_.clips[i]); }
  std::string value_key(size_t p, double value) const {
    return fmt::format("parameter {}{}", p, point_key(points_[p], value));
  }
  std::string machine_key(size_t i) const { return "machine " + clip(i).machine; }
  int64_t left(const std::string& key) const { return left_.at(key); }

  void count(size_t i, int64_t by) {
    left_[machine_key(i)] += by;
    left_[point_key(points_, clip(i))] += by;
    for (size_t p = 0; p < points_.size(); ++p) {
      left_[value_key(p, clip(i).parameter[p])] += by;
    }
  }

  std::vector<size_t> take(size_t most, const std::function<bool(size_t)>& spared) {
    std::vector<size_t> taken;
    for (const size_t i : order_) {
      if (taken.size() == most) {
        break;
      }
      if (left(machine_key(i)) < 2 || !spared(i)) {
        continue;
      }
      count(i, -1);
      taken.push_back(i);
    }
    return taken;
  }

  const ClipSelection& all_;
  std::vector<OperatingPoints> points_;
  std::vector<size_t> order_;
  std::map<std::string, int64_t> left_;  // clips by machine, operating point, value of a parameter
};

}  // namespace

ClipSelection normal_training_clips(const std::vector<const io::Shard*>& shards, const std::string& machine) {
  ClipSelection selection{shards, {}};
  for (size_t s = 0; s < shards.size(); ++s) {
    const std::vector<io::Clip>& clips = shards[s]->clips();
    for (size_t c = 0; c < clips.size(); ++c) {
      const io::Clip& clip = clips[c];
      if (clip.split != io::Split::train || (!machine.empty() && clip.machine != machine)) {
        continue;
      }
      if (clip.label == 1) {
        throw io::DataError("clip '" + clip.path.string() + "' of '" + shards[s]->path().string() +
                            "' is an anomaly in split train, and training takes normal clips only; move it to split "
                            "test in the manifest and prepare again");
      }
      selection.clips.emplace_back(static_cast<int32_t>(s), static_cast<int32_t>(c));
    }
  }
  if (selection.clips.empty()) {
    no_clips(shards, machine);
  }
  return selection;
}

ClipSelection leave_out(ClipSelection clips, const std::vector<std::string>& points) {
  for (const std::string& text : points) {
    const std::vector<std::string>& names = clips.shards[0]->parameter_names();
    const io::ParameterText left = io::split_parameter_value(text, names).value();
    const auto name = std::find(names.begin(), names.end(), left.name);
    if (name == names.end()) {
      throw io::UsageError(fmt::format("train.leave_out names '{}', which '{}' does not have; it has [{}]", left.name,
                                       clips.shards[0]->path().string(), fmt::join(names, ", ")));
    }
    const auto column = static_cast<size_t>(name - names.begin());
    const OperatingPoints known = points_of(clips)[column];
    const double point = value_of(left, io::categories_of(clips.shards[0]->categories(), column));
    if (known.of(point) != Familiarity::seen) {
      throw io::UsageError(fmt::format("train.leave_out has {}, and no training clip is at that; there are {}", text,
                                       known.empty() ? "none of known value" : known.text()));
    }
    std::erase_if(clips.clips, [&](const auto& at) {
      const double value = clip_of(clips, at).parameter[column];
      return !std::isnan(value) && known.nearest(value) == known.nearest(point);
    });
    if (clips.clips.empty()) {
      throw io::UsageError(
          fmt::format("train.leave_out has {}, and without it no clip is left to train on; leave it out "
                      "of the list",
                      text));
    }
  }
  return clips;
}

ClipSelection clips_to_train_on(const std::vector<const io::Shard*>& shards, const io::TrainSettings& settings) {
  return leave_out(normal_training_clips(shards, settings.machine), settings.leave_out);
}

HeldOut hold_out(const ClipSelection& all, double fraction, uint64_t seed) {
  HeldOut result{{all.shards, {}}, {all.shards, {}}, {}};
  const size_t n = all.clips.size();
  std::vector<bool> held(n, false);
  if (fraction > 0 && n >= 2) {
    const auto rounded = static_cast<size_t>(std::llround(fraction * static_cast<double>(n)));
    const size_t target = std::clamp<size_t>(rounded, 1, n - 1);
    std::vector<Stratum> strata = strata_of(all, fraction, seed);
    deal_remainder(strata, target, seed);
    std::vector<size_t> chosen;
    for (const Stratum& stratum : strata) {
      chosen.insert(chosen.end(), stratum.members.begin(),
                    stratum.members.begin() + static_cast<ptrdiff_t>(stratum.held));
    }
    Sparing sparing(all, seed);
    if (chosen.empty()) {
      chosen = sparing.clips_not_missed(target);
    }
    if (chosen.empty()) {
      chosen = sparing.clips_inside(target);
      for (const size_t i : chosen) {
        result.lost.push_back(all.clips[i]);
      }
    }
    for (const size_t i : chosen) {
      held[i] = true;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    (held[i] ? result.validation : result.train).clips.push_back(all.clips[i]);
  }
  return result;
}

void require_alike_categories(const io::Shard& shard, const io::Shard& first) {
  for (size_t p = 0; p < shard.parameter_names().size(); ++p) {
    const std::vector<std::string>& names = io::categories_of(shard.categories(), p);
    const std::vector<std::string>& others = io::categories_of(first.categories(), p);
    if (names == others) {
      continue;
    }
    const auto text = [](const std::vector<std::string>& own) {
      return own.empty() ? "numbers" : fmt::format("{}", fmt::join(own, ", "));
    };
    throw io::DataError(fmt::format("'{}' has {} of '{}' and '{}' has {}; prepare their recordings as one manifest",
                                    shard.path().string(), text(names), shard.parameter_names()[p],
                                    first.path().string(), text(others)));
  }
}

void require_alike(const std::vector<const io::Shard*>& shards) {
  for (const io::Shard* shard : shards) {
    require_frontend(*shard, shards[0]->frontend(), "shard '" + shards[0]->path().string() + "'");
    if (shard->parameter_names() == shards[0]->parameter_names()) {
      require_alike_categories(*shard, *shards[0]);
      continue;
    }
    throw io::DataError(fmt::format("'{}' has parameters [{}] and '{}' has [{}]; prepare both with the same columns",
                                    shard->path().string(), fmt::join(shard->parameter_names(), ", "),
                                    shards[0]->path().string(), fmt::join(shards[0]->parameter_names(), ", ")));
  }
}

std::vector<int> parameter_columns(const io::Shard& shard, const std::vector<std::string>& names) {
  const std::vector<std::string>& there = shard.parameter_names();
  std::vector<int> columns;
  for (const std::string& name : names) {
    const auto found = std::find(there.begin(), there.end(), name);
    if (found == there.end()) {
      throw io::UsageError(fmt::format("condition.parameters names '{}', which '{}' does not have; it has [{}]", name,
                                       shard.path().string(), fmt::join(there, ", ")));
    }
    columns.push_back(static_cast<int>(found - there.begin()));
  }
  return columns;
}

}  // namespace evenflow::train
